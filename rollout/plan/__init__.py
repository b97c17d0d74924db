"""The policy of the controller, complete: from an immutable snapshot, the evidence and `now` to a list of actions.

Pure. Nothing outside this package decides what happens to traffic.
"""

"""The policy of the controller, complete: from a snapshot, the evidence and `now` to a list of actions.

Pure. Nothing outside this package decides what happens to traffic.
"""

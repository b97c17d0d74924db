"""What is wrong with a manifest, said while it is applied: an optional validating webhook.

It refuses what the operator could never serve, by the same functions as `rollout lint`, and warns of the
rest. It changes nothing, nothing relies on it, and what it can't find out in time it leaves unsaid.
"""

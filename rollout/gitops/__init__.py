"""Git's desired state kept in the cluster, and what became of it told in Git: `turns` is a GitSource's turn.

A revision is applied as a whole or not at all, nothing is deleted on any error, and what a Rollout writes too
is written inside that Rollout's turn. Whether a canary goes on is decided elsewhere.
"""

"""Do the actions in their order, and stop at the first that fails; what was not done is planned again.

Where evidence was folded, the order is checkpoint, status, then the rest. Every write carries the
resourceVersion of the snapshot that it was planned on, so that a stale one fails and a new turn begins.
"""

from rollout.execute.executor import Executor

__all__ = ["Executor"]

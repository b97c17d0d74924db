"""Conditions on a measured value: `result[0] >= 0.95`, in Argo Rollouts' syntax (expr) or in CEL.

Text goes in, true or false comes out, in bounded time and depth; no `eval`, no I/O. A text that is none is
refused with its column and the remedy. What a condition means for a rollout is not decided here.
"""

from rollout.conditions.condition import Condition, Language, condition
from rollout.conditions.errors import ConditionError

__all__ = ["Condition", "ConditionError", "Language", "condition"]

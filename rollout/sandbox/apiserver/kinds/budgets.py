"""PodDisruptionBudgets."""

import re
from typing import Any

from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds.checks import bad, not_negative
from rollout.sandbox.apiserver.resource import Object

EMPTY = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
_PERCENT = re.compile(r"\d+%")


def prepare(new: Object, old: Object | None) -> None:
    """Nothing is allowed before the controller has counted."""
    if old is None:
        new["status"] = dict.fromkeys(EMPTY, 0)


def validate(new: Object, old: Object | None) -> list[Cause]:
    """What is wrong with the two limits."""
    del old
    spec = new.get("spec") or {}
    return [
        *_limit("spec.minAvailable", spec.get("minAvailable")),
        *_limit("spec.maxUnavailable", spec.get("maxUnavailable")),
    ]


def _limit(path: str, value: Any) -> list[Cause]:
    if not isinstance(value, str):
        return not_negative(path, value)
    if not _PERCENT.fullmatch(value):
        text = "a valid percent string must be a numeric string followed by an ending '%'"
        example = "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
        return [bad(path, value, f"{text} {example}")]
    return [] if int(value[:-1]) <= 100 else [bad(path, value, "must not be greater than 100%")]

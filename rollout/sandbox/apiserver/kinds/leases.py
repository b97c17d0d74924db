"""Leases."""

from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds.checks import bad, not_negative
from rollout.sandbox.apiserver.resource import Object


def validate(new: Object, old: Object | None) -> list[Cause]:
    """Seconds and transitions."""
    del old
    spec = new.get("spec") or {}
    found: list[Cause] = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        found.append(bad("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    return found + not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))

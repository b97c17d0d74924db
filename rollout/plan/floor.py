"""Replicas while traffic is split: an autoscaler sees stable carry less, and would shrink the fleet (D5)."""

from datetime import datetime, timedelta

from rollout.api.status import RolloutStatus
from rollout.plan.transitions import AT_REST

KEPT = timedelta(minutes=5)
"""How long after the end the floor stands."""


def least(status: RolloutStatus, now: datetime) -> int:
    """Pods that are wanted at least; 0 where there is no floor."""
    until = status.least_replicas_until
    return status.least_replicas if until is None or now < until else 0


def kept(status: RolloutStatus, replicas: int, now: datetime) -> RolloutStatus:
    """`status` with the floor: `replicas` from the first weight above 0, until some minutes after the end.

    A later scale-up is no floor: what was added may go again.
    """
    stands = status.least_replicas > 0 and status.least_replicas_until is None
    if status.canary.desired_weight > 0 and not stands:
        return status.model_copy(update={"least_replicas": replicas, "least_replicas_until": None})
    if stands and status.stage in AT_REST:
        return status.model_copy(update={"least_replicas_until": now + KEPT})
    return status

"""A Rollout that is being deleted gives the traffic back, then lets go of its finalizer.

No intent, no analysis, no promotion: the weight goes to stable and is read back, the pods of other versions
go, our hash leaves the selectors, and what stops it from that ends it after a minute. A stable Service opens
last: without the hash it would reach a canary's pods, too. Routes and Services that are missing ask nothing.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from rollout.api.status import RolloutStatus, Stage
from rollout.plan import announcements, conditions, demands, finalizer, schedule, weights
from rollout.plan import facts as ask
from rollout.plan.actions import (
    Action,
    Announce,
    EnsureFinalizer,
    EnsureReplicas,
    EnsureSelector,
    EnsureWeights,
    RecordStatus,
    WakeAt,
)
from rollout.plan.facts import Facts
from rollout.plan.observed import ReplicaSet, Service

PATIENCE = timedelta(seconds=60)
"""After so long, by `deletionTimestamp`, nothing holds the deletion up any more."""
SOON = timedelta(milliseconds=100)
"""Between a write and the look at what became of it."""


def leave(facts: Facts, deleted_at: datetime) -> list[Action]:
    """What is left to be given back, in the order to do it; nothing where the finalizer is gone."""
    if not facts.observed.finalized:
        return []
    left = "; ".join(_left(facts))
    if not left:
        return [EnsureFinalizer(held=False)]
    if facts.now >= deleted_at + PATIENCE:
        message = f"let go after {PATIENCE.seconds} s: {left}"
        return [Announce("TrafficNotReturned", message, warning=True), EnsureFinalizer(held=False)]
    after = _after(facts, f"being deleted: {left}")
    deeds = list(_deeds(facts, after))
    plan: list[Action] = []
    if deeds or after != facts.observed.status:
        plan.append(RecordStatus(after.model_copy(update={"turn": facts.observed.status.turn + 1})))
    plan += [*deeds, *announcements.of_deeds(facts, after, deeds)]
    look = facts.now + SOON if deeds else min(_due(facts, after, deleted_at))
    return [*plan, WakeAt(look)]


def _left(facts: Facts) -> Iterator[str]:
    """What is not given back yet, for people."""
    observed = facts.observed
    if observed.unread:
        yield f"Services and routes can't be read: {observed.unread}"
    elif observed.traffic is None:
        yield "the spec does not name its Services"
    for route in observed.routes:
        if route.canary_percent:
            yield f"the route {route.name} gives the canary {route.canary_percent} %{_why(facts)}"
    for service in finalizer.services(facts):
        why = _LEFT_BEHIND if _lets_in(facts, service) else ""
        yield f"the Service {service.name} selects revision {service.hash}{why}"


def _why(facts: Facts) -> str:
    served = ask.ready(facts.observed.stable_service) > 0
    return "" if served else ", and the stable Service has no ready endpoints to take it"


def _after(facts: Facts, message: str) -> RolloutStatus:
    """The status with nothing for the canary, and since when that was read back."""
    before = facts.observed.status
    returned = not any(route.canary_percent for route in facts.observed.routes)
    since = before.weight_since if before.canary.desired_weight == 0 else None
    status = before.model_copy(
        update={
            "canary": before.canary.model_copy(update={"desired_weight": 0}),
            "weight_since": (since or facts.now) if returned and not facts.observed.unread else None,
        }
    )
    return conditions.leaving(facts, status, message)


def _deeds(facts: Facts, after: RolloutStatus) -> Iterator[EnsureWeights | EnsureSelector | EnsureReplicas]:
    """As in a rollback until the weight was read back; then what a deletion alone does."""
    if facts.observed.traffic is None or facts.observed.unread:
        return
    if after.weight_since is None:
        back = after.model_copy(update={"stage": Stage.ROLLING_BACK})
        weight = weights.ensure(facts, facts.observed.status, back)
        yield from [weight] if weight else []
        yield from demands.selectors(facts, back)
        return
    for service in finalizer.services(facts):
        others = _others(facts, service) if service == facts.observed.stable_service else []
        if _stood(facts, after, schedule.DRAIN):
            yield from (EnsureReplicas(each.name, 0) for each in others if each.wanted)
        if not others and not _lets_in(facts, service) and _stood(facts, after, schedule.MIN_SETTLE):
            yield EnsureSelector(service.name, None)


def _others(facts: Facts, stable: Service) -> list[ReplicaSet]:
    """Versions with pods that a stable Service without our hash would let in."""
    status = facts.observed.status
    serving = (status.stable_rs or status.current_pod_hash, stable.hash or "")
    found = ask.others(facts.observed.replica_sets, *serving)
    return [each for each in found if each.wanted or each.created]


_LEFT_BEHIND = ", and without it it would reach pods of another version that are no longer ours"


def _lets_in(facts: Facts, service: Service) -> bool:
    """Whether the stable Service would reach pods of another version that we can't take away.

    `kubectl delete --cascade=orphan` takes the ReplicaSets from us; the open canary Service shows their pods.
    """
    stable, canary = facts.observed.stable_service, facts.observed.canary_service
    ours = {each.hash for each in facts.observed.replica_sets} | {service.hash, ""}
    reached = canary.ready if service == stable and canary is not None else ()
    return any(count and revision not in ours for revision, count in reached)


def _stood(facts: Facts, after: RolloutStatus, wait: timedelta) -> bool:
    return after.weight_since is not None and facts.now >= after.weight_since + wait


def _due(facts: Facts, after: RolloutStatus, deleted_at: datetime) -> Iterator[datetime]:
    yield deleted_at + PATIENCE
    yield facts.now + schedule.MIN_SETTLE
    if after.weight_since is not None:
        waits = (schedule.MIN_SETTLE, schedule.DRAIN)
        yield from (due for wait in waits if (due := after.weight_since + wait) > facts.now)

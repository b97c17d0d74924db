"""Which weight the canary may have, and whether it may be written now (invariants I1, I3, I4, I8).

Raising needs two turns: one records the wish, a later one, finding it recorded, acts on it. Lowering towards
a ready stable needs none.
"""

from rollout.api.status import RolloutStatus, Stage
from rollout.plan import drift, replicas, schedule
from rollout.plan import facts as ask
from rollout.plan.actions import EnsureWeights
from rollout.plan.facts import Facts
from rollout.plan.transitions import CARRYING


def wish(facts: Facts, status: RolloutStatus) -> int:
    """Percent that the canary shall have at this stage, pods permitting."""
    if status.stage not in CARRYING:
        return 0
    if (rescue := _rescue(facts, status)) is not None:
        return rescue
    match status.stage:
        case Stage.STEPPING:
            return _at_step(facts, status)
        case Stage.PROMOTING:
            return 100 if _may_serve_all(facts, status) else _held(facts, status)
        case _:
            return 100


def _rescue(facts: Facts, status: RolloutStatus) -> int | None:
    """An arm whose ready endpoints are gone while the other has some gets nothing (invariant I1)."""
    stable, canary = facts.observed.stable_service, facts.observed.canary_service
    if (
        stable is None
        or canary is None
        or (status.stage is Stage.SWITCHING and not ask.names(stable, status.stable_rs))
    ):
        return None
    canary_ready, stable_ready = canary.ready_of(status.current_pod_hash), ask.ready(stable)
    if canary_ready == 0 and stable_ready > 0:
        return 0
    if stable_ready == 0 and canary_ready > 0 and facts.replicas > 0:
        return 100
    return None


def _at_step(facts: Facts, status: RolloutStatus) -> int:
    if facts.blocked or facts.steps_edited(status):
        return status.canary.desired_weight
    return schedule.level(facts.steps, status.current_step_index)


def _may_serve_all(facts: Facts, status: RolloutStatus) -> bool:
    """All traffic needs all pods.

    Once given, half of them keep it: one pod that flips must not swing it back.
    """
    available = facts.available(status.current_pod_hash)
    if status.canary.desired_weight == 100 and 2 * available >= facts.replicas:
        return True
    held = facts.blocked or facts.paused_by_user(status)
    return not held and facts.replicas > 0 and available >= facts.replicas


def _held(facts: Facts, status: RolloutStatus) -> int:
    """The weight of the last step that was reached, until all pods are ready."""
    if facts.spec is None:
        return status.canary.desired_weight
    return min(schedule.level(facts.steps, status.current_step_index), status.canary.desired_weight)


def ensure(facts: Facts, before: RolloutStatus, after: RolloutStatus) -> EnsureWeights | None:
    """The weight to write now; None where it holds, or where an arm is not ready for what it would get."""
    readable = [route for route in facts.observed.routes if route.canary_percent is not None]
    shares = [route.canary_percent or 0 for route in readable]
    if not shares or facts.observed.traffic is None:
        return None
    allowed = min(before.canary.desired_weight, after.canary.desired_weight)
    if min(shares) < allowed and not _canary_carries(facts, after, allowed):
        allowed = min(shares)
    holds = all(route.exact and route.canary_percent == allowed for route in readable)
    if holds or (max(shares) > allowed and not _stable_carries(facts, after)):
        return None
    return EnsureWeights(allowed)


def _canary_carries(facts: Facts, status: RolloutStatus, percent: int) -> bool:
    """Whether the canary Service reaches its own pods alone, as many as `percent` needs, and has settled.

    Beside a stable Service that is not there nothing is raised: what the rest would get is not known.
    """
    service, stable = facts.observed.canary_service, facts.observed.stable_service
    if (
        service is None
        or stable is None
        or not service.settled
        or not ask.reaches_only(service, status.current_pod_hash)
    ):
        return False
    return stable.ready_total == 0 or service.ready_of(status.current_pod_hash) >= _needed(facts, percent)


def _needed(facts: Facts, percent: int) -> int:
    least = facts.canary.min_pods_per_replica_set if facts.canary else 1
    return max(replicas.canary(percent, facts.replicas, least), 1)


def _stable_carries(facts: Facts, status: RolloutStatus) -> bool:
    """Whether stable may get more. One ready pod will do: what a canary loses must go somewhere at once.

    A Service that carries nothing yet must have settled, unless the other arm serves nobody; one that carries
    is known to the proxy, and so is one that carried until somebody else wrote the weight.
    """
    service = facts.observed.stable_service
    revision = status.stable_rs or status.current_pod_hash
    if service is None:
        return False
    if facts.live == 100 and not drift.foreign_weight(facts, status):
        due = service.settled or facts.canary_gone
        return due and ask.reaches_only(service, revision)
    return service.ready_of(revision) > 0

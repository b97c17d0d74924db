"""What must hold at a stage, as levels.

What holds already is left out, so a quiet world is asked for nothing.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rollout.api.status import RolloutStatus, Stage
from rollout.plan import facts as ask
from rollout.plan import replicas, schedule
from rollout.plan.actions import Action, EnsureReplicas, EnsureReplicaSet, EnsureSelector, RemoveReplicaSet
from rollout.plan.facts import Facts
from rollout.plan.observed import ReplicaSet, Service
from rollout.plan.transitions import CARRYING, UNDER_WAY


def selectors(facts: Facts, status: RolloutStatus) -> Iterator[EnsureSelector]:
    """Whom the two Services shall reach (invariant I4).

    A selector that does not hold is restored at once (D10).
    """
    if facts.observed.traffic is None:
        return
    for service, revision in (
        (facts.observed.stable_service, _stable_target(facts, status)),
        (facts.observed.canary_service, _canary_target(facts, status)),
    ):
        if (
            service is not None
            and revision
            and service.hash != revision
            and _may_reach(facts, service, revision)
        ):
            yield EnsureSelector(service.name, revision)


def _may_reach(facts: Facts, service: Service, revision: str) -> bool:
    """Only pods that are there; all of them before a first version takes a Service from others that serve."""
    found = facts.observed.replica_set(revision)
    first = not facts.observed.status.stable_rs
    takes = service.ready_total > service.ready_of(revision)
    return found is not None and found.available >= (max(facts.replicas, 1) if first and takes else 1)


def _stable_target(facts: Facts, status: RolloutStatus) -> str:
    match status.stage:
        case Stage.INITIAL:
            return status.current_pod_hash
        case Stage.SWITCHING if facts.canary_gone:
            return status.stable_rs
        case Stage.SWITCHING:
            serves_all = status.canary.desired_weight == 100 and facts.in_effect(status)
            return status.current_pod_hash if serves_all else ""
    return status.stable_rs


def _canary_target(facts: Facts, status: RolloutStatus) -> str:
    """The canary Service; '' leaves it as it is until weight 0 was read back and has settled."""
    weightless = facts.settled_at(status, 0)
    match status.stage:
        case Stage.STABLE | Stage.REFUSED | Stage.RETURNING:
            return status.stable_rs
        case Stage.ROLLING_BACK:
            return status.stable_rs if weightless else ""
        case Stage.RESETTING if facts.paused_by_user(status) or facts.blocked:
            return ""
        case Stage.RESETTING:
            return status.current_pod_hash if weightless else ""
    return status.current_pod_hash


def pods(facts: Facts, status: RolloutStatus) -> Iterator[Action]:
    """How many pods each revision shall have. Nothing changes while the spec can't be read."""
    if facts.spec is None or facts.observed.traffic is None:
        return
    yield from _stable_pods(facts, status)
    yield from _canary_pods(facts, status)
    others = ask.others(facts.observed.replica_sets, status.stable_rs, _kept(status))
    hurried = _beyond_limit(facts, [each for each in others if each.hash != status.current_pod_hash])
    for old in others:
        yield from _old_pods(facts, status, old, hurried=old in hurried)
    yield from _beyond_history(facts, status)


def _kept(status: RolloutStatus) -> str:
    """The revision whose pods the stage itself looks after; a refused one is old already."""
    return "" if status.stage is Stage.REFUSED else status.current_pod_hash


def _stable_pods(facts: Facts, status: RolloutStatus) -> Iterator[Action]:
    """Stable stays fully scaled until promotion is complete: there is always a way back."""
    found = facts.observed.replica_set(status.stable_rs)
    if found is not None:
        yield from _sized(found, facts.replicas)
    elif status.stable_rs and facts.observed.wanted and facts.observed.wanted.hash == status.stable_rs:
        yield EnsureReplicaSet(status.stable_rs, _newest(facts) + 1, facts.replicas)


def _canary_pods(facts: Facts, status: RolloutStatus) -> Iterator[Action]:
    revision = status.current_pod_hash
    wanted = facts.observed.wanted
    if not revision or revision == status.stable_rs or status.stage not in UNDER_WAY | {Stage.INITIAL}:
        return
    found = facts.observed.replica_set(revision)
    idle = found is None or found.wanted == 0
    if idle and (facts.invalid or (facts.paused_by_user(status) and status.stage not in CARRYING)):
        return
    count = canary_pods(facts, status)
    if found is not None and found.revision >= _newest(facts):
        yield from _sized(found, count)
    elif wanted is not None and wanted.hash == revision:
        yield EnsureReplicaSet(revision, _newest(facts) + 1, count)


def canary_pods(facts: Facts, status: RolloutStatus) -> int:
    """Pods for the revision under way, before weight moves; none goes before a lower weight has drained."""
    if status.stage not in {Stage.RESETTING, Stage.STEPPING} or status.promote_full or not facts.steps:
        return facts.replicas
    least = facts.canary.min_pods_per_replica_set if facts.canary else 1
    level = schedule.level(facts.steps, status.current_step_index)
    needed = replicas.canary(max(level, status.canary.desired_weight), facts.replicas, least)
    return needed if _drained(facts, status) else max(needed, _held_pods(facts, status))


def _drained(facts: Facts, status: RolloutStatus) -> bool:
    """Whether a lower weight has stood long enough to take pods away (invariant I2)."""
    return status.weight_since is not None and facts.now >= status.weight_since + schedule.DRAIN


def _held_pods(facts: Facts, status: RolloutStatus) -> int:
    found = facts.observed.replica_set(status.current_pod_hash)
    return min(facts.replicas, found.wanted if found else 0)


def _newest(facts: Facts) -> int:
    return max((each.revision for each in facts.observed.replica_sets), default=0)


def _sized(found: ReplicaSet, count: int, scale_down_at: datetime | None = None) -> Iterator[Action]:
    if (found.wanted, found.scale_down_at) != (count, scale_down_at):
        yield EnsureReplicas(found.name, count, scale_down_at)


def _beyond_limit(facts: Facts, old: Sequence[ReplicaSet]) -> Sequence[ReplicaSet]:
    """Versions that don't keep their pods for the delay, since newer ones do."""
    limit = facts.canary.scale_down_delay_revision_limit if facts.canary else None
    waiting = [each for each in old if each.wanted]
    return [] if limit is None else waiting[: max(len(waiting) - limit, 0)]


def _old_pods(facts: Facts, status: RolloutStatus, old: ReplicaSet, *, hurried: bool) -> Iterator[Action]:
    """Pods that are no longer needed go when no traffic reached them for the delay (invariant I2)."""
    delay = schedule.DRAIN if hurried else _delay(facts, status, old)
    if old.wanted == 0:
        yield from _sized(old, 0)
    elif status.stage is Stage.RETURNING or (delay is None and old.scale_down_at is None):
        return
    elif _reached(facts, status, old):
        yield from _sized(old, old.wanted)
    else:
        due = old.scale_down_at or facts.now + (delay or schedule.DRAIN)
        due = min(due, facts.now + schedule.DRAIN) if hurried else due
        yield from _sized(old, 0) if due <= facts.now else _sized(old, old.wanted, due)


def _delay(facts: Facts, status: RolloutStatus, old: ReplicaSet) -> timedelta | None:
    """How long unused pods stay; None keeps them."""
    assert facts.canary is not None
    match status.stage:
        case Stage.STABLE:
            seconds = facts.canary.scale_down_delay_seconds
        case Stage.REFUSED if old.hash == status.current_pod_hash:
            seconds = facts.canary.abort_scale_down_delay_seconds
            if seconds == 0:
                return None
        case _:
            seconds = 0
    return max(timedelta(seconds=seconds), schedule.DRAIN)


def _reached(facts: Facts, status: RolloutStatus, old: ReplicaSet) -> bool:
    """Whether traffic may still reach these pods, by what was read: a Service with weight finds them."""
    stable, canary, live = facts.observed.stable_service, facts.observed.canary_service, facts.live
    if stable is None or canary is None or live is None:
        return True
    found = [
        service
        for service, carries in ((stable, live < 100), (canary, not facts.settled_at(status, 0)))
        if carries and (service.hash == old.hash or service.ready_of(old.hash) > 0)
    ]
    return bool(found)


def _beyond_history(facts: Facts, status: RolloutStatus) -> Iterator[RemoveReplicaSet]:
    """Old ReplicaSets without pods beyond the limit, oldest first."""
    assert facts.spec is not None
    old = ask.others(facts.observed.replica_sets, status.stable_rs, status.current_pod_hash)
    empty = [each for each in old if each.wanted == 0 and each.created == 0]
    for each in empty[: max(len(empty) - facts.spec.revision_history_limit, 0)]:
        yield RemoveReplicaSet(each.name)

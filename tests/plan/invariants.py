"""The safety invariants of the controller, held against every single write, by what the world itself knows.

Nothing here asks the planner: what an arm carries is computed from the routes and selectors of the world.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rollout.api.rollout import AnalysisStep, JudgeStep
from rollout.api.status import Phase, RolloutStatus, Stage, Verdict
from rollout.plan import replicas, schedule
from rollout.plan.actions import (
    Action,
    Announce,
    ClearIntent,
    EnsureFinalizer,
    EnsureReplicas,
    EnsureSelector,
    EnsureWeights,
    RecordStatus,
    RemoveReplicaSet,
    WakeAt,
)
from rollout.plan.evidence import Outcome
from rollout.plan.observed import Observed

if TYPE_CHECKING:
    from world import World

DRAIN = timedelta(seconds=5)
PATIENCE = timedelta(seconds=60)
_CARRYING = {Stage.STEPPING, Stage.PROMOTING, Stage.SWITCHING}
_WINDOW = "the rollback window"
_GATED = {"promote", "promote-full", "promoteIfCompatible"}


def hold(world: World, action: Action, seen: Observed) -> None:
    """Refuse a write that breaks an invariant."""
    match action:
        case EnsureWeights() | EnsureSelector() if not world.finalized:
            raise AssertionError("traffic is written before the finalizer holds the Rollout")
        case EnsureFinalizer(False):
            _released(world)
        case EnsureReplicas(_, count) if world.deleted_at is not None:
            assert count == 0, "pods are added to what is being deleted"
        case RecordStatus() | EnsureWeights() | EnsureSelector() | Announce() | WakeAt():
            pass
        case _:
            assert world.deleted_at is None, f"{action} for a Rollout that is being deleted"
    match action:
        case RecordStatus(status):
            _recorded(world, status, seen)
        case EnsureWeights(percent):
            _weighted(world, percent, seen)
        case EnsureSelector(service, revision):
            _selected(world, service, revision, seen)
        case EnsureReplicas(name, count):
            _sized(world, name, count)
        case RemoveReplicaSet(name):
            assert world.pods[name].wanted == 0, f"I2: {name} is removed with its pods"


def turned(world: World, seen: Observed, actions: list[Action]) -> None:
    """Refuse a plan that leaves out what must be done at once, or that waits without saying until when."""
    kept = next((each.status for each in actions if isinstance(each, RecordStatus)), seen.status)
    deeds = [each for each in actions if not isinstance(each, Announce | WakeAt | ClearIntent)]
    assert deeds[:1] in ([], [EnsureFinalizer(held=False)]) or isinstance(deeds[0], RecordStatus), (
        f"not fenced: {deeds}"
    )
    assert sum(isinstance(each, RecordStatus) for each in actions) <= 1
    if EnsureFinalizer(held=False) in deeds or (world.deleted_at is not None and not world.finalized):
        return
    if kept.stage not in {Stage.STABLE, Stage.REFUSED} or world.deleted_at is not None:
        assert any(isinstance(each, WakeAt) for each in actions), f"waits without a look in {kept.stage}"
    stable, canary, live = seen.stable_service, seen.canary_service, seen.canary_percent
    if stable is None or canary is None or live is None:
        return
    lowered = [each.canary_percent for each in actions if isinstance(each, EnsureWeights)]
    revision = kept.stable_rs or kept.current_pod_hash
    if world.deleted_at is not None:
        kept = kept.model_copy(update={"stage": Stage.ROLLING_BACK})
    due = stable.settled or canary.ready_total == 0
    known = live < 100 or (due and stable.hash == revision and stable.serves_only(revision))
    takes = stable.ready_of(revision) > 0 and known
    if live > seen.status.canary.desired_weight and takes:
        assert lowered, "I3: a foreign raise stays"
        assert lowered[0] <= seen.status.canary.desired_weight, "I3: a foreign raise stays in part"
    if world.deleted_at is not None and takes and live > 0:
        assert lowered == [0], "a deletion leaves the canary its weight"
    if kept.stage in _CARRYING and stable.hash == kept.stable_rs and takes and live > 0:
        assert canary.ready_of(kept.current_pod_hash) or lowered == [0], (
            "I1: the canary is gone, its weight stays"
        )


def _weighted(world: World, percent: int, seen: Observed) -> None:
    assert seen.stable_service is not None, "I1: a weight beside a stable Service that was not seen"
    stable, canary, before = seen.stable_service, seen.canary_service, seen.status
    live = world.weight if world.weight is not None else 0
    assert percent <= world.status.canary.desired_weight, "I9: written before it was recorded"
    if percent > live:
        assert world.deleted_at is None, "the canary is raised in a deletion"
        assert canary is not None, "I1: the canary is raised, its Service was not seen"
        assert canary.ready_total > 0, f"I1: canary gets {percent} % without endpoints"
        assert percent <= before.canary.desired_weight, "I3: raised in the turn that first recorded it"
        assert world.status.stage in _CARRYING, f"I8: raised in {world.status.stage}"
        key = world.status.attempt.partition(".")[0]
        assert key not in world.condemned, f"I7: {key} was refused and gets traffic"
        assert canary.hash == world.status.current_pod_hash, "I4: the canary Service reaches another revision"
        assert canary.serves_only(canary.hash), f"I4: canary endpoints are {canary.ready}"
        assert canary.settled, "I4: the canary Service has not settled"
        needed = max(replicas.canary(percent, world.needed), 1)
        dead = stable.ready_total == 0
        assert dead or canary.ready_total >= needed, f"I4: {canary.ready} for {percent} %"
        assert percent < 100 or dead or world.count(canary.hash) >= world.needed, "all traffic needs all pods"
    if percent < live:
        assert stable.ready_total > 0, f"I1: stable gets {100 - percent} % without endpoints"
        dead = canary is None or canary.ready_total == 0
        assert live < 100 or dead or world.meddled or stable.settled, "I4: the stable Service has not settled"


def _selected(world: World, service: str, revision: str | None, seen: Observed) -> None:
    if revision is None:
        _opened(world, service, seen)
        return
    is_stable = service == world.stable.name
    found = world.stable if is_stable else world.canary
    adopted = found.hash is None or not seen.status.stable_rs
    idle = seen.canary_percent == (100 if is_stable else 0)
    # Where somebody else wrote weight or selector, putting it right comes before the order of things.
    meddled = found.meddled or world.meddled
    assert idle or adopted or meddled, f"I4: {service} changes at canary weight {seen.canary_percent}"
    assert any(each.hash == revision and each.available for each in seen.replica_sets), (
        f"{revision} has no pods"
    )


def _opened(world: World, service: str, seen: Observed) -> None:
    """A Service without our hash reaches every version."""
    assert world.deleted_at is not None, f"I4: {service} is opened, and nothing is deleted"
    assert not world.weight, f"I4: {service} is opened at canary weight {world.weight}"
    stable = world.stable.hash
    let_in = {each.hash: each.created for each in seen.replica_sets if each.hash != stable and each.created}
    if service == world.stable.name and stable in (world.status.stable_rs, world.status.current_pod_hash):
        let_in.pop(world.status.stable_rs or stable, None)
        assert not let_in, f"I3: {service} is opened to {let_in}"


def _released(world: World) -> None:
    assert world.deleted_at is not None, "the finalizer goes, and nothing is deleted"
    if world.now < world.deleted_at + PATIENCE:
        ours = {each.hash for each in world.pods.values()} | {
            world.status.stable_rs,
            world.status.current_pod_hash,
        }
        named = {each.hash for each in (world.stable, world.canary) if world.there(each)}
        assert not named & (ours - {""}), f"let go while Services name {named}"
        assert "route" in world.missing or not world.weight, f"let go at canary weight {world.weight}"


def _sized(world: World, name: str, count: int) -> None:
    found = world.pods[name]
    if count >= min(found.wanted, world.needed):
        return  # a person asked for fewer pods in all
    share = world.share(found.hash)
    if found.hash == world.status.stable_rs and world.status.stage is not Stage.RETURNING:
        assert count >= world.needed, f"I5: stable at {count} of {world.needed}"
    assert count >= replicas.canary(share, world.needed, least=1 if share else 0), (
        f"I2: {count} pods of {found.hash} left for {share} %"
    )
    if share == 0 and found.hash in world.last_traffic:
        assert world.now - world.last_traffic[found.hash] >= DRAIN, f"I2: {found.hash} has not drained"


def _recorded(world: World, after: RolloutStatus, seen: Observed) -> None:
    before = world.status
    assert after.turn == before.turn + 1, "a recorded turn moves the counter: else the PUT fences nobody"
    if after.canary.weights is not None:
        assert after.canary.weights.canary.weight == world.weight, "I9: calls observed what was not read"
    _intent_once(world, before, after)
    _within_window(world, before, after)
    _proved(world, before, after)
    if after.phase is Phase.HEALTHY:
        stands = (world.weight, world.stable.hash)
        assert stands == (0, after.stable_rs), f"I9: Healthy while the world is {stands}"
    if after.stage is Stage.ROLLING_BACK and after.verdict in {Verdict.ABORTED, Verdict.ROLLED_BACK}:
        world.condemned.add(after.attempt.partition(".")[0])
        world.discredited.add(after.current_pod_hash)
    if after.stable_rs != before.stable_rs:
        world.remember_stable(after.stable_rs)


def _intent_once(world: World, before: RolloutStatus, after: RolloutStatus) -> None:
    taken = after.intent
    if taken is None or taken.outcome != "Acted" or taken == before.intent or taken.state == "Cleared":
        return
    identity = (taken.action, taken.value, taken.set_at)
    assert identity not in world.acted, f"I12: {identity} acts twice"
    world.acted.append(identity)
    if taken.action in {"retry", "promote-full"} and world.wanted is not None:
        world.condemned.discard(world.wanted.attempt)


def _within_window(world: World, before: RolloutStatus, after: RolloutStatus) -> None:
    """I6: without steps goes what a person promoted in full, or was stable before and not refused since."""
    began = after.exception == _WINDOW and (before.exception, before.attempt) != (_WINDOW, after.attempt)
    edited = before.attempt.partition("-")[0] == after.attempt.partition("-")[0] and before.promote_full
    if began and not edited:
        assert world.spec is not None
        older = world.lineage[: world.lineage.index(before.stable_rs)]
        window = older[max(len(older) - world.spec.rollback_window.revisions, 0) :]
        assert after.current_pod_hash in window, f"I6: {after.current_pod_hash} is not in {window}"
        assert after.current_pod_hash not in world.discredited, "I6: refused after it was promoted"
    if before.stage is Stage.RESETTING and after.stage is Stage.PROMOTING and world.spec is not None:
        named = {"promote-full", _WINDOW} & {after.exception}
        assert named or not world.spec.strategy.canary.steps, "I6: all steps are skipped, nobody says why"


def _proved(world: World, before: RolloutStatus, after: RolloutStatus) -> None:
    """I6: past a judgement only with a proof of this step, or with an exception that the status names."""
    canary = world.spec.strategy.canary if world.spec else None
    if canary is None or before.stage is not Stage.STEPPING or before.attempt != after.attempt:
        return
    index = before.current_step_index or 0
    past = after.stage is Stage.PROMOTING or (
        after.stage is Stage.STEPPING and (after.current_step_index or 0) > index
    )
    at_end = index >= len(canary.steps)
    gated = (
        canary.analysis is not None if at_end else isinstance(canary.steps[index], AnalysisStep | JudgeStep)
    )
    excepted = any(name in after.exception for name in _GATED)
    if not (past and gated) or excepted:
        return
    assert world.evidence.outcome is Outcome.NOT_WORSE, f"I6: passed step {index} on {world.evidence.outcome}"
    assert world.evidence.step_key == schedule.evidence_key(canary.steps, index), (
        "I6: a proof of another step"
    )
    assert world.weight == schedule.level(canary.steps, index), "I6: proved at another weight than the step's"

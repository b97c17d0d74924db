"""A version that was stable a short while ago comes back without steps: its pods alone have to be well."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from situations import CRASH, JUDGED, at, degraded, healthy
from world import World, says, spec, steady

from rollout.api.rollout import RolloutSpec
from rollout.api.status import PROMOTED_LIMIT, Phase, PromotedRevision, RolloutStatus, Stage, Verdict
from rollout.plan import history
from rollout.plan.actions import EnsureReplicaSet, EnsureRun, EnsureWeights
from rollout.plan.evidence import Outcome

GOOD = says(Outcome.NOT_WORSE)


def window(revisions: int | None) -> RolloutSpec:
    asked: dict[str, Any] = {} if revisions is None else {"rollbackWindow": {"revisions": revisions}}
    return spec(*JUDGED, {"pause": {"duration": "10s"}}, analysis=True, **asked)


def promoted(*revisions: str, within: int | None) -> World:
    """Versions that became stable one after another."""
    world = steady(window(within), revisions[0])
    world.judge = GOOD
    for each in revisions[1:]:
        world.push(each)
        world.run(healthy)
    world.quiet()
    del world.writes[:], world.events[:]
    return world


def weights(world: World) -> list[int]:
    return [each.canary_percent for each in world.writes if isinstance(each, EnsureWeights)]


def steps_taken(world: World) -> bool:
    return 25 in weights(world)


@pytest.mark.parametrize(
    ("before", "within", "wanted", "takes_steps"),
    [
        pytest.param("AB", None, "A", True, id="no window: every step"),
        pytest.param("AB", 0, "A", True, id="a window of none: every step"),
        pytest.param("AB", 1, "A", False, id="the version before, in a window of 1: no step"),
        pytest.param("ABC", 1, "A", True, id="two versions before, in a window of 1: every step"),
        pytest.param("ABC", 2, "A", False, id="two versions before, in a window of 2: no step"),
        pytest.param("ABC", 2, "D", True, id="a version that never was stable: every step"),
        pytest.param("ABA", 3, "B", True, id="the version that people went back from: every step"),
        pytest.param("ABCB", 1, "A", False, id="what was left for an older one does not count: no step"),
    ],
)
def test_a_version_comes_back_without_steps_if_it_was_among_the_last_that_were_stable(
    before: str, within: int | None, wanted: str, takes_steps: bool
) -> None:
    world = promoted(*before, within=within)
    world.push(wanted)
    world.run(healthy)
    assert steps_taken(world) is takes_steps
    assert world.status.stable_rs == world.stable.hash == wanted
    last = world.status.history[-1]
    assert last.verdict is Verdict.PROMOTED
    assert (last.reason == "the rollback window") is not takes_steps
    assert ("RollbackWithinWindow" in world.reasons()) is not takes_steps


def test_it_asks_for_pods_and_for_nothing_else() -> None:
    """Where an analysis runs all the same, a metric can hold up the way back (argo-rollouts#3669)."""
    world = promoted("v1", "v2", within=1)
    world.judge = says(Outcome.WORSE)
    world.working["v1"] = 3
    world.push("v1")
    world.wait(60)
    assert (world.stage, weights(world)) == (Stage.PROMOTING, [])
    assert world.status.message == "promoting: 3 of 4 pods available"
    del world.working["v1"]
    world.run(healthy)
    assert weights(world) == [100, 0]
    assert not [each for each in world.writes if isinstance(each, EnsureRun)]


def test_pods_are_at_full_size_before_any_traffic_and_the_old_ones_stay_until_they_are() -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v1")
    world.run(lambda world: world.weight == 100)
    first = next(each for each in world.writes if isinstance(each, EnsureReplicaSet | EnsureWeights))
    assert isinstance(first, EnsureReplicaSet)
    assert (first.hash, first.replicas, world.count("v2")) == ("v1", 4, 4)


def test_out_of_a_canary_its_weight_goes_first() -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v3")
    world.run(lambda world: world.weight == 25)
    world.push("v1")
    world.run(healthy)
    assert weights(world) == [25, 0, 100, 0]
    verdicts = [(each.hash, each.verdict) for each in world.status.history[-2:]]
    assert verdicts == [("v3", Verdict.SUPERSEDED), ("v1", Verdict.PROMOTED)]


@pytest.mark.parametrize("stage", [Stage.RESETTING, Stage.PROMOTING, Stage.SWITCHING])
def test_it_can_be_aborted_on_its_way_and_takes_all_steps_from_then_on(stage: Stage) -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v1")
    world.run(at(stage))
    world.annotate("abort", "not that one")
    world.run(degraded)
    assert (world.weight, world.stable.hash, world.status.verdict) == (0, "v2", Verdict.ABORTED)
    world.push("v2")
    world.run(healthy)
    world.push("v1")
    world.run(degraded)
    assert world.stage is Stage.REFUSED, "a refusal outweighs an earlier promotion"
    world.push("v1", attempt="v1-other-attempt")
    world.run(healthy)
    assert steps_taken(world), "of other steps, too"


def test_pods_that_crash_on_its_way_roll_it_back() -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v1")
    world.run(lambda world: world.weight == 100)
    world.pods["shop-v1"].troubles = CRASH
    world.run(degraded)
    assert (world.weight, world.status.verdict) == (0, Verdict.ROLLED_BACK)
    world.pods["shop-v1"].troubles = ()
    world.wait(2)
    world.annotate("retry")
    world.run(healthy)
    assert steps_taken(world), "a retry asks for proof"


def test_a_version_that_passed_after_a_refusal_may_come_back_again() -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v1")
    world.run(at(Stage.RESETTING))
    world.annotate("abort")
    world.run(degraded)
    world.wait(2)
    world.annotate("retry")
    world.run(healthy)
    world.push("v3")
    world.run(healthy)
    del world.writes[:]
    world.push("v1")
    world.run(healthy)
    assert not steps_taken(world)


def test_steps_that_are_edited_on_its_way_are_not_taken_either() -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v1")
    world.run(at(Stage.PROMOTING))
    other = spec({"setWeight": 10}, analysis=True, rollbackWindow={"revisions": 0})
    world.push("v1", spec=other, attempt="v1-edited")
    world.run(healthy)
    assert weights(world) == [100, 0]
    assert world.status.history[-1].reason == "the rollback window"


def test_a_window_that_is_too_small_by_now_is_asked_when_the_version_is_wanted() -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v1", spec=window(0))
    world.run(healthy)
    assert steps_taken(world)


def test_a_pause_by_hand_holds_it() -> None:
    world = promoted("v1", "v2", within=1)
    world.push("v1")
    world.run(at(Stage.RESETTING))
    world.annotate("pause")
    world.wait(60)
    assert (world.phase, weights(world)) == (Phase.PAUSED, [])
    world.annotate("resume")
    world.run(healthy)


def test_a_version_that_became_stable_before_promotions_were_remembered_is_remembered_when_it_is_left() -> (
    None
):
    world = promoted("v1", within=1)
    world.status = world.status.model_copy(update={"promoted": ()})
    world.push("v2")
    world.run(healthy)
    assert [each.hash for each in world.status.promoted] == ["v1", "v2"]


def test_so_many_promotions_are_remembered_and_no_more() -> None:
    status = RolloutStatus()
    for number in range(2 * PROMOTED_LIMIT):
        status = status.model_copy(update={"current_pod_hash": f"v{number}"})
        status = status.model_copy(update={"promoted": history.promoting(status), "stable_rs": f"v{number}"})
    last = [f"v{number}" for number in range(PROMOTED_LIMIT - 1, 2 * PROMOTED_LIMIT)]
    assert status.promoted == tuple(PromotedRevision(hash=each) for each in last)


def _killed(turn: int | None, action: int) -> World:
    world = copy.deepcopy(_BEFORE)
    world.push("v1")
    for count in range(60):
        world.turn(action if count == turn else None)
        if world.stage is Stage.STABLE and world.wake is None:
            return world
        world.now += timedelta(seconds=4)
    raise AssertionError(f"never ends: {world}")


_BEFORE = promoted("v1", "v2", within=1)


def test_a_kill_after_any_action_leads_to_the_same_end() -> None:
    """Invariant I10."""
    whole = _killed(None, 0)
    turns = int((whole.now - _BEFORE.now).total_seconds() // 4) + 1
    for turn in range(turns):
        for action in range(6):
            world = _killed(turn, action)
            assert not steps_taken(world)
            assert (world.phase, world.weight, world.status.promoted) == (
                whole.phase,
                whole.weight,
                whole.status.promoted,
            )
            assert world.status.history[-1].reason == "the rollback window"
            assert world.count("v2") == 0

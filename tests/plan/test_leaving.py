"""A Rollout that is being deleted: what is done, in which order, and when it is let go."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from situations import HALF, aborted_at_half, at, degraded, healthy, paused
from world import CANARY, STABLE, World, says, spec, steady

from rollout.api.status import Stage
from rollout.plan.actions import (
    Action,
    Announce,
    EnsureFinalizer,
    EnsureReplicas,
    EnsureReplicaSet,
    EnsureSelector,
    EnsureWeights,
    RecordStatus,
    WakeAt,
)
from rollout.plan.evidence import Outcome
from rollout.plan.observed import Observed
from rollout.plan.planner import plan

PATIENCE = timedelta(seconds=60)
RELEASE = EnsureFinalizer(held=False)
OPEN = [EnsureSelector(CANARY, None), EnsureSelector(STABLE, None)]


def stable() -> World:
    return steady(spec(*HALF))


def reached(stage: Stage) -> Callable[[], World]:
    def situation() -> World:
        world = steady(spec({"setWeight": 50}))
        world.push("v2")
        return world.run(at(stage))

    return situation


def halfway() -> World:
    world = stable()
    world.push("v2")
    return world.run(paused)


def first() -> World:
    world = World(spec(*HALF), working={"v1": 3})
    world.push("v1")
    return world.wait(10)


def deeds(world: World) -> list[Action]:
    """What was done since the last Event of a completed rollout: writes but for records."""
    return [each for each in world.writes if not isinstance(each, RecordStatus)]


def left(world: World) -> list[Action]:
    """Delete it and go on until it is gone; what was done."""
    world.delete()
    world.writes.clear()
    world.run(lambda world: world.gone)
    return deeds(world)


@pytest.mark.parametrize(
    ("situation", "done"),
    [
        pytest.param(stable, [*OPEN, RELEASE], id="stable: the selectors open, then it goes"),
        pytest.param(
            reached(Stage.RESETTING),
            [
                EnsureSelector(CANARY, None),
                EnsureReplicas("shop-v2", 0),
                EnsureSelector(STABLE, None),
                RELEASE,
            ],
            id="resetting: no canary pod is left when the stable Service opens",
        ),
        pytest.param(
            halfway,
            [
                EnsureWeights(0),
                EnsureSelector(CANARY, None),
                EnsureReplicas("shop-v2", 0),
                EnsureSelector(STABLE, None),
                RELEASE,
            ],
            id="at 50 %: the weight first",
        ),
        pytest.param(
            reached(Stage.SWITCHING),
            [
                EnsureSelector(STABLE, "v1"),
                EnsureWeights(0),
                EnsureSelector(CANARY, None),
                EnsureReplicas("shop-v2", 0),
                EnsureSelector(STABLE, None),
                RELEASE,
            ],
            id="switching: back to the version that was stable",
        ),
        pytest.param(
            reached(Stage.RETURNING),
            [
                EnsureSelector(CANARY, None),
                EnsureReplicas("shop-v1", 0),
                EnsureSelector(STABLE, None),
                RELEASE,
            ],
            id="returning: to the version that is stable now",
        ),
        pytest.param(aborted_at_half, [*OPEN, RELEASE], id="refused, its pods gone: as stable"),
    ],
)
def test_what_a_deletion_does(situation: Callable[[], World], done: list[Action]) -> None:
    world = situation()
    assert left(world) == done
    assert "TrafficNotReturned" not in world.reasons()


def test_a_rollout_that_never_wrote_traffic_goes_at_once() -> None:
    world = World(spec(*HALF), working={"v1": 0})
    world.push("v1")
    world.wait(5)
    world.delete()
    assert world.gone


def test_the_finalizer_is_set_in_the_turn_of_the_first_selector_just_before_it() -> None:
    world = first()
    kinds = [type(each) for each in world.writes if not isinstance(each, RecordStatus)]
    assert kinds[:3] == [EnsureReplicaSet, EnsureFinalizer, EnsureSelector]
    assert world.writes.count(EnsureFinalizer(held=True)) == 1


def test_a_finalizer_that_somebody_removed_is_set_again_while_traffic_is_ours() -> None:
    world = halfway()
    world.finalized = False
    world.turn()
    assert world.finalized


def test_nothing_is_asked_judged_or_promoted_any_more() -> None:
    world = steady(spec({"setWeight": 50}, {"judge": {"minDuration": "1s"}}, analysis=True))
    world.push("v2")
    world.run(lambda world: world.weight == 50)
    world.judge = says(Outcome.NOT_WORSE)
    world.annotate("promote-full")
    world.push("v3")
    assert EnsureWeights(0) in left(world)
    assert world.status.intent is None
    assert world.status.stage is Stage.STEPPING
    assert "v3" not in [each.hash for each in world.pods.values()]


def test_without_ready_stable_pods_nothing_is_raised_until_they_are_back() -> None:
    world = halfway()
    world.working["v1"] = 0
    world.delete()
    world.wait(30)
    assert (world.weight, world.gone) == (50, False)
    assert "no ready endpoints" in world.status.message
    del world.working["v1"]
    world.run(lambda world: world.gone)
    assert (world.weight, world.stable.hash, world.canary.hash) == (0, None, None)


def test_after_a_minute_it_is_let_go_with_a_warning_that_says_what_is_left() -> None:
    world = halfway()
    world.working["v1"] = 0
    world.delete()
    world.wait(59)
    assert not world.gone
    world.wait(2)
    assert world.gone
    warning = next(each for each in world.events if each.reason == "TrafficNotReturned")
    assert warning.warning
    assert "the route shop gives the canary 50 %" in warning.message
    assert f"the Service {CANARY} selects revision v2" in warning.message


def test_pods_that_an_orphaning_deletion_leaves_behind_are_not_let_into_the_stable_service() -> None:
    world = halfway()
    world.delete()
    world.run(lambda world: world.canary.hash is None)
    seen = world.observed()
    orphaned = replace(seen, replica_sets=())
    assert seen.canary_service is not None
    assert seen.canary_service.ready_of("v2") > 0
    later = world.now + timedelta(seconds=10)
    assert EnsureSelector(STABLE, None) not in plan(orphaned, says(Outcome.NONE)(world), later)
    over = plan(orphaned, says(Outcome.NONE)(world), world.now + PATIENCE)
    assert over[-1] == RELEASE
    assert "pods of another version" in str(over[0])
    gone = replace(orphaned, canary_service=replace(seen.canary_service, ready=(("v1", 4),)))
    assert EnsureSelector(STABLE, None) in plan(gone, says(Outcome.NONE)(world), later)


def test_a_status_that_can_not_be_written_holds_it_up_for_a_minute_at_most() -> None:
    world = halfway()
    world.deny = lambda action: isinstance(action, RecordStatus)
    world.delete()
    world.wait(61)
    assert world.gone


def test_a_hash_that_somebody_else_wrote_stays() -> None:
    world = stable()
    world.meddle_selector(world.canary, "theirs")
    assert left(world) == [EnsureSelector(STABLE, None), RELEASE]


@pytest.mark.parametrize(
    ("missing", "done"),
    [
        pytest.param(
            {"route"},
            [
                EnsureSelector(CANARY, None),
                EnsureReplicas("shop-v2", 0),
                EnsureSelector(STABLE, None),
                RELEASE,
            ],
            id="without the route: nothing to take back",
        ),
        pytest.param({"route", STABLE, CANARY}, [RELEASE], id="without anything: it goes at once"),
        pytest.param(
            {CANARY},
            [EnsureWeights(0), EnsureReplicas("shop-v2", 0), EnsureSelector(STABLE, None), RELEASE],
            id="without the canary Service: the weight all the same",
        ),
    ],
)
def test_what_is_missing_asks_nothing(missing: set[str], done: list[Action]) -> None:
    world = halfway()
    for each in missing:
        world.lose(each)
    assert left(world) == done


def test_an_invalid_spec_does_not_hold_it_up() -> None:
    world = halfway()
    world.spec, world.wanted = None, None
    assert left(world)[0] == EnsureWeights(0)
    assert "TrafficNotReturned" not in world.reasons()


def test_what_can_not_be_read_is_not_taken_for_missing() -> None:
    def unseen(seconds: float) -> list[Action]:
        observed = Observed(
            "shop",
            "shop",
            "uid",
            1,
            "1",
            halfway().status,
            deleted_at=world.now,
            finalized=True,
            unread="Services can't be listed",
        )
        return plan(observed, says(Outcome.NOT_WORSE)(world), world.now + timedelta(seconds=seconds))

    world = stable()
    assert [type(each) for each in unseen(1)] == [RecordStatus, WakeAt]
    warning, released = unseen(60)
    assert released == RELEASE
    assert isinstance(warning, Announce)
    assert "Services can't be listed" in warning.message


def test_a_canary_service_opens_before_the_pods_of_the_canary_go_and_the_stable_one_after() -> None:
    """Whoever asks the stable Service itself, without a route, never meets a canary."""
    world = halfway()
    world.delete()
    opened = None
    for _ in range(200):
        world.turn()
        if world.canary.hash is None and opened is None:
            opened = world.now
        if world.stable.hash is None:
            break
        world._pass(0.5)
    assert world.count("v2") == 0
    assert opened is not None
    assert opened - world.last_traffic["v2"] >= timedelta(seconds=2), "proxies may not have heard of weight 0"
    assert world.now - world.last_traffic["v2"] >= timedelta(seconds=5)


def test_a_degraded_rollout_is_no_longer_called_healthy_or_degraded_when_it_goes() -> None:
    world = halfway()
    world.annotate("abort")
    world.run(degraded)
    world.delete()
    world.turn()
    assert not healthy(world)
    assert "being deleted" in world.status.message
    assert world.condition("Healthy") == "False"

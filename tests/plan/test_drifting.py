"""Others write our weights and selectors: undone at once, told once a minute, no evidence from that time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from situations import HALF, degraded, healthy, paused
from world import CANARY, STABLE, World, says, spec, steady

from rollout.api.status import Stage
from rollout.plan import schedule
from rollout.plan.actions import EnsureSelector, EnsureWeights
from rollout.plan.drift import strayed
from rollout.plan.evidence import Outcome

JUDGED = ({"setWeight": 50}, {"judge": {"minDuration": "1s", "maxDuration": "5m"}})
DRIFTS = ("WeightDrift", "SelectorDrift")


def at_half() -> World:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    return world.wait(5)


def judged() -> World:
    world = steady(spec(*JUDGED, analysis=True))
    world.push("v2")
    world.judge = says(Outcome.UNDECIDED)
    world.run(lambda world: world.weight == 50)
    return world.wait(5)


def raised(world: World) -> None:
    world.meddle(80)


def lowered(world: World) -> None:
    world.meddle(20)


def wiped(world: World) -> None:
    world.meddle_selector(world.stable, None)


def emptied(world: World) -> None:
    world.meddle_selector(world.canary, None)


def swapped(world: World) -> None:
    world.meddle_selector(world.stable, "v2")


WRITES = (
    pytest.param(raised, EnsureWeights(50), "WeightDrift", id="a raised weight"),
    pytest.param(wiped, EnsureSelector(STABLE, "v1"), "SelectorDrift", id="the stable Service's hash, wiped"),
    pytest.param(emptied, EnsureSelector(CANARY, "v2"), "SelectorDrift", id="the canary Service's, wiped"),
    pytest.param(swapped, EnsureSelector(STABLE, "v1"), "SelectorDrift", id="the stable Service's, swapped"),
)
Meddle = Callable[[World], None]


@pytest.mark.parametrize(("meddle", "remedy", "reason"), WRITES)
def test_it_is_undone_in_the_turn_that_sees_it(meddle: Meddle, remedy: object, reason: str) -> None:
    world = at_half()
    meddle(world)
    assert remedy in world.turn()
    assert world.reasons()[-1] == reason


def test_a_lowered_weight_is_restored_when_the_canary_can_carry_it() -> None:
    world = at_half()
    lowered(world)
    world.turn()
    assert (world.weight, world.reasons()[-1]) == (50, "WeightDrift")


def test_a_raise_is_left_where_stable_has_no_pod_to_take_it() -> None:
    """I1: nothing is sent to nobody."""
    world = at_half()
    world.working["v1"] = 0
    world.meddle(80)
    assert not [each for each in world.turn() if isinstance(each, EnsureWeights)]


@pytest.mark.parametrize(("meddle", "remedy", "reason"), WRITES)
def test_a_write_each_second_for_a_minute_is_undone_each_time_and_told_twice_at_most(
    meddle: Meddle, remedy: object, reason: str
) -> None:
    world = at_half()
    world.events.clear()
    undone = 0
    for _ in range(60):
        meddle(world)
        for _ in range(4):
            undone += remedy in world.turn()
            world.now += timedelta(milliseconds=250)
    assert undone == 60
    told = [
        each for each in world.events if each.reason in {*DRIFTS, "TrafficWeightUpdated", "SwitchService"}
    ]
    assert [each.reason for each in told] in ([reason], [reason, reason])
    world.wait(10)
    assert (world.weight, world.status.current_step_index) == (50, 1)
    assert next(each.count for each in world.status.drift if each.reason == reason) >= 60


def test_an_event_after_a_minute_says_how_often() -> None:
    world = at_half()
    world.events.clear()
    for _ in range(90):
        raised(world)
        world.turn()
        world.now += timedelta(seconds=1)
    told = [each.message for each in world.events if each.reason == "WeightDrift"]
    assert len(told) == 2
    assert "61 such writes by now" in told[1]


def test_a_second_drift_long_after_is_told_at_once() -> None:
    world = at_half()
    raised(world)
    world.wait(120)
    world.events.clear()
    raised(world)
    world.turn()
    assert world.reasons() == ["WeightDrift"]


def test_both_at_once_each_second_never_leave_the_canary_more_than_its_share() -> None:
    """The stable Service never comes to rest; but it carried before, and so it carries again."""
    world = at_half()
    for _ in range(60):
        world.meddle(100)
        wiped(world)
        world.turn()
        assert (world.weight, world.stable.hash) == (50, "v1")
        world.now += timedelta(seconds=1)


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(lambda: steady(spec(*HALF)), id="a first version"),
        pytest.param(lambda: at_half().run(paused), id="a step"),
    ],
)
def test_our_own_writes_are_no_drift(situation: Callable[[], World]) -> None:
    assert not set(DRIFTS) & set(situation().reasons())


@pytest.mark.parametrize("ending", ["promote", "abort"])
def test_neither_a_promotion_nor_a_rollback_is_taken_for_drift(ending: str) -> None:
    world = at_half()
    world.annotate(ending)
    world.run(lambda world: world.stage in {Stage.STABLE, Stage.REFUSED})
    world.quiet()
    assert not set(DRIFTS) & set(world.reasons())


def test_a_weight_that_could_not_be_lowered_at_once_is_ours() -> None:
    world = at_half()
    world.deny = lambda action: isinstance(action, EnsureWeights)
    world.annotate("abort")
    world.turn()
    world.deny = lambda action: False
    world.run(degraded)
    assert "WeightDrift" not in world.reasons()


def test_while_the_services_change_hands_a_wiped_selector_is_drift_all_the_same() -> None:
    world = at_half()
    world.annotate("promote")
    world.run(lambda world: world.stage is Stage.SWITCHING and world.stable.hash == "v2")
    for _ in range(10):
        wiped(world)
        world.turn()
        world.now += timedelta(seconds=1)
    assert world.reasons().count("SelectorDrift") == 1
    world.run(healthy)


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(raised, id="a raised weight"),
        pytest.param(lowered, id="a lowered weight"),
        pytest.param(wiped, id="the stable Service's selector"),
        pytest.param(emptied, id="the canary Service's selector"),
    ],
)
def test_requests_of_that_time_are_no_evidence(meddle: Meddle) -> None:
    world = judged()
    assert not strayed(world.observed())
    assert world.status.evidence_not_before is None
    meddle(world)
    assert strayed(world.observed()), "the judge is asked before the planner, and must see it by itself"
    seen = world.now
    world.turn()
    not_before = world.status.evidence_not_before
    assert not_before is not None
    assert not_before > seen + schedule.MIN_SETTLE
    world.wait(5)
    assert not strayed(world.observed())
    assert world.status.evidence_not_before == not_before, "what is in order again is counted again"


def test_a_proof_that_drift_interrupts_passes_no_step_until_the_weight_is_back_in_effect() -> None:
    world = judged()
    wiped(world)
    world.judge = says(Outcome.NOT_WORSE)
    world.deny = lambda action: isinstance(action, EnsureSelector)
    world.wait(10)
    assert world.status.current_step_index == 1
    world.deny = lambda action: False
    world.run(healthy)


def test_a_weight_that_strays_and_comes_back_by_itself_is_no_evidence_either() -> None:
    """Nothing could be undone: nobody was ready to take the traffic."""
    world = judged()
    world.working |= {"v1": 0, "v2": 0}
    world.meddle(90)
    world.wait(20)
    assert world.weight == 90
    assert world.status.evidence_not_before is not None
    assert world.status.evidence_not_before > world.now - schedule.MIN_SETTLE


def test_what_strays_and_can_not_be_undone_causes_no_write_a_turn() -> None:
    world = at_half()
    world.working |= {"v1": 0, "v2": 0}
    world.meddle(90)
    world.wait(10)
    world.writes.clear()
    for _ in range(100):
        world.turn()
        world.now += timedelta(milliseconds=100)
    assert len(world.writes) <= 6


def test_drift_at_rest_is_undone_and_is_nothing_to_the_judge() -> None:
    world = steady(spec(*HALF))
    world.meddle(30)
    assert not strayed(world.observed())
    world.turn()
    assert world.weight == 0
    assert world.reasons()[-1] == "WeightDrift"


def test_a_route_that_can_not_be_read_strays() -> None:
    world = judged()
    assert strayed(replace(world.observed(), routes=()))

"""Intents: taken first, acted on once, acknowledged."""

import copy
from datetime import timedelta

import pytest
from situations import HALF, at, degraded, paused
from world import says, spec, steady

from rollout.api.status import Phase, Stage, Verdict
from rollout.plan.actions import (
    ClearIntent,
    RecordStatus,
)
from rollout.plan.evidence import Outcome
from rollout.plan.transitions import UNDER_WAY


def test_an_intent_acts_once_even_while_its_annotation_can_not_be_removed() -> None:
    world = steady(spec(*HALF, {"setWeight": 75}, {"pause": {}}))
    world.push("v2")
    world.run(paused)
    world.deny = lambda action: isinstance(action, ClearIntent)
    world.annotate("promote")
    world.wait(60)
    assert (world.weight, world.phase) == (75, Phase.PAUSED)
    assert world.status.intent is not None
    assert world.status.intent.state == "Taken"
    world.deny = lambda action: False
    world.wait(3)
    assert (world.status.intent.state, world.weight, world.intents) == ("Cleared", 75, {})


def test_an_abort_does_not_wait_for_an_intent_that_can_not_be_cleared() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.deny = lambda action: isinstance(action, ClearIntent)
    world.annotate("pause")
    world.wait(3)
    world.annotate("abort")
    world.turn()
    assert world.weight == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("promote", "because", id="promote, set before this step began"),
        pytest.param("promote-full", "because", id="promote-full, set before this revision began"),
        pytest.param("resume", "because", id="resume, set before this revision began"),
        pytest.param("abort", "for=v9: because", id="abort, bound to another revision"),
        pytest.param("promote", "for=v1: because", id="promote, bound to another revision"),
    ],
)
def test_an_intent_that_speaks_of_something_else_is_superseded(key: str, value: str) -> None:
    world = steady(spec(*HALF))
    began = world.now
    world.wait(10)
    world.push("v2")
    world.run(paused)
    world.annotate(key, value, at=world.now if value.startswith("for") else began)
    world.wait(3)
    assert world.status.intent is not None
    assert (world.status.intent.outcome, world.status.intent.state) == ("Superseded", "Cleared")
    assert (world.weight, world.phase) == (50, Phase.PAUSED)


@pytest.mark.parametrize("key", ["abort", "promote", "promote-full", "pause", "resume", "retry", "restart"])
def test_an_intent_with_nothing_to_do_is_acknowledged_and_costs_two_writes(key: str) -> None:
    world = steady(spec(*HALF))
    world.wait(60)
    before = [each for each in world.writes if isinstance(each, RecordStatus)]
    world.annotate(key)
    world.wait(10)
    after = [each for each in world.writes if isinstance(each, RecordStatus)]
    assert world.status.intent is not None
    assert world.status.intent.state == "Cleared"
    assert world.status.intent.outcome in {"NothingToDo", "NotSupported"}
    assert len(after) - len(before) == 2
    assert world.reasons()[-1].startswith("Intent")


def test_an_intent_bound_to_the_revision_under_way_acts() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.annotate("abort", "for=v2: too slow")
    world.run(degraded)
    assert world.status.verdict_reason == "aborted by hand: too slow"


def test_a_retry_in_the_second_of_an_abort_acts_if_the_abort_was_acknowledged_before() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    second = world.now.replace(microsecond=0)
    world.annotate("abort", at=second)
    while world.status.intent is None or world.status.intent.state != "Cleared":
        world.turn()
    assert world.now < second + timedelta(seconds=1)
    world.annotate("retry", at=second)
    world.turn()
    assert (world.status.intent.action, world.status.intent.outcome) == ("retry", "Acted")
    world.run(paused)
    assert world.weight == 50


def test_a_retry_that_came_with_an_abort_does_not_act() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.annotate("retry")
    world.annotate("abort")
    world.wait(30)
    assert world.status.intent is not None
    assert (world.status.intent.action, world.status.intent.outcome) == ("retry", "Superseded")
    assert (world.stage, world.weight) == (Stage.REFUSED, 0)


def test_a_retry_that_could_not_be_cleared_does_not_act_again_after_an_abort() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.annotate("abort", "first")
    world.run(degraded)
    world.wait(2)
    world.deny = lambda action: isinstance(action, ClearIntent)
    world.annotate("retry")
    world.turn()
    world.annotate("abort", "second", at=world.now)
    world.turn()
    world.deny = lambda action: False
    world.wait(30)
    assert (world.stage, world.weight, world.intents) == (Stage.REFUSED, 0, {})


def test_git_14_an_abort_in_any_turn_of_any_step_is_one_abort_wherever_the_shell_dies() -> None:
    """Killed after its latch, and after each write from there to the removal of its annotation."""
    judge = {"minDuration": "2s", "maxDuration": "1m"}
    world = steady(
        spec(
            {"setWeight": 20},
            {"pause": {"duration": "3s"}},
            {"setWeight": 60},
            {"judge": judge},
            analysis=True,
        )
    )
    world.judge = says(Outcome.NOT_WORSE)
    world.push("v2")
    world.turn()
    places = set()
    while world.stage in UNDER_WAY:
        for dies_after in range(1, 5):
            stopped = copy.deepcopy(world)
            stopped.annotate("abort", "not today")
            actions = stopped.turn(dies_after)
            cleared = next(at for at, each in enumerate(actions) if isinstance(each, ClearIntent))
            assert stopped.status.intent is not None
            assert ("abort" in stopped.intents) is (dies_after <= cleared), (
                "else it was not killed in between"
            )
            stopped.run(at(Stage.REFUSED))
            stopped.wait(5)
            taken = stopped.status.intent
            assert taken is not None
            assert (taken.state, taken.outcome, stopped.intents, stopped.weight) == (
                "Cleared",
                "Acted",
                {},
                0,
            )
            assert [each.verdict for each in stopped.status.history] == [Verdict.PROMOTED, Verdict.ABORTED]
            assert len(stopped.acted) == 1
        places.add((world.stage, world.status.current_step_index))
        world.turn()
        world._pass(1.0)
    steps = {(Stage.STEPPING, index) for index in range(4)}
    assert places >= steps | {(stage, 4) for stage in (Stage.PROMOTING, Stage.SWITCHING)}
    assert (Stage.RESETTING, 0) in places

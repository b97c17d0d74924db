"""Steps that can't tell enough at the present traffic: said once, when a rollout begins."""

from collections.abc import Callable
from dataclasses import replace

from situations import JUDGED, healthy
from world import World, says, spec, steady

from rollout.plan.evidence import Evidence, Outcome

TOO_SHORT = "step 1 (judge at 50 %) has 10 min: to prove a good canary takes 2.0 h by errors"


def told(short: tuple[str, ...] | None, outcome: Outcome = Outcome.UNDECIDED) -> Callable[[World], Evidence]:
    judge = says(outcome)
    return lambda world: replace(judge(world), short=short)


def judging(short: tuple[str, ...] | None) -> World:
    world = steady(spec(*JUDGED, analysis=True))
    world.judge = told(short)
    world.push("v2")
    return world.wait(30)


def test_a_step_that_is_too_short_is_a_condition_and_one_event() -> None:
    world = judging((TOO_SHORT,))
    assert world.condition("StepsTooShort") == "True"
    said = next(each for each in world.status.conditions if each.type == "StepsTooShort")
    assert (said.reason, said.message) == ("MarginsOutOfReach", TOO_SHORT)
    assert world.reasons().count("StepsTooShort") == 1


def test_it_stands_while_nobody_asks_again_as_after_a_restart() -> None:
    world = judging((TOO_SHORT,))
    world.judge = told(None)
    world.wait(30)
    assert world.condition("StepsTooShort") == "True"
    assert world.reasons().count("StepsTooShort") == 1


def test_enough_traffic_and_no_answer_are_told_apart() -> None:
    for short, reason in (((), "MarginsInReach"), (None, "NothingKnown")):
        world = judging(short)
        said = next(each for each in world.status.conditions if each.type == "StepsTooShort")
        assert (said.status, said.reason) == ("False", reason)
        assert "StepsTooShort" not in world.reasons()


def test_it_ends_with_its_rollout_and_the_next_one_is_told_anew() -> None:
    world = judging((TOO_SHORT,))
    world.judge = told(None, Outcome.NOT_WORSE)
    world.run(healthy)
    assert world.condition("StepsTooShort") == "False"
    world.judge = told((TOO_SHORT,))
    world.push("v3")
    world.wait(30)
    assert world.condition("StepsTooShort") == "True"
    assert world.reasons().count("StepsTooShort") == 2


def test_it_changes_nothing_of_what_is_done() -> None:
    warned, unwarned = judging((TOO_SHORT,)), judging(None)
    assert (warned.weight, warned.stage, warned.phase) == (unwarned.weight, unwarned.stage, unwarned.phase)

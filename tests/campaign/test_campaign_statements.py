"""Stopped at any statement between fetch and the pushed verdict: one verdict, one revert, one apply."""

from types import FunctionType

import pytest

from rollout.gitops.pruning import Pruner

from .drawing import DOWN_S
from .faults import Fault, Kind
from .schedule import Schedule, Stage
from .stories import PROPOSED, PUT_BACK
from .test_campaign import holds

KILLS = (Kind.LEFT_GIT, Kind.LOST_GIT, Kind.LOST_DISK)
STATEMENTS = 9


@pytest.fixture(scope="module")
def counted(stage: Stage) -> dict[str, int]:
    """How often each statement runs where nothing goes wrong, in the order of their first time."""
    outcome = stage.run(Schedule(PUT_BACK.name), statements=True)
    assert outcome.violations == []
    assert len([each for each in outcome.statements if not each.startswith("git ")]) > 1000
    return outcome.statements


def evenly(sites: list[str], number: int, of: int) -> str:
    return sites[(2 * number + 1) * len(sites) // (2 * of)]


@pytest.mark.parametrize("number", range(STATEMENTS))
def test_a_kill_at_any_statement_leaves_one_verdict_one_revert_and_one_apply(
    stage: Stage, counted: dict[str, int], number: int
) -> None:
    site = evenly([each for each in counted if not each.startswith("git ")], number, STATEMENTS)
    kind = KILLS[number % len(KILLS)]
    nth = counted[site] if number % 2 else 1
    outcome = holds(
        stage, Schedule(PUT_BACK.name, (Fault(kind, site=site, nth=nth, seconds=DOWN_S),), number)
    )
    assert len(outcome.struck) == 1


@pytest.mark.parametrize("words", ["git fetch", "git notes", "git push"])
def test_a_git_that_is_killed_is_asked_again_and_nothing_is_done_twice(
    stage: Stage, counted: dict[str, int], words: str
) -> None:
    outcome = holds(stage, Schedule(PUT_BACK.name, (Fault(Kind.GIT_KILLED, site=words, nth=counted[words]),)))
    assert len(outcome.struck) == 1


def test_what_could_not_be_pushed_to_be_proposed_is_proposed_later(stage: Stage) -> None:
    third_push = Fault(Kind.GIT_KILLED, site="git push", nth=3)
    assert len(holds(stage, Schedule(PROPOSED.name, (third_push,))).struck) == 1


def test_what_was_applied_but_not_recorded_yet_is_not_put_back_by_the_next_operator(
    stage: Stage, counted: dict[str, int]
) -> None:
    applied = Fault(Kind.LOST_GIT, site=first_of(Pruner.prune, counted), seconds=DOWN_S)
    assert len(holds(stage, Schedule(PUT_BACK.name, (applied,))).struck) == 1


def first_of(function: FunctionType, counted: dict[str, int]) -> str:
    """The first statement of it that runs."""
    code = function.__code__
    lines = {
        int(line): site
        for site in counted
        for file, _, line in [site.partition(":")]
        if line and code.co_filename.endswith(file)
    }
    return lines[min(each for each in lines if each > code.co_firstlineno)]

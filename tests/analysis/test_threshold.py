"""Threshold metrics: measurements go in, one after the other, and a verdict stands at the end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.threshold import (
    ERROR_RETRY,
    Limits,
    Measurement,
    Phase,
    State,
    begin,
    begin_step,
    due,
    fold,
    passes,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {"s": Phase.SUCCESSFUL, "f": Phase.FAILED, "i": Phase.INCONCLUSIVE, "e": Phase.ERROR}
MINUTE = timedelta(minutes=1)


def measured(limits: Limits, letters: str, state: State | None = None) -> State:
    """The state after so many measurements, each when it is due, until the round is over."""
    state = state or begin("0", START)
    for letter in letters:
        at = due(limits, state)
        assert at is not None, f"nothing is measured after the round is over: {state.phase}"
        state = fold(limits, state, Measurement(KINDS[letter], at, at))
    return state


@pytest.mark.parametrize(
    ("limits", "letters", "phase"),
    [
        pytest.param(Limits(), "", Phase.RUNNING, id="nothing is measured: no verdict"),
        pytest.param(Limits(), "s", Phase.SUCCESSFUL, id="one measurement without an interval"),
        pytest.param(Limits(), "f", Phase.FAILED, id="one failure is one too many"),
        pytest.param(Limits(failure=1), "f", Phase.INCONCLUSIVE, id="only failures are no success"),
        pytest.param(Limits(), "i", Phase.INCONCLUSIVE, id="one without an answer is one too many"),
        pytest.param(Limits(count=3, interval=MINUTE), "ss", Phase.RUNNING, id="two of three"),
        pytest.param(Limits(count=3, interval=MINUTE), "sss", Phase.SUCCESSFUL, id="three of three"),
        pytest.param(
            Limits(count=3, interval=MINUTE, failure=1), "sfs", Phase.SUCCESSFUL, id="a failure is allowed"
        ),
        pytest.param(
            Limits(count=9, interval=MINUTE, failure=1), "sfsf", Phase.FAILED, id="a second one is not"
        ),
        pytest.param(
            Limits(count=4, interval=MINUTE, failure=-1), "fffs", Phase.SUCCESSFUL, id="no limit on failures"
        ),
        pytest.param(
            Limits(count=4, interval=MINUTE, inconclusive=2),
            "iisi",
            Phase.INCONCLUSIVE,
            id="a third without an answer",
        ),
        pytest.param(
            Limits(count=2, interval=MINUTE), "ses", Phase.SUCCESSFUL, id="an error counts as no measurement"
        ),
        pytest.param(Limits(count=2, interval=MINUTE), "eeee", Phase.RUNNING, id="four errors in a row"),
        pytest.param(Limits(count=2, interval=MINUTE), "eeeee", Phase.ERROR, id="five errors in a row"),
        pytest.param(
            Limits(count=9, interval=MINUTE), "eeeeseeee", Phase.RUNNING, id="a good reply between errors"
        ),
        pytest.param(
            Limits(count=9, interval=MINUTE), "eeeeees", Phase.RUNNING, id="a good reply after the limit"
        ),
        pytest.param(
            Limits(count=None, interval=MINUTE, consecutive_success=3, failure=9),
            "ssfsss",
            Phase.SUCCESSFUL,
            id="three successes in a row",
        ),
        pytest.param(
            Limits(count=4, interval=MINUTE, consecutive_success=3, failure=9),
            "ssfs",
            Phase.INCONCLUSIVE,
            id="never three in a row",
        ),
        pytest.param(
            Limits(count=4, interval=MINUTE, consecutive_success=3, failure=-1),
            "ssfs",
            Phase.FAILED,
            id="never three in a row, and failures have no limit of their own",
        ),
        pytest.param(
            Limits(count=5, interval=MINUTE, failure=0, inconclusive=5),
            "iif",
            Phase.FAILED,
            id="failure weighs more",
        ),
    ],
)
def test_the_verdict_after(limits: Limits, letters: str, phase: Phase) -> None:
    assert measured(limits, letters).phase is phase


def test_the_first_measurement_waits_for_the_initial_delay_and_each_next_for_the_interval() -> None:
    limits = Limits(count=None, interval=MINUTE, initial_delay=5 * MINUTE)
    state = begin("0", START)
    assert due(limits, state) == START + 5 * MINUTE
    end = START + 5 * MINUTE + timedelta(seconds=2)
    state = fold(limits, state, Measurement(Phase.SUCCESSFUL, START + 5 * MINUTE, end))
    assert due(limits, state) == end + MINUTE


@pytest.mark.parametrize(
    ("interval", "wait"),
    [
        pytest.param(5 * MINUTE, ERROR_RETRY, id="after ten seconds, whatever the interval"),
        pytest.param(timedelta(seconds=1), timedelta(seconds=1), id="after the interval, if that is sooner"),
        pytest.param(timedelta(milliseconds=1), timedelta(seconds=1), id="after a second at the soonest"),
        pytest.param(None, ERROR_RETRY, id="after ten seconds, without an interval"),
    ],
)
def test_an_error_is_tried_again(interval: timedelta | None, wait: timedelta) -> None:
    limits = Limits(count=1, interval=interval)
    assert due(limits, measured(limits, "e")) == START + wait


def test_a_source_that_is_away_is_asked_on_beyond_the_limit() -> None:
    limits = Limits(count=9, interval=MINUTE)
    assert due(limits, measured(limits, "eeeeee")) is not None


@pytest.mark.parametrize("letters", ["s", "f", "i"])
def test_a_round_that_is_over_is_not_measured(letters: str) -> None:
    assert due(Limits(), measured(Limits(), letters)) is None


COUNTED = Limits(count=3, interval=MINUTE, failure=1)
ENDLESS = Limits(count=None, interval=MINUTE, failure=1)


@pytest.mark.parametrize(
    ("limits", "letters", "may"),
    [
        pytest.param(COUNTED, "ss", False, id="a counted metric needs its whole round"),
        pytest.param(COUNTED, "sss", True, id="a counted metric with its round"),
        pytest.param(ENDLESS, "", False, id="an endless one needs a look"),
        pytest.param(ENDLESS, "s", True, id="an endless one whose last look was good"),
        pytest.param(ENDLESS, "sf", False, id="an endless one whose last look failed"),
        pytest.param(ENDLESS, "se", False, id="an endless one that can't be read now"),
        pytest.param(ENDLESS, "sfs", True, id="an endless one that is good again"),
        pytest.param(ENDLESS, "ff", False, id="one that failed"),
        pytest.param(
            Limits(count=None, interval=MINUTE, consecutive_success=2),
            "s",
            False,
            id="one that wants two in a row",
        ),
    ],
)
def test_a_step_may_pass(limits: Limits, letters: str, may: bool) -> None:
    assert passes(limits, measured(limits, letters)) is may


@pytest.mark.parametrize("limits", [COUNTED, ENDLESS], ids=["counted", "endless"])
def test_what_was_measured_in_the_step_before_lets_no_step_pass(limits: Limits) -> None:
    state = measured(limits, "sss")
    assert passes(limits, state)
    assert not passes(limits, begin_step(state, "2", START + timedelta(hours=1)))


def test_failures_of_a_round_that_goes_on_are_not_forgotten_with_the_step() -> None:
    state = begin_step(measured(ENDLESS, "sf"), "2", START + timedelta(hours=1))
    assert measured(ENDLESS, "f", state).phase is Phase.FAILED


def test_a_round_that_succeeded_is_followed_by_a_fresh_one() -> None:
    state = begin_step(measured(COUNTED, "sfs"), "2", START + timedelta(hours=1))
    assert due(COUNTED, state) == START + timedelta(hours=1)
    assert measured(COUNTED, "sfs", state).phase is Phase.SUCCESSFUL
    assert measured(COUNTED, "sfs", state).total.failed == 2


def test_a_round_without_an_answer_is_measured_anew_where_somebody_resumed() -> None:
    state = measured(Limits(), "i")
    assert begin_step(state, "0", START) is state
    later = begin_step(state, "0", START + MINUTE)
    assert (later.phase, due(Limits(), later)) == (Phase.RUNNING, START + MINUTE)


def test_only_the_last_measurements_are_kept() -> None:
    state = begin("0", START)
    for index in range(30):
        at = START + index * MINUTE
        state = fold(ENDLESS, state, Measurement(Phase.SUCCESSFUL, at, at, value=str(index)), retained=3)
    assert [each.value for each in state.measurements] == ["27", "28", "29"]
    assert state.total.count == 30


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from("sfie"), max_size=12),
    st.integers(-1, 3),
    st.integers(-1, 3),
    st.integers(0, 3),
    st.integers(1, 6),
)
def test_success_is_never_without_a_successful_measurement(
    letters: Sequence[str], failure: int, inconclusive: int, consecutive: int, count: int
) -> None:
    limits = Limits(
        count, MINUTE, failure=failure, inconclusive=inconclusive, consecutive_success=consecutive
    )
    state = begin("0", START)
    for letter in letters:
        at = due(limits, state)
        if at is None:
            break
        state = fold(limits, state, Measurement(KINDS[letter], at, at))
    if passes(limits, state):
        assert state.in_step.successful > 0
        assert failure < 0 or state.in_round.failed <= failure
    if state.phase is Phase.FAILED:
        assert state.in_round.failed > 0 or consecutive

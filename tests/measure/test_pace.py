"""When a fleet looks, and how often its numbers are written."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.measure.pace import CROWD, LONGEST_SPACING, SLOTS, next_look, slot, spacing, tolerance

NOW = datetime(2026, 1, 1, 0, 0, 3, 123456, tzinfo=UTC)
LEAST = timedelta(seconds=5)

INTERVALS = st.integers(200, 120_000).map(lambda ms: timedelta(milliseconds=ms))
INSTANTS = st.integers(0, 10**9).map(lambda ms: NOW + timedelta(milliseconds=ms))


@settings(derandomize=True, deadline=None)
@given(st.integers(0, SLOTS - 1), INTERVALS, INSTANTS)
def test_the_next_look_is_about_an_interval_away_and_then_each_interval(
    own: int, interval: timedelta, now: datetime
) -> None:
    first = next_look(own, interval, now)
    assert interval / 2 - timedelta(microseconds=1) <= first - now <= 1.5 * interval
    assert next_look(own, interval, first) == first + interval
    late = first + timedelta(milliseconds=90)
    assert next_look(own, interval, late) == first + interval, "a late turn moves no later look"
    early = first - tolerance(interval)
    assert next_look(own, interval, early) == first + interval, "nor does one that its timer woke too early"


def test_a_fleet_is_spread_over_the_interval() -> None:
    owners = Counter(slot("shop", f"service-{number}", 1) for number in range(1000))
    assert len(owners) == SLOTS
    assert max(owners.values()) < 2 * 1000 / SLOTS


def test_a_service_in_several_namespaces_is_asked_for_at_one_instant() -> None:
    assert len({slot(f"tenant-{number}", "web", CROWD - 1) for number in range(CROWD - 1)}) == 1


def test_a_name_that_very_many_have_is_spread_too() -> None:
    owners = Counter(slot(f"tenant-{number}", "web", 1000) for number in range(1000))
    assert max(owners.values()) < 2 * 1000 / SLOTS


@pytest.mark.parametrize(
    ("under_way", "apart"),
    [
        pytest.param(1, LEAST, id="one alone writes as soon as it may"),
        pytest.param(100, LEAST, id="a hundred do"),
        pytest.param(1000, timedelta(seconds=50), id="a thousand share twenty writes a second"),
        pytest.param(100_000, LONGEST_SPACING, id="nobody waits longer than a minute"),
    ],
)
def test_numbers_alone_are_written_at_a_rate_that_all_share(under_way: int, apart: timedelta) -> None:
    assert spacing(under_way, LEAST) == apart

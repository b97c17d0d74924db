from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from truth import Process, Target

from analysis.evidence import (
    START_MOVED_S,
    Counts,
    NotACounterError,
    Pair,
    Scrapes,
    Series,
    common_instant,
    count,
    count_histogram,
    exposure,
    scrape_interval,
    scrapes,
    tidy,
    to_datetime,
    to_ms,
)

LABELS = {"job": "shop", "instance": "a", "pod": "a", "code": "200"}
KNOWN = Scrapes(reach=0, began=0)


def series(*samples: tuple[int, float], **labels: str) -> Series:
    return Series({**LABELS, **labels}, samples)


def counted(*samples: tuple[int, float], cut: int = 10, until: int = 100, seen: Scrapes = KNOWN) -> float:
    return count([series(*samples)], cut, until, seen).value


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([(5, 3), (20, 5), (90, 9)], 6, id="the last value before the cut is the baseline"),
        pytest.param([(5, 3), (10, 4), (20, 5)], 1, id="a sample at the cut itself belongs to the past"),
        pytest.param([(5, 3), (100, 5), (101, 8)], 2, id="a sample at the end counts, one after it does not"),
        pytest.param(
            [(5, 7), (20, 9), (30, 2), (40, 4)], 6, id="a drop is a reset: what stands there is new"
        ),
        pytest.param([(5, 7), (20, 2), (30, 1)], 3, id="two resets in one interval both count"),
        pytest.param([(5, 7), (20, 7)], 0, id="no growth is no event"),
        pytest.param([(5, 7), (95, 9)], 2, id="a gap needs no interpolation: counters are cumulative"),
        pytest.param([(5, 7)], 0, id="a series that went away counted nothing"),
        pytest.param([(200, 7)], 0, id="a series of the future counts nothing yet"),
        pytest.param([], 0, id="an empty series counts nothing"),
        pytest.param([(20, 7), (30, 8)], 1, id="without a past the first value is only a baseline"),
    ],
)
def test_a_series_counts_what_it_gained(samples: list[tuple[int, float]], expected: float) -> None:
    assert counted(*samples) == expected


def seen_before(*instants: int, code: str = "200", **about: object) -> Scrapes:
    return scrapes([series(*((at, 1.0) for at in instants), code=code)], reach=0, began=0, **about)  # type: ignore[arg-type]


def process_started(at_ms: int, scraped: int = 20) -> tuple[Series, ...]:
    return (Series(LABELS, ((scraped, at_ms / 1000),)),)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(KNOWN, 1, id="an unknown target only sets the baseline"),
        pytest.param(seen_before(15), 8, id="its target was scraped without it: it is new"),
        pytest.param(seen_before(20, 30), 1, id="a sibling that came at the same scrape proves nothing"),
        pytest.param(
            scrapes([], up=[Series(LABELS, ((15, 1.0),))], reach=0, began=0),
            8,
            id="up says it was scraped without it",
        ),
        pytest.param(
            scrapes([series((15, 1.0))], up=[Series(LABELS, ((22, 1.0),))], reach=0, began=0),
            1,
            id="up says that this was the first scrape, whatever instants its samples bear",
        ),
        pytest.param(
            scrapes([], up=[Series(LABELS, ((15, 0.0),))], reach=0, began=0),
            1,
            id="a failed scrape saw nothing",
        ),
        pytest.param(
            scrapes([], up=[Series({**LABELS, "instance": "b"}, ((15, 1.0),))], reach=0, began=0),
            1,
            id="another target's scrape proves nothing",
        ),
        pytest.param(
            scrapes([], starts=process_started(12), reach=5, began=5),
            8,
            id="its process started inside the rollout",
        ),
        pytest.param(
            scrapes([], starts=process_started(12), reach=5, began=14),
            1,
            id="its process started before the rollout",
        ),
        pytest.param(
            scrapes([], starts=process_started(12), reach=14, began=5),
            1,
            id="it may have been counted out of our reach",
        ),
        pytest.param(
            scrapes([], pods={"a": 12}, reach=5, began=5), 8, id="the cluster says when its pod started"
        ),
        pytest.param(
            scrapes([], pods={"b": 12}, reach=5, began=5), 1, id="another pod's start proves nothing"
        ),
    ],
)
def test_a_new_series_counts_from_zero_only_where_it_is_known_to_be_new(
    seen: Scrapes, expected: float
) -> None:
    assert counted((20, 7), (30, 8), seen=seen) == expected
    assert count([series((20, 7), (30, 8))], 10, 100, seen).rebased == (expected == 1)


def test_a_busy_restart_is_told_by_the_process_start_although_no_value_drops() -> None:
    starts = [Series(LABELS, ((5, 1.0), (20, 9.0)))]
    assert counted((5, 10), (20, 15), seen=scrapes([], starts=starts, reach=0, began=0)) == 15
    assert counted((5, 10), (20, 15)) == 5


def test_an_exporter_that_rounds_its_start_time_has_not_restarted() -> None:
    starts = [Series(LABELS, ((5, 1.0), (20, 1.01)))]
    assert counted((5, 10), (20, 15), seen=scrapes([], starts=starts, reach=0, began=0)) == 5


def test_the_buckets_of_a_histogram_are_reset_together() -> None:
    fast = series((5, 2), (20, 3), le="0.1")
    every = series((5, 10), (20, 6), le="+Inf")
    assert [one.value for one in count_histogram([fast, every], 10, 100, KNOWN)] == [3, 6]


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        pytest.param([(1, -3.0)], "-3", id="a negative value"),
        pytest.param([(1, math.inf)], "inf", id="an infinite value"),
        pytest.param([(1, 2.0**53 + 2)], "9.0072e\\+15", id="a value whose neighbours a double can't tell"),
        pytest.param([(1, 0.5)], "0.5", id="half an event"),
        pytest.param([(1, 4.0), (1, 5.0)], "two values", id="two values at one instant"),
    ],
)
def test_what_no_counter_can_say_is_refused(samples: list[tuple[int, float]], said: str) -> None:
    with pytest.raises(NotACounterError, match=said):
        tidy(series(*samples))


def test_stale_markers_duplicates_and_disorder_are_tidied_away() -> None:
    messy = series((30, 5.0), (10, 1.0), (20, math.nan), (10, 1.0), (30, 5.0))
    assert tidy(messy).samples == ((10, 1.0), (30, 5.0))


def test_exposure_is_the_time_in_which_each_pod_was_watched() -> None:
    hour = 3_600_000
    of_pod = [series((0, 1), (hour, 1)), series((0, 1), (2 * hour, 4), code="500")]
    assert exposure(of_pod, 0, 2 * hour) == 2
    assert exposure(of_pod, hour, 2 * hour) == 1
    assert exposure([*of_pod, series((hour, 1), (2 * hour, 1), pod="b")], 0, 2 * hour) == 3
    assert exposure(of_pod, 2 * hour, 9 * hour) == 0


def test_the_scrape_interval_is_the_median_gap() -> None:
    assert scrape_interval([[0, 15, 30, 90], [7, 22]]) == 15
    assert scrape_interval([[3], []]) is None


@pytest.mark.parametrize(
    ("ends", "until", "expected"),
    [
        pytest.param({"a": 1000, "b": 1400}, 1500, 1500, id="all scrapes that are due are there"),
        pytest.param({"a": 400, "b": 1400}, 1500, 1300, id="a late scrape is waited for"),
        pytest.param({"a": 400, "b": 2500}, 2500, 2500, id="a target that missed two is gone"),
        pytest.param({"a": 1000, "b": 1400}, 9000, 1900, id="nobody is scraped any more: the clock stands"),
        pytest.param({}, 1500, 1500, id="nothing is known"),
    ],
)
def test_the_common_instant_waits_for_what_is_due(ends: dict[str, int], until: int, expected: int) -> None:
    live = [series((end, 1.0), instance=name) for name, end in ends.items()]
    assert common_instant(live, until, 1000) == expected


def test_a_selector_that_was_asked_just_before_a_scrape_holds_the_cut_back() -> None:
    asked_first, asked_later = series((1000, 1.0), code="500"), series((1000, 1.0), (2000, 2.0))
    assert common_instant([asked_first, asked_later], 2050, 1000) == 1900


def test_counts_and_pairs_add_and_swap() -> None:
    pair = Pair(Counts(1, 10), Counts(2, 90))
    assert pair + pair == Pair(Counts(2, 20), Counts(4, 180))
    assert pair.swapped() == Pair(Counts(2, 90), Counts(1, 10))
    assert Counts().rate is None
    assert Counts(1, 10).rate == 0.1


def test_times_are_whole_milliseconds_in_any_zone() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=timezone(timedelta(hours=2)))
    assert to_datetime(to_ms(at)) == datetime(2026, 1, 2, 1, 4, 5, 678_000, tzinfo=UTC)
    with pytest.raises(ValueError, match="zone"):
        to_ms(datetime(2026, 1, 2))  # noqa: DTZ001 - what is refused


# Properties, in a world whose truth is known event by event.

HORIZON, REACH = 60_000, -30_000


def apart(moments: set[int]) -> bool:
    """Whether processes that begin then can be told apart: a start that moves by less is a rounding."""
    return all(later - at > START_MOVED_S * 1000 for at, later in itertools.pairwise(sorted(moments)))


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """A target with up to four processes; scrapes every second with some that fail."""
    moments = st.sets(st.integers(REACH * 2, HORIZON), min_size=2, max_size=5)
    bounds = sorted(draw(moments.filter(apart)))
    processes = []
    for start, end in itertools.pairwise(bounds):
        events = draw(
            st.lists(st.tuples(st.integers(start, max(start, end - 1)), st.sampled_from("25")), max_size=12)
        )
        born_with = draw(st.sampled_from([frozenset(), frozenset("2"), frozenset("25")]))
        processes.append(Process(start, end, tuple(sorted(events)), born_with))
    phase = draw(st.integers(0, 4_999))
    failed = draw(st.sets(st.integers(0, 40), max_size=15))
    every = range(REACH * 2 + phase, HORIZON, 5_000)
    return Target("a", tuple(processes), tuple(at for k, at in enumerate(every) if k not in failed))


def reader(target: Target, codes: str, cut: int, until: int, reach: int) -> float:
    found = target.series("25", reach, until)
    seen = scrapes(
        found, up=target.up(reach, until), starts=target.starts(reach, until), reach=reach, began=REACH
    )
    return count([tidy(one) for one in found if one.labels["code"] in codes], cut, until, seen).value


@settings(max_examples=400, derandomize=True, deadline=None)
@given(targets(), st.integers(0, HORIZON), st.integers(0, HORIZON), st.sampled_from(["2", "5", "25"]))
def test_counts_are_the_truth_that_the_scrapes_could_see(
    target: Target, one: int, other: int, codes: str
) -> None:
    cut, until = sorted((one, other))
    assert reader(target, codes, cut, until, REACH) == target.truth(codes, cut, until, REACH, REACH)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(targets(), st.lists(st.integers(0, HORIZON), min_size=3, max_size=6))
def test_adjoining_intervals_add_up_to_the_whole(target: Target, cuts: list[int]) -> None:
    cuts.sort()
    parts = sum(reader(target, "25", a, b, REACH) for a, b in itertools.pairwise(cuts))
    assert parts == reader(target, "25", cuts[0], cuts[-1], REACH)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(targets(), st.lists(st.integers(0, HORIZON), min_size=3, max_size=6))
def test_a_reach_that_moves_along_never_counts_an_event_twice(target: Target, cuts: list[int]) -> None:
    cuts.sort()
    parts = sum(reader(target, "25", a, b, a - 12_000) for a, b in itertools.pairwise(cuts))
    assert parts <= target.truth("25", cuts[0], cuts[-1], REACH * 3, REACH * 3)

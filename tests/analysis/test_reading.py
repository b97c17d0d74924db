from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from truth import Process, Target

from analysis import (
    ArmSamples,
    Context,
    Counts,
    Histogram,
    InvalidPolicy,
    Mean,
    Metric,
    Pair,
    Policy,
    Proportion,
    Rate,
    Reading,
    Samples,
    Series,
    Slo,
    Status,
    lookback,
    read,
)
from analysis.evidence import to_ms
from analysis.reading import counted, seen_scrapes

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ERRORS = Metric("errors", Proportion("bad", "total"))
LATENCY = Metric("latency", Slo("buckets", (0.1, 0.3)))
RESTARTS = Metric("restarts", Rate("restarts_total"))
CONTEXT = Context(began=START, interval=timedelta(seconds=15))


def second(k: float) -> datetime:
    return START + timedelta(seconds=k)


def counter(*values: float, pod: str = "a", first: float = -15, every: float = 15, **labels: str) -> Series:
    """One sample every 15 s, the first before the cut."""
    samples = ((to_ms(second(first + every * k)), value) for k, value in enumerate(values))
    return Series({"job": "shop", "instance": pod, "pod": pod, **labels}, tuple(samples))


def arm(**series: Any) -> ArmSamples:
    return ArmSamples({key: some if isinstance(some, tuple) else (some,) for key, some in series.items()})


def look(
    canary: ArmSamples,
    stable: ArmSamples,
    metric: Metric = ERRORS,
    *,
    cut: float = 0,
    until: float = 35,
    **about: Any,
) -> Reading:
    context = Context(**{"began": START, "interval": timedelta(seconds=15), **about})
    return read(
        metric,
        Samples(canary, stable, second(cut) - timedelta(minutes=5)),
        second(cut),
        second(until),
        context,
    )


CANARY = arm(total=counter(100, 200, 300, 400), bad=counter(1, 2, 4, 9))
STABLE = arm(total=counter(900, 1800, 2700, 3600, pod="s"), bad=counter(9, 18, 27, 36, pod="s"))


def test_both_arms_are_counted_over_the_same_interval() -> None:
    reading = look(CANARY, STABLE)
    assert reading.status is Status.OK
    assert (reading.since, reading.until) == (second(0), second(35))
    assert reading.counts == (Pair(Counts(7, 200), Counts(18, 1800)),)
    assert reading.interval == timedelta(seconds=15)
    assert reading.notes == ()


@pytest.mark.parametrize(
    ("canary", "stable", "status", "said"),
    [
        pytest.param(
            arm(total=()), arm(total=()), Status.NO_DATA, "no series for total in either", id="no series"
        ),
        pytest.param(arm(total=()), STABLE, Status.NO_DATA, "only stable has series", id="only stable"),
        pytest.param(CANARY, arm(total=()), Status.NO_DATA, "only canary has series", id="only the canary"),
        pytest.param(
            arm(total=counter(math.nan, math.nan, math.nan, math.nan)),
            STABLE,
            Status.NO_DATA,
            "only stable",
            id="nothing but NaN is no series",
        ),
        pytest.param(
            arm(total=counter(100, 100, 100, 100)),
            STABLE,
            Status.WAITING,
            "no events of canary",
            id="a silent canary",
        ),
        pytest.param(
            CANARY,
            arm(total=counter(9, 9, 9, 9, pod="s")),
            Status.WAITING,
            "no events of stable",
            id="silent stable",
        ),
        pytest.param(
            arm(total=counter(100, -1, 300, 400)), STABLE, Status.ERROR, "value -1", id="a negative counter"
        ),
        pytest.param(
            arm(total=counter(1, 2, 2.0**60, 2.0**60)),
            STABLE,
            Status.ERROR,
            "1.15292e\\+18",
            id="a counter too large",
        ),
        pytest.param(
            arm(total=counter(100, 110, 120, 130), bad=counter(1, 2, 100, 101)),
            STABLE,
            Status.ERROR,
            "99 bad events of 20",
            id="more bad events than events",
        ),
    ],
)
def test_what_is_no_evidence_is_told_by_its_cause(
    canary: ArmSamples, stable: ArmSamples, status: Status, said: str
) -> None:
    reading = look(canary, stable)
    assert (reading.status, reading.counts, reading.until) == (status, (), second(0))
    assert said.replace("\\", "") in reading.cause


UP = (
    Series(
        {"job": "shop", "instance": "a", "pod": "a"},
        tuple((to_ms(second(k)), 1.0) for k in range(-15, 40, 15)),
    ),
)


def test_a_canary_that_is_scraped_but_had_no_request_yet_is_waited_for() -> None:
    reading = look(ArmSamples({"total": ()}, up=UP), STABLE)
    assert (reading.status, reading.cause) == (
        Status.WAITING,
        "canary is scraped but has no series for total yet",
    )


def test_a_rate_needs_no_event_where_the_scrapes_show_the_exposure() -> None:
    reading = look(
        ArmSamples({"events": ()}, up=UP), arm(events=counter(0, 0, 1, 1, pod="s")), RESTARTS, until=30
    )
    assert reading.counts[0] == Pair(Counts(0, 30 / 3600), Counts(1, 30 / 3600))


def test_an_arm_without_events_is_waited_for_so_that_no_look_holds_one_arm_alone() -> None:
    silent = arm(total=counter(100, 100, 100, 100, 200, 200, 200))
    stable = arm(total=counter(900, 1800, 2700, 3600, 4500, 5400, 6300, pod="s"))
    waiting = look(silent, stable, until=30)
    assert (waiting.status, waiting.seen) == (Status.WAITING, second(30))
    later = look(silent, stable, until=45)
    assert later.counts == (Pair(Counts(0, 100), Counts(0, 2700)),)


def test_waiting_for_an_arm_ends() -> None:
    silent = arm(total=counter(*[100] * 8))
    stable = arm(total=counter(*range(900, 9000, 900), pod="s"))
    reading = look(silent, stable, until=75)
    assert reading.status is Status.OK
    assert reading.counts[0].canary == Counts(0, 0)
    assert reading.cause == "no events of canary since the last look"


def test_no_bad_series_means_no_bad_events_yet() -> None:
    reading = look(arm(total=CANARY.series["total"]), STABLE)
    assert reading.counts[0].canary == Counts(0, 200)


def test_a_first_error_counts_although_its_series_is_new() -> None:
    fresh = arm(total=counter(100, 200, 300, 400), bad=counter(2, 2, first=15, code="500"))
    reading = look(fresh, STABLE)
    assert reading.counts[0].canary == Counts(2, 200)


def test_a_canary_pod_that_started_inside_the_rollout_counts_from_zero() -> None:
    late = arm(total=counter(40, 80, first=15))
    assert look(late, STABLE, started={"a": second(3)}).counts[0].canary == Counts(0, 80)
    rebased = look(late, STABLE)
    assert rebased.counts[0].canary == Counts(0, 40)
    assert rebased.notes == (
        "1 series without a value before the cut began anew: earlier events are not counted",
    )


def test_what_is_out_of_reach_is_given_up_and_said() -> None:
    many = [float(k) for k in range(200)]
    reading = look(
        arm(total=counter(*many)), arm(total=counter(*many, pod="s")), until=2000, reach=timedelta(minutes=10)
    )
    assert reading.since == second(0)
    assert reading.counts[0].canary.total == 40
    assert reading.notes[-1] == "1400 s before it were not counted: out of reach"


def test_the_clock_that_stands_before_the_cut_reads_nothing() -> None:
    assert look(CANARY, STABLE, cut=30, until=10).status is Status.WAITING


def test_a_source_that_serves_only_old_samples_does_not_move_the_cut() -> None:
    reading = look(CANARY, STABLE, cut=60, until=600)
    assert reading.status is Status.WAITING
    assert "no scrape" in reading.cause


def histogram(pod: str, *rows: tuple[float, float, float], **labels: str) -> tuple[Series, ...]:
    return tuple(
        counter(*(row[place] for row in rows), pod=pod, le=le, **labels)
        for place, le in enumerate(("0.1", "0.3", "+Inf"))
    )


FAST = histogram("s", (0, 0, 0), (80, 95, 100), (160, 190, 200), (240, 285, 300))


def test_each_edge_counts_the_slower_requests() -> None:
    slow = histogram("a", (0, 0, 0), (5, 8, 10), (10, 16, 20), (15, 24, 30))
    reading = look(arm(buckets=slow), arm(buckets=FAST), LATENCY)
    assert reading.counts == (
        Pair(Counts(10, 20), Counts(40, 200)),
        Pair(Counts(4, 20), Counts(10, 200)),
    )


@pytest.mark.parametrize("kind", [Slo, Histogram])
def test_buckets_in_milliseconds_are_read_at_edges_in_seconds(kind: type[Slo | Histogram]) -> None:
    def in_milliseconds(series: tuple[Series, ...]) -> tuple[Series, ...]:
        spelled = {"0.1": "100", "0.3": "300", "+Inf": "+Inf"}
        return tuple(Series({**one.labels, "le": spelled[one.labels["le"]]}, one.samples) for one in series)

    slow = histogram("a", (0, 0, 0), (5, 8, 10), (10, 16, 20), (15, 24, 30))
    edges = (0.1, 0.3)
    in_seconds = look(arm(buckets=slow), arm(buckets=FAST), Metric("m", kind("buckets", edges)))
    arms = (arm(buckets=in_milliseconds(slow)), arm(buckets=in_milliseconds(FAST)))
    assert look(*arms, Metric("m", kind("buckets", edges, per=1000))) == in_seconds


def test_histograms_of_several_handlers_add_up() -> None:
    rows = ((0, 0, 0), (5, 8, 10), (10, 16, 20), (15, 24, 30))
    both = (*histogram("a", *rows, path="/"), *histogram("a", *rows, path="/cart"))
    assert look(arm(buckets=both), arm(buckets=FAST), LATENCY).counts[0].canary == Counts(20, 40)


@pytest.mark.parametrize(
    ("buckets", "said"),
    [
        pytest.param(
            histogram("a", (0, 0, 0), (5, 8, 10), (6, 20, 12), (6, 20, 14)),
            "12 requests up to 0.3 but 4 up to inf",
            id="buckets that shrink",
        ),
        pytest.param(
            tuple(one for one in FAST if one.labels["le"] != "0.3"),
            "no bucket with the edge 0.3",
            id="a missing edge",
        ),
        pytest.param((counter(1, 2, 3, 4),), "no usable `le`", id="no histogram at all"),
        pytest.param((counter(1, 2, 3, 4, le="fast"),), "no usable `le`", id="an edge that is no number"),
    ],
)
def test_a_histogram_that_cannot_be_is_an_error(buckets: tuple[Series, ...], said: str) -> None:
    reading = look(arm(buckets=buckets), arm(buckets=FAST), LATENCY)
    assert reading.status is Status.ERROR
    assert said in reading.cause


def test_restarts_are_counted_by_pod_hours() -> None:
    hours = {"every": 1800, "first": 0}
    reading = look(
        arm(events=counter(0, 1, 3, **hours)),
        arm(events=(counter(5, 5, 5, pod="s", **hours), counter(0, 0, 1, pod="t", **hours))),
        RESTARTS,
        until=3600,
        reach=timedelta(hours=2),
    )
    assert reading.counts == (Pair(Counts(3, 1.0), Counts(1, 2.0)),)


def test_the_lookback_follows_the_scrape_interval_within_bounds() -> None:
    assert lookback(timedelta(seconds=1)) == timedelta(minutes=1)
    assert lookback(timedelta(seconds=10)) == timedelta(seconds=200)
    assert lookback(timedelta(minutes=1)) == timedelta(minutes=5)


# What is read look by look, while scrapes show up late, is what was there.


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Target], list[int], list[int]]:
    """Two to four targets with phases and delays of their own, and the times at which someone looks."""
    targets, delays = [], []
    for place in range(draw(st.integers(2, 4))):
        phase, delay = draw(st.integers(0, 999)), draw(st.integers(0, 900))
        times = draw(st.lists(st.integers(0, 30_000), max_size=25))
        process = Process(-5_000, 60_000, tuple(sorted((at, "2") for at in times)), frozenset("2"))
        targets.append(Target(f"pod{place}", (process,), tuple(range(-3_000 + phase, 40_000, 1_000))))
        delays.append(delay)
    looks = sorted(draw(st.sets(st.integers(0, 35_000), min_size=1, max_size=20)))
    return targets, delays, looks


@settings(max_examples=150, derandomize=True, deadline=None)
@given(worlds())
def test_looks_while_scrapes_show_up_late_add_up_to_the_truth(
    world: tuple[list[Target], list[int], list[int]],
) -> None:
    """Each look sees what has shown up by then; nothing is lost at a cut and nothing counted twice."""
    targets, delays, looks = world
    metric = Metric("all", Proportion("b", "t"))
    context = Context(began=START, interval=timedelta(seconds=1), patience=timedelta(0))
    base = to_ms(START)
    cut, total = START, Pair()
    for now in [*looks, 39_000]:
        arms: list[list[Series]] = [[], []]
        for place, (target, delay) in enumerate(zip(targets, delays, strict=True)):
            for one in target.series("2", -10_000, now - delay):
                shifted = tuple((at + base, value) for at, value in one.samples)
                arms[place % 2].append(Series(one.labels, shifted))
        reach = START - timedelta(seconds=10)
        samples = Samples(arm(total=tuple(arms[0])), arm(total=tuple(arms[1])), reach)
        reading = read(metric, samples, cut, START + timedelta(milliseconds=now), context)
        if reading.status is Status.OK:
            assert reading.since == cut < reading.until
            cut, total = reading.until, total + reading.counts[0]
    end = to_ms(cut) - base
    assert end > 37_000
    for place, counts in enumerate((total.canary, total.stable)):
        assert counts.total == sum(t.truth("2", 0, end, -10_000, 0) for t in targets[place::2])


JUNK = st.lists(
    st.tuples(
        st.integers(-60_000, 60_000),
        st.integers(-3, 20) | st.floats() | st.sampled_from([2.0**53, 2.0**54, 1e300]),
    ),
    max_size=8,
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(JUNK, JUNK, JUNK, st.sampled_from([ERRORS, LATENCY, RESTARTS]))
def test_whatever_samples_hold_a_reading_is_a_possible_count_or_none(
    bad: list[tuple[int, float]],
    total: list[tuple[int, float]],
    other: list[tuple[int, float]],
    metric: Metric,
) -> None:
    base = to_ms(START)

    def junk(samples: list[tuple[int, float]], **labels: str) -> Series:
        return Series({"instance": "a", **labels}, tuple((base + at, float(value)) for at, value in samples))

    buckets = (junk(bad, le="0.1"), junk(bad, le="0.3"), junk(total, le="+Inf"))
    canary = arm(bad=junk(bad), total=junk(total), events=junk(total), buckets=buckets)
    stable = arm(bad=(), total=junk(other), events=junk(other), buckets=FAST)
    reading = look(canary, stable, metric, patience=timedelta(0))
    assert (reading.status is Status.OK) == bool(reading.counts)
    for pair in reading.counts:
        for counts in (pair.canary, pair.stable):
            assert counts.bad >= 0
            assert counts.bad <= counts.total or metric is RESTARTS


def test_every_millisecond_may_be_a_cut() -> None:
    """Cuts anywhere between scrapes, whole numbers of milliseconds: the parts are the whole."""
    cuts = [0, 0.001, 14.999, 15, 15.001, 29.5, 30]
    parts = Pair()
    for a, b in pairwise(cuts):
        reading = look(CANARY, STABLE, cut=a, until=b, patience=timedelta(0))
        parts += reading.counts[0]
    assert (parts,) == look(CANARY, STABLE, until=30).counts


WARM = Metric("latency", Slo("buckets", (0.3,)), warm_up=timedelta(seconds=60))


def latencies(pod: str, first: float, *values: tuple[float, float]) -> tuple[Series, ...]:
    return (
        counter(*(below for below, _ in values), pod=pod, first=first, le="0.3"),
        counter(*(total for _, total in values), pod=pod, first=first, le="+Inf"),
    )


def started(pod: str, at: float) -> tuple[Series, ...]:
    """A process that started `at` seconds, as it tells with each scrape."""
    samples = tuple((to_ms(second(15 * k)), to_ms(second(at)) / 1000) for k in range(12))
    return (Series({"job": "shop", "instance": pod, "pod": pod}, samples),)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        pytest.param(replace(WARM, warm_up=timedelta(0)), (7, 12), id="from its start where nobody says so"),
        pytest.param(WARM, (2, 4), id="from when it is warm"),
    ],
)
def test_what_a_process_does_while_it_warms_up_need_not_count(
    metric: Metric, expected: tuple[int, int]
) -> None:
    """The canary starts at 5 s: what it had at 60 s is the last value from before it is warm at 65 s."""
    canary = latencies("c", 15, (1, 3), (2, 5), (2, 7), (3, 8), (4, 10), (5, 12))
    stable = latencies("s", -15, *((10.0 * k, 10.0 * k) for k in range(10)))
    seen = look(
        replace(arm(buckets=canary), starts=started("c", 5)),
        replace(arm(buckets=stable), starts=started("s", -9000)),
        metric,
        until=95,
    )
    assert seen.counts[0].canary == Counts(*expected)
    assert seen.counts[0].stable.total == 60


def test_intervals_add_up_while_a_process_warms_up() -> None:
    canary = latencies("c", 15, (1, 3), (2, 5), (2, 7), (3, 8), (4, 10), (5, 12))
    stable = latencies("s", -15, *((10.0 * k, 10.0 * k) for k in range(10)))
    arms = (
        replace(arm(buckets=canary), starts=started("c", 5)),
        replace(arm(buckets=stable), starts=started("s", -9000)),
    )
    ends = (0, 30, 62, 76, 90)
    total = Counts()
    for cut, until in pairwise(ends):
        counts, _, _ = counted_between(WARM, *arms, cut, until)
        total = total + counts[0].canary
    assert total == Counts(2, 4)


def counted_between(metric: Metric, canary: ArmSamples, stable: ArmSamples, cut: float, until: float) -> Any:
    samples = Samples(canary, stable, second(-60))
    seen = seen_scrapes(metric, samples, (*canary.every, *stable.every), CONTEXT)
    return counted(metric, samples, to_ms(second(cut)), to_ms(second(until)), seen)


def test_a_gauge_is_not_looked_at_while_its_process_warms_up() -> None:
    memory = Metric("memory", Mean("memory"), warm_up=timedelta(seconds=40))
    canary = replace(arm(gauge=counter(1, 2, 3, 4, 5, pod="c", first=0)), starts=started("c", 0))
    stable = arm(gauge=counter(8, 8, 8, 8, 8, pod="s", first=0))
    seen = look(canary, stable, memory, cut=-5, until=65)
    assert seen.counts == (Pair(Counts(9, 2), Counts(40, 5)),)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        pytest.param(
            replace(ERRORS, warm_up=timedelta(seconds=1)), "errors count from the first", id="errors"
        ),
        pytest.param(replace(WARM, warm_up=timedelta(seconds=-1)), "negative", id="before it began"),
    ],
)
def test_a_warm_up_that_makes_no_sense_is_refused(metric: Metric, said: str) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        Policy(metrics=(metric,))


def test_only_pods_that_were_seen_since_the_cut_are_told() -> None:
    gone = counter(5, 5, pod="gone", first=-45)
    canary = arm(total=(counter(1, 2, 3, pod="a"), counter(1, 2, 3, pod="b"), gone), bad=())
    stable = arm(total=(counter(1, 2, 3, pod="s"),), bad=())
    assert look(canary, stable).pods == (2, 1)

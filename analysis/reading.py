"""One look at one metric: from raw samples of both arms to counts, or to the reason why there are none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, pairwise
from statistics import median

from analysis.evidence import (
    NATIVE,
    Counts,
    Increase,
    NotACounterError,
    Pair,
    Scrapes,
    Series,
    common_instant,
    count,
    exposure,
    scrape_interval,
    scrapes,
    tidy,
    tidy_gauge,
    to_datetime,
    to_ms,
)
from analysis.histogram import Buckets, by_histogram, count_buckets, shared_edges
from analysis.metric import Against, Histogram, Mean, Metric, Proportion, Rate, Slo, Up

CANARY, STABLE = "canary", "stable"
DEFAULT_INTERVAL = timedelta(seconds=15)
PATIENCE = timedelta(seconds=60)
REACH = timedelta(minutes=15)


class Status(StrEnum):
    """What became of a look. Only OK moves the cut."""

    OK = "ok"
    WAITING = "waiting"  # not every arm was scraped, or had events, since the cut
    NO_DATA = "no_data"
    ERROR = "error"  # the question is wrong: someone has to mend it
    OUTAGE = "outage"  # the source did not answer: it mends itself


@dataclass(frozen=True, slots=True)
class Reading:
    """What `(since, until]` brought; empty unless OK.

    counts: a pair for each edge of an SLO or a histogram, else one. buckets: all of a histogram.
    """

    since: datetime
    until: datetime
    status: Status
    counts: tuple[Pair, ...] = ()
    cause: str = ""
    notes: tuple[str, ...] = ()
    interval: timedelta | None = None  # the scrape interval that the samples show
    buckets: Buckets | None = None
    pods: tuple[int, int] = (1, 1)  # how many of canary and stable the counts are from; 1 where it isn't told
    pods_told: bool = False
    seen: datetime | None = (
        None  # up to where both arms were scraped, though an arm that had no event is waited for
    )


@dataclass(frozen=True, slots=True)
class Context:
    """What a reader must know beside the samples.

    began: when the rollout began. interval: the scrape interval where the samples do not show it.
    started: process start by pod name, as the cluster tells it, for targets that do not export their own.
    patience: how long an arm without events is waited for, so that both arms' events fall into one look.
    reach: what is older is given up rather than read. pods: of canary and stable, where samples don't tell.
    """

    began: datetime
    interval: timedelta = DEFAULT_INTERVAL
    started: Mapping[str, datetime] = field(default_factory=dict)
    patience: timedelta = PATIENCE
    reach: timedelta = REACH
    pods: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ArmSamples:
    """Raw samples of one arm, by selector: `series["bad" | "total" | "buckets" | "events"]`.

    up: the targets' `up`. starts: their `process_start_time_seconds`. Both may be empty.
    """

    series: Mapping[str, tuple[Series, ...]]
    up: tuple[Series, ...] = ()
    starts: tuple[Series, ...] = ()

    @property
    def every(self) -> Iterable[Series]:
        """The counters of all selectors."""
        return chain.from_iterable(self.series.values())


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw samples of both arms, all of the instants in `(reach, until]`."""

    canary: ArmSamples
    stable: ArmSamples
    reach: datetime


def lookback(interval: timedelta) -> timedelta:
    """How far before the cut to ask, so that its last values are found in spite of some failed scrapes."""
    return min(max(20 * interval, timedelta(minutes=1)), timedelta(minutes=5))


def read(metric: Metric, samples: Samples, cut: datetime, until: datetime, context: Context) -> Reading:
    """Count `(cut, end]` of both arms, `end` <= `until` being the last instant that all live targets share.

    Pure, and never raises for what the samples hold: inputs that no counter can have are an ERROR whose cause
    names them. An arm without a series is NO_DATA; one without new events is WAITING, for `context.patience`.
    """
    if isinstance(metric.kind, Up):
        samples = replace(samples, canary=watched(samples.canary), stable=watched(samples.stable))
    try:
        clean = replace(samples, canary=tidied(metric, samples.canary), stable=tidied(metric, samples.stable))
    except NotACounterError as wrong:
        return Reading(cut, cut, Status.ERROR, cause=str(wrong))
    blind = _blind(metric, clean)
    if blind is not None:
        status, cause = blind
        return Reading(cut, cut, status, cause=cause)
    return _read(metric, clean, cut, until, context)


def watched(arm: ArmSamples) -> ArmSamples:
    """An arm whose `up` is what is read."""
    return replace(arm, series={"up": arm.up})


def _blind(metric: Metric, samples: Samples) -> tuple[Status, str] | None:
    """Why nothing can be said; None where both arms can be read.

    Many libraries create a counter with its first event. So an arm that is scraped but has no series yet is
    waited for, and for a rate, whose exposure its `up` shows, it has simply had no event.
    """
    key = _needed(metric)
    arms = {CANARY: samples.canary, STABLE: samples.stable}
    if metric.against is Against.LIMIT:
        del arms[STABLE]
    without = {name: arm for name, arm in arms.items() if not arm.series.get(key)}
    if isinstance(metric.kind, Rate) and len(without) < len(arms):
        without = {name: arm for name, arm in without.items() if not arm.up}
    if not without:
        return None
    if len(without) == len(arms) == 2:
        return Status.NO_DATA, f"no series for {key} in either arm"
    name, arm = next(iter(without.items()))
    if arm.up:
        return Status.WAITING, f"{name} is scraped but has no series for {key} yet"
    only = "".join(f"only {other} has series for {key}: " for other in arms.keys() - without.keys())
    return Status.NO_DATA, only + f"nothing is scraped from {name} (do `arms` match it?)"


def _needed(metric: Metric) -> str:
    match metric.kind:
        case Proportion():
            return "total"
        case Slo() | Histogram():
            return "buckets"
        case Rate():
            return "events"
        case Mean():
            return "gauge"
        case Up():
            return "up"


def tidied(metric: Metric, arm: ArmSamples) -> ArmSamples:
    """The arm's samples in order, without NaN. Raises NotACounterError for what can't be counted."""
    for one in arm.every:
        if "quantile" in one.labels:
            raise NotACounterError(f"{one} is the quantile of a summary: compare a histogram, or a counter")
        if NATIVE in one.labels and not isinstance(metric.kind, Slo | Histogram):
            name = one.labels.get("__name__", str(one))
            raise NotACounterError(f"{name} is a native histogram: compare it as one")
    tidying = tidy_gauge if isinstance(metric.kind, Mean) else tidy
    clean = {key: tuple(map(tidying, some)) for key, some in arm.series.items()}
    return replace(
        arm, series={key: tuple(one for one in some if one.samples) for key, some in clean.items()}
    )


def _read(metric: Metric, samples: Samples, cut: datetime, until: datetime, context: Context) -> Reading:
    if metric.against is Against.LIMIT:
        samples = replace(samples, stable=ArmSamples({}))
    both = (*samples.canary.every, *samples.stable.every)
    seen = seen_scrapes(metric, samples, both, context)
    interval = scrape_interval(seen.instants.values())
    known = None if interval is None else timedelta(milliseconds=interval)
    step = interval or context.interval // timedelta(milliseconds=1)
    start = max(cut, until - context.reach)
    end = common_instant(both, to_ms(until), step)
    waiting = Reading(cut, cut, Status.WAITING, interval=known)
    if end <= to_ms(start):
        return replace(waiting, cause="no scrape of every target since the last look")
    try:
        counts, buckets, rebased = counted(metric, samples, to_ms(start), end, seen)
    except NotACounterError as wrong:
        return replace(waiting, status=Status.ERROR, cause=str(wrong))
    silent, pods = _silent(metric, counts), _pods(samples, to_ms(start), end, context)
    if silent and to_datetime(end) - start < context.patience:
        return replace(waiting, cause=silent, seen=to_datetime(end))
    return Reading(
        cut,
        to_datetime(end),
        Status.OK,
        counts,
        cause=silent,
        notes=_notes(rebased, start - cut),
        interval=known,
        buckets=buckets,
        pods=pods or (1, 1),
        pods_told=pods is not None,
    )


def _pods(samples: Samples, cut: int, until: int, context: Context) -> tuple[int, int] | None:
    """How many pods of both arms there were in `(cut, until]`, by the samples or as the cluster told.

    A pod with series of both arms is a proxy's.
    """
    canary, stable = (_pods_seen(arm, cut, until) for arm in (samples.canary, samples.stable))
    told = canary and stable and not canary & stable
    return (len(canary), len(stable)) if told else context.pods


def _pods_seen(arm: ArmSamples, cut: int, until: int) -> set[str]:
    """Pods that have samples in `(cut, until]`; none where the series do not tell pods."""
    told = [one for one in arm.every if one.labels.get("pod")]
    return {one.labels["pod"] for one in told if any(cut < at <= until for at, _ in one.samples)}


def seen_scrapes(metric: Metric, samples: Samples, both: Sequence[Series], context: Context) -> Scrapes:
    """What the samples of both arms say about their targets."""
    return scrapes(
        both,
        up=(*samples.canary.up, *samples.stable.up),
        starts=(*samples.canary.starts, *samples.stable.starts),
        pods={pod: to_ms(at) for pod, at in context.started.items()},
        warm_up=metric.warm_up // timedelta(milliseconds=1),
        reach=to_ms(samples.reach),
        began=to_ms(context.began),
    )


def _silent(metric: Metric, counts: Sequence[Pair]) -> str:
    totals = {CANARY: counts[0].canary.total, STABLE: counts[0].stable.total}
    if metric.against is Against.LIMIT:
        del totals[STABLE]
    names = [name for name, total in totals.items() if total == 0]
    return f"no events of {' and '.join(names)} since the last look" if names else ""


def _notes(rebased: int, unread: timedelta) -> tuple[str, ...]:
    notes = []
    if rebased:
        notes.append(
            f"{rebased} series without a value before the cut began anew: earlier events are not counted"
        )
    if unread > timedelta(0):
        notes.append(f"{unread // timedelta(seconds=1)} s before it were not counted: out of reach")
    return tuple(notes)


def counted(
    metric: Metric, samples: Samples, cut: int, until: int, seen: Scrapes
) -> tuple[tuple[Pair, ...], Buckets | None, int]:
    """Pairs of `(cut, until]`, the histogram where it is one, and how many series only found a baseline.

    From tidy samples. Raises NotACounterError for what can't be counted.
    """
    if isinstance(metric.kind, Slo | Histogram):
        return _histogram(metric.kind, samples, cut, until, seen)
    canary, stable = (_arm_counts(metric, arm, cut, until, seen) for arm in (samples.canary, samples.stable))
    return (Pair(canary[0], stable[0]),), None, canary[1] + stable[1]


def _arm_counts(metric: Metric, arm: ArmSamples, cut: int, until: int, seen: Scrapes) -> tuple[Counts, int]:
    if isinstance(metric.kind, Mean):
        values = [
            value
            for one in arm.series.get("gauge", ())
            for at, value in one.samples
            if seen.warm_since(one.labels, cut, at) < at <= until
        ]
        return Counts(math.fsum(values), len(values)), 0
    if isinstance(metric.kind, Up):
        seen_up = [
            value
            for one in arm.series.get("up", ())
            for at, value in one.samples
            if max(cut, _started(one, seen)) < at <= until
        ]
        return Counts(float(seen_up.count(0.0)), len(seen_up)), 0
    if isinstance(metric.kind, Rate):
        events = count(arm.series.get("events", ()), cut, until, seen)
        return Counts(events.value, exposure((*arm.every, *arm.up), cut, until)), events.rebased
    bad = count(arm.series.get("bad", ()), cut, until, seen)
    total = count(arm.series.get("total", ()), cut, until, seen)
    return _within(bad, total), bad.rebased + total.rebased


def _started(up: Series, seen: Scrapes) -> int:
    """Up to when a target that is new may fail its scrapes: to its first success, or while it warms up.

    A target is found when its pod has an address, which is before its process listens. It is new if it was
    looked for earlier and not there.
    """
    times = [at for at, _ in up.samples]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if not gaps or times[0] <= seen.reach + 2 * median(gaps):
        return seen.reach
    listens = next((at for at, value in up.samples if value == 1), math.inf)
    return int(min(times[0] + seen.warm_up, listens - 1))


def _within(bad: Increase, total: Increase) -> Counts:
    if bad.value > total.value:
        raise NotACounterError(
            f"{bad.value:g} bad events of {total.value:g} in all: does `total` include what `bad` counts?"
        )
    return Counts(bad.value, total.value)


def _histogram(
    kind: Slo | Histogram, samples: Samples, cut: int, until: int, seen: Scrapes
) -> tuple[tuple[Pair, ...], Buckets | None, int]:
    parts = [
        by_histogram(arm.series.get("buckets", ()), kind.per) for arm in (samples.canary, samples.stable)
    ]
    edges: tuple[float, ...] = (*kind.edges, math.inf)
    if isinstance(kind, Histogram):
        edges = shared_edges((*parts[0], *parts[1]), kind.edges)
    (canary, some), (stable, others) = (count_buckets(arm, edges, cut, until, seen) for arm in parts)
    buckets = Buckets(edges, canary, stable)
    whole = buckets if isinstance(kind, Histogram) else None
    return tuple(buckets.beyond(edge) for edge in kind.edges), whole, some + others

"""Exact counts from raw counter samples.

Every series is differenced on its own, before anything is summed: a sum hides resets. Instants are whole
milliseconds since the epoch, as Prometheus keeps them, so that a cut is an exact place between two samples.
An interval is open at its cut and closed at its end: `(cut, until]`. What a series counted there is its last
value at or before `until` less its last value at or before `cut`, resets added; hence the counts of adjoining
intervals add up exactly and nothing but the cut has to be remembered.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

LARGEST = 2.0**53  # beyond it a double no longer holds every integer, and differences are no counts
START_MOVED_S = 0.5  # a process start that moves by less is an exporter's rounding

NATIVE = "__native__"  # the label of buckets that were told as a native histogram

Labels = Mapping[str, str]


class NotACounterError(ValueError):
    """Samples that no counter of events can have; the text names the series and the value."""


def to_ms(at: datetime) -> int:
    """Milliseconds since the epoch, rounded down. Raises ValueError for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError("times need a zone")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def to_datetime(ms: int) -> datetime:
    """The instant as UTC time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of one arm: `bad` of `total`. For rates `total` is the exposure in pod-hours."""

    bad: float = 0.0
    total: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.bad + other.bad, self.total + other.total)

    @property
    def rate(self) -> float | None:
        """Bad by total; None where nothing was counted."""
        return self.bad / self.total if self.total > 0 else None


NO_EVENTS = Counts()


@dataclass(frozen=True, slots=True)
class Pair:
    """Both arms over the same interval."""

    canary: Counts = NO_EVENTS
    stable: Counts = NO_EVENTS

    def __add__(self, other: Pair) -> Pair:
        return Pair(self.canary + other.canary, self.stable + other.stable)

    def swapped(self) -> Pair:
        """Arms exchanged: how "fewer is worse" is tested."""
        return Pair(self.stable, self.canary)


@dataclass(frozen=True, slots=True)
class Series:
    """One series: labels and (milliseconds, value) in order of time."""

    labels: Labels
    samples: tuple[tuple[int, float], ...]

    def __str__(self) -> str:
        return "{" + ", ".join(f'{k}="{v}"' for k, v in sorted(self.labels.items())) + "}"


def tidy(series: Series) -> Series:
    """The series in order of time, each instant once, without NaN (stale markers are NaN).

    Raises `NotACounterError` for a negative, infinite or huge value, a fraction, or two values at one
    instant.
    """
    kept: dict[int, float] = {}
    for at, value in sorted(series.samples):
        if math.isnan(value):
            continue
        if not 0 <= value <= LARGEST or value != math.floor(value):
            raise NotACounterError(f"{series} has the value {value:g}: not a count of events")
        if kept.setdefault(at, value) != value:
            raise NotACounterError(
                f"{series} has two values at {to_datetime(at):%H:%M:%S.%f}: {kept[at]:g} and {value:g}"
            )
    return Series(series.labels, tuple(kept.items()))


def tidy_gauge(series: Series) -> Series:
    """The series of a gauge in order of time, without NaN.

    Raises `NotACounterError` for what has no ratio.
    """
    kept: dict[int, float] = {}
    for at, value in sorted(series.samples):
        if math.isnan(value):
            continue
        if not 0 <= value < math.inf:
            raise NotACounterError(
                f"{series} has the value {value:g}: a gauge is compared by ratio, from 0 up"
            )
        kept[at] = value
    return Series(series.labels, tuple(kept.items()))


def target_of(labels: Labels) -> tuple[str, ...]:
    """What is scraped at once: job and instance, or the pod where recording dropped them."""
    if "instance" in labels:
        return labels.get("job", ""), labels["instance"]
    return labels.get("namespace", ""), labels.get("pod", "")


def process_of(labels: Labels) -> tuple[str, ...]:
    """What restarts at once."""
    return tuple(labels.get(name, "") for name in ("job", "instance", "namespace", "pod", "container"))


@dataclass(frozen=True, slots=True)
class Scrapes:
    """What is known about the scrapes behind some series: when they were, and restarts."""

    reach: int  # samples after this instant were asked for
    began: int  # the rollout began
    instants: Mapping[tuple[str, ...], tuple[int, ...]] = field(default_factory=dict)  # by target, in order
    starts: Mapping[tuple[str, ...], tuple[tuple[int, float], ...]] = field(
        default_factory=dict
    )  # by process
    pods: Mapping[str, int] = field(default_factory=dict)  # process start by pod name
    warm_up: int = 0  # what a process does in its first milliseconds does not count

    def warm_since(self, labels: Labels, cut: int, until: int) -> int:
        """From where on events in `(cut, until]` count: the cut, or when the process was warm."""
        started = self._start(labels, until) if self.warm_up else None
        return cut if started is None else max(cut, started + self.warm_up)

    def counted_from_zero(self, labels: Labels, first: int) -> bool:
        """Whether all that a series without an earlier sample counted happened since we look.

        It does if the target was scraped before without it, or if its process started inside the rollout and
        within reach: had it been counted before, the sample would be among those we asked for.
        """
        seen = self.instants.get(target_of(labels), ())
        if seen and seen[0] < first:
            return True
        started = self._start(labels, first)
        return started is not None and started >= max(self.began, self.reach)

    def restarts(self, labels: Labels) -> tuple[int, ...]:
        """Instants at which this process was first seen with a new start time."""
        starts = self.starts.get(process_of(labels), ())
        return tuple(at for (_, old), (at, new) in pairwise(starts) if abs(new - old) > START_MOVED_S)

    def _start(self, labels: Labels, first: int) -> int | None:
        starts = self.starts.get(process_of(labels), ())
        place = bisect_right(starts, (first, math.inf))
        if place:
            return int(starts[place - 1][1] * 1000)
        return self.pods.get(labels.get("pod", ""))


def scrapes(
    series: Iterable[Series],
    *,
    up: Iterable[Series] = (),
    starts: Iterable[Series] = (),
    pods: Mapping[str, int] | None = None,
    warm_up: int = 0,
    reach: int,
    began: int,
) -> Scrapes:
    """Gather what the samples of both arms say about their targets.

    Scrapes are told by `up` where it is 1, since some exporters give their samples instants of their own;
    only for targets without `up` by the samples themselves.
    """
    instants = _instants((one.labels, (at for at, _ in one.samples)) for one in series)
    instants |= _instants((one.labels, (at for at, value in one.samples if value == 1)) for one in up)
    return Scrapes(
        reach=reach,
        began=began,
        instants=instants,
        starts={process_of(one.labels): tuple(sorted(one.samples)) for one in starts},
        pods=pods or {},
        warm_up=warm_up,
    )


def _instants(series: Iterable[tuple[Labels, Iterable[int]]]) -> dict[tuple[str, ...], tuple[int, ...]]:
    held: dict[tuple[str, ...], set[int]] = {}
    for labels, instants in series:
        held.setdefault(target_of(labels), set()).update(instants)
    return {target: tuple(sorted(seen)) for target, seen in held.items() if seen}


@dataclass(frozen=True, slots=True)
class Increase:
    """What some series counted in an interval, and how many only found their baseline there."""

    value: float = 0.0
    rebased: int = 0

    def __add__(self, other: Increase) -> Increase:
        return Increase(self.value + other.value, self.rebased + other.rebased)


def count(series: Iterable[Series], cut: int, until: int, seen: Scrapes) -> Increase:
    """Events in `(cut, until]`, summed over tidy series that hold samples from before the cut.

    The parts of a histogram must be counted by `count_histogram`, since they are reset together.
    """
    return sum((_increase(one, cut, until, seen, seen.restarts(one.labels)) for one in series), Increase())


def count_histogram(parts: Sequence[Series], cut: int, until: int, seen: Scrapes) -> tuple[Increase, ...]:
    """Events in `(cut, until]` of the parts of one histogram (same labels but `le`), in their order.

    A drop in one part is a restart of all: right after it a busy bucket may already exceed its old value.
    """
    drops = {at for one in parts for (_, old), (at, new) in pairwise(one.samples) if new < old}
    restarts = tuple(sorted(drops.union(*(seen.restarts(one.labels) for one in parts))))
    since = max((seen.warm_since(one.labels, cut, until) for one in parts), default=cut)
    return tuple(_increase(one, since, until, seen, restarts) for one in parts)


def _increase(one: Series, cut: int, until: int, seen: Scrapes, restarts: Sequence[int]) -> Increase:
    samples = one.samples
    first, end = bisect_right(samples, (cut, math.inf)), bisect_right(samples, (until, math.inf))
    if first >= end:
        return Increase()
    if first:
        return Increase(_climb(samples[first - 1 : end], restarts))
    climbed = _climb(samples[:end], restarts)
    if seen.counted_from_zero(one.labels, samples[0][0]):
        return Increase(samples[0][1] + climbed)
    return Increase(climbed, rebased=1)


def _climb(samples: Sequence[tuple[int, float]], restarts: Sequence[int]) -> float:
    total = 0.0
    for (before, last), (at, value) in pairwise(samples):
        fresh = value < last or bisect_right(restarts, at) > bisect_right(restarts, before)
        total += value if fresh else value - last
    return total


def exposure(series: Iterable[Series], cut: int, until: int) -> float:
    """Pod-hours in `(cut, until]` in which each pod (else instance) was watched by any of the series."""
    watched: dict[str, set[int]] = {}
    for one in series:
        unit = one.labels.get("pod") or one.labels.get("instance", "")
        watched.setdefault(unit, set()).update(at for at, _ in one.samples if at <= until)
    return sum(_span(sorted(instants), cut) for instants in watched.values()) / 3_600_000


def _span(instants: Sequence[int], cut: int) -> int:
    first = bisect_right(instants, cut)
    if first >= len(instants):
        return 0
    return instants[-1] - instants[max(first - 1, 0)]


def scrape_interval(instants: Iterable[Sequence[int]]) -> int | None:
    """Milliseconds between scrapes: the median gap over all targets; None where no target has two."""
    gaps = [later - earlier for seen in instants for earlier, later in pairwise(seen)]
    return int(median(gaps)) if gaps else None


def common_instant(series: Iterable[Series], until: int, interval: int) -> int:
    """The latest instant at or before `until` up to which every live target's samples can be seen.

    A scrape takes time: its sample bears the time it began and shows up when it is over. An instant beyond
    the next scrape that is due but not there would cut that scrape's events off for good. A target that
    missed two scrapes that others had is gone and holds nobody up; so is a series that its target went on
    without.
    """
    last: dict[tuple[str, ...], list[int]] = {}
    for one in series:
        if one.samples:
            last.setdefault(target_of(one.labels), []).append(one.samples[-1][0])
    due = [until]
    latest = max((max(ends) for ends in last.values()), default=until)
    for ends in last.values():
        newest = max(ends)
        if newest > latest - 2 * interval:
            due.append(min(end for end in ends if 2 * end > 2 * newest - 3 * interval) + interval * 9 // 10)
    return min(due)

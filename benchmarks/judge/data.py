"""Target 8: how many of the events that scrapes could see are counted, by ours and by `increase()`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from analysis import ArmSamples, Context, Metric, Proportion, Samples, Series, Status, lookback, read
from benchmarks.judge.cells import Cell, mean, share
from benchmarks.judge.effort import Effort

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPE_MS, MINUTE_MS = 15_000, 60_000
SCRAPE = timedelta(milliseconds=SCRAPE_MS)
MINUTES = 30
REQUESTS = 300  # of a pod, a minute
RATE = 0.001
LABELS = 20  # sets of labels that errors spread over
RUNS = 60
CAPTURED = 0.99
METRIC = Metric("errors", Proportion("bad", "total"))


@dataclass
class Pod:
    """A process that counts, and what its scrapes showed: by label the value at each scrape, none before the
    first event. missed: errors that no scrape came to see.
    """

    name: str
    begins: int
    restarts: int | None
    scraped: list[int] = field(default_factory=list)
    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    seen: float = 0.0
    missed: float = 0.0
    _held: dict[str, float] = field(default_factory=dict)
    _fresh: float = 0.0

    def live(self, rng: np.random.Generator, at: int) -> None:
        """Count until a scrape at `at`, and be scraped."""
        before = self.scraped[-1] if self.scraped else self.begins
        if self.restarts is not None and before < self.restarts <= at:
            self._count(rng, self.restarts - before)
            self.missed += self._fresh
            self._held, self._fresh, before = {}, 0.0, self.restarts
        self._count(rng, at - before)
        self.seen, self._fresh = self.seen + self._fresh, 0.0
        self.scraped.append(at)
        for label, value in self._held.items():
            self.series.setdefault(label, []).append((at, value))

    def _count(self, rng: np.random.Generator, lasts: int) -> None:
        requests = int(rng.poisson(REQUESTS * lasts / MINUTE_MS))
        bad = int(rng.binomial(requests, RATE))
        self._held["ok"] = self._held.get("ok", 0.0) + requests - bad
        for code in rng.integers(0, LABELS, bad).tolist():
            label = f"5{code:02d}"
            self._held[label] = self._held.get(label, 0.0) + 1
        self._fresh += bad

    def samples(self, after: int, until: int) -> ArmSamples:
        """What the source would answer."""
        held = {
            code: Series({"job": "shop", "instance": self.name, "pod": self.name, "code": code}, tuple(kept))
            for code, samples in self.series.items()
            if (kept := [one for one in samples if after < one[0] <= until])
        }
        bad = tuple(one for code, one in held.items() if code != "ok")
        up = tuple((at, 1.0) for at in self.scraped if after < at <= until)
        labels = {"job": "shop", "instance": self.name, "pod": self.name}
        if not up:
            return ArmSamples({"bad": bad, "total": tuple(held.values())})
        starts = Series(labels, tuple((at, self._started(at)) for at, _ in up))
        return ArmSamples({"bad": bad, "total": tuple(held.values())}, (Series(labels, up),), (starts,))

    def _started(self, at: int) -> float:
        """What the process exports as its start, in seconds."""
        again = self.restarts is not None and at >= self.restarts
        return BEGAN.timestamp() + (self.restarts if again and self.restarts else self.begins) / 1000


def cells(effort: Effort) -> Iterator[Cell]:
    """Two canary pods with errors so rare that each is nearly the first of its labels; one restarts."""
    runs = effort.runs(RUNS, 10)
    for restart in (False, True):
        effort.say(f"data: sparse errors{', a restart' if restart else ''}")
        ours, theirs, true, spoiled = [], [], [], []
        for rng in effort.rng(8, int(restart)).spawn(runs):
            pods = world(rng, restart=restart)
            canary, end = pods[:2], MINUTES * MINUTE_MS
            true.append(sum(pod.seen for pod in canary))
            ours.append(counted(pods, end))
            theirs.append(sum(increase_by_minute(pod.series, end) for pod in canary))
            spoiled.append(sum(pod.missed for pod in canary))
        what = f"of errors that a scrape could see{', one pod restarts' if restart else ''}"
        yield share(8, f"counted {what}", round(sum(ours)), round(sum(true)), least=CAPTURED)
        ratio = np.array(theirs) / np.maximum(np.array(true), 1)
        yield mean(8, f"counted by increase() each minute {what}", ratio)
        if restart:
            lost = np.array(spoiled) / np.maximum(np.array(true) + np.array(spoiled), 1)
            yield mean(8, "lost between the last scrape and a restart, of all errors", lost)


def world(rng: np.random.Generator, *, restart: bool) -> list[Pod]:
    """Two canary pods, which begin with the rollout, and two stable ones."""
    pods = [
        Pod(f"canary-{k}", 0, int(rng.integers(1, MINUTES * MINUTE_MS)) if restart and not k else None)
        for k in range(2)
    ]
    pods += [Pod(f"stable-{k}", -MINUTES * MINUTE_MS, None) for k in range(2)]
    for pod in pods:
        phase = int(rng.integers(1, SCRAPE_MS))
        for at in range(pod.begins + phase, MINUTES * MINUTE_MS + 1, SCRAPE_MS):
            pod.live(rng, at)
    return pods


def counted(pods: list[Pod], end: int) -> float:
    """Bad events of the canary, by `read` at each scrape interval and once after the last scrape."""
    began, cut, bad = BEGAN, BEGAN, 0.0
    starts = {pod.name: BEGAN + timedelta(milliseconds=pod.begins) for pod in pods}
    context = Context(began, SCRAPE, starts)
    for look in range(1, end // SCRAPE_MS + 6):
        until = BEGAN + look * SCRAPE
        reach = cut - lookback(SCRAPE)
        answers = [pod.samples(_ms(reach), min(_ms(until), end)) for pod in pods]
        samples = Samples(_joined(answers[:2]), _joined(answers[2:]), reach)
        reading = read(METRIC, _at_epoch(samples), cut, until, context)
        if reading.status is Status.OK:
            cut, bad = reading.until, bad + reading.counts[0].canary.bad
    return bad


def _ms(at: datetime) -> int:
    return (at - BEGAN) // timedelta(milliseconds=1)


def _joined(arms: list[ArmSamples]) -> ArmSamples:
    keys = ("bad", "total")
    return ArmSamples(
        {key: tuple(one for arm in arms for one in arm.series[key]) for key in keys},
        tuple(one for arm in arms for one in arm.up),
        tuple(one for arm in arms for one in arm.starts),
    )


def _at_epoch(samples: Samples) -> Samples:
    """With instants as Prometheus has them."""
    offset = int(BEGAN.timestamp() * 1000)

    def moved(one: Series) -> Series:
        return Series(one.labels, tuple((at + offset, value) for at, value in one.samples))

    def arm(one: ArmSamples) -> ArmSamples:
        series = {key: tuple(map(moved, some)) for key, some in one.series.items()}
        return ArmSamples(series, tuple(map(moved, one.up)), tuple(map(moved, one.starts)))

    return Samples(arm(samples.canary), arm(samples.stable), samples.reach)


def increase_by_minute(series: Mapping[str, list[tuple[int, float]]], end: int) -> float:
    """The sum over error series and minutes of `increase(...[1m])`, each minute once."""
    total = 0.0
    for code, samples in series.items():
        if code != "ok":
            total += math.fsum(
                increase(samples, at - MINUTE_MS, at) for at in range(MINUTE_MS, end + 1, MINUTE_MS)
            )
    return total


def increase(samples: list[tuple[int, float]], start: int, end: int) -> float:
    """As documented: nothing of fewer than two samples, else extrapolated to the ends of the range where they
    are within 1.1 mean gaps, else by half a gap; never beyond where the counter would have been zero.
    """
    inside = [one for one in samples if start < one[0] <= end]
    if len(inside) < 2:
        return 0.0
    climbed = sum(v if v < u else v - u for (_, u), (_, v) in pairwise(inside))
    (first, value), (last, _) = inside[0], inside[-1]
    gap = (last - first) / (len(inside) - 1)
    to_start = first - start if first - start < 1.1 * gap else gap / 2
    if climbed > 0:
        to_start = min(to_start, (last - first) * value / climbed)
    to_end = end - last if end - last < 1.1 * gap else gap / 2
    return climbed * (last - first + to_start + to_end) / (last - first)

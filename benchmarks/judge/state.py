"""Target 9: what the judge remembers, what an update costs, and that a restart changes nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from analysis import (
    Buckets,
    Checkpoint,
    Counts,
    Histogram,
    Mean,
    Metric,
    Pair,
    Policy,
    Proportion,
    Rate,
    Reading,
    Slo,
    Status,
    Up,
    begin,
    begin_step,
    fold,
    judge,
)
from benchmarks.judge.cells import Cell, error_rate, number
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import SCRAPE, START

T = TypeVar("T")
BYTES, MILLISECONDS = 4000, 1.0
LOOKS = 400
RUNS = 8
EDGES = (*(0.01 * 2 ** (step / 3) for step in range(29)), math.inf)
"""As many buckets as are ever kept."""
SLO = (EDGES[12], EDGES[15], EDGES[18])
KINDS: dict[str, Metric] = {
    "a share": Metric("m", Proportion("bad", "total")),
    "a share of frequent events": Metric("m", Proportion("bad", "total")),
    "an SLO of three edges": Metric("m", Slo("buckets", SLO)),
    "a histogram of 30 buckets and three edges": Metric("m", Histogram("buckets", SLO)),
    "a rate": Metric("m", Rate("events")),
    "a gauge": Metric("m", Mean("gauge")),
    "failed scrapes": Metric("m", Up()),
}


@dataclass(frozen=True)
class Drawn:
    """Readings of one metric."""

    metric: Metric
    rng: np.random.Generator
    rate: float

    def reading(self, checkpoint: Checkpoint) -> Reading:
        """The next interval."""
        since = checkpoint.cut("m")
        kind, buckets = self.metric.kind, None
        if isinstance(kind, Slo | Histogram):
            arms = [tuple(self.rng.poisson(mean, len(EDGES)).astype(float).tolist()) for mean in (5, 45)]
            buckets = Buckets(EDGES, *arms)
            counts = tuple(buckets.beyond(edge) for edge in kind.edges)
        elif isinstance(kind, Mean):
            means = 1e8 * self.rng.lognormal(0, 0.01, 2)
            counts = (Pair(Counts(float(2 * means[0]), 2.0), Counts(float(18 * means[1]), 18.0)),)
        else:
            canary, stable = self.rng.binomial((150, 1350), self.rate).astype(float).tolist()
            counts = (Pair(Counts(canary, 150.0), Counts(stable, 1350.0)),)
        whole = buckets if isinstance(kind, Histogram) else None
        return Reading(since, since + SCRAPE, Status.OK, counts, buckets=whole, interval=SCRAPE)


def cells(effort: Effort) -> Iterator[Cell]:
    """Each kind of metric over 400 looks, with and without a restart between any two."""
    runs = effort.runs(RUNS, 3)
    for place, (what, metric) in enumerate(KINDS.items()):
        effort.say(f"state: {what}")
        policy, rate = Policy((metric,)), 0.2 if "frequent" in what else 0.01
        largest, fold_ms, judge_ms, changed = 0, [], [], 0
        for stream in effort.rng(9, place).spawn(runs):
            drawn = Drawn(metric, stream, rate)
            cost, size, same = _course(policy, drawn)
            fold_ms.append(cost[0])
            judge_ms.append(cost[1])
            largest, changed = max(largest, size), changed + (not same)
        yield number(9, f"bytes of state, {what}", largest, runs, most=BYTES)
        yield number(9, f"ms of an update, {what}", float(np.median(fold_ms)), runs, most=MILLISECONDS)
        yield number(9, f"ms of a verdict, {what}", float(np.median(judge_ms)), runs)
        yield error_rate(9, f"courses that restarts changed, {what}", changed, runs, None)


def _course(policy: Policy, drawn: Drawn) -> tuple[tuple[float, float], int, bool]:
    """Median ms of an update and of a verdict, the most bytes, and whether restarts changed nothing."""
    checkpoint = restarted = begin_step(begin(policy, START), "0", START)
    folds, judges, size, same = [], [], 0, True
    for look in range(LOOKS):
        reading = drawn.reading(checkpoint)
        checkpoint, spent = timed(lambda: fold(policy, checkpoint, "m", reading))  # noqa: B023 - called here
        folds.append(spent)
        verdict, spent = timed(lambda: judge(policy, checkpoint, reading.until))  # noqa: B023 - called here
        judges.append(spent)
        written = json.dumps(restarted.to_json())
        restarted = fold(policy, Checkpoint.from_json(json.loads(written)), "m", reading)
        size = max(size, len(json.dumps(restarted.to_json()["metrics"]["m"])))
        if look % 20 == 0:
            same &= restarted == checkpoint and judge(policy, restarted, reading.until) == verdict
    return (float(np.median(folds)), float(np.median(judges))), size, same


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The answer, and milliseconds of processor time."""
    began = time.process_time_ns()
    answer = work()
    return answer, (time.process_time_ns() - began) / 1e6

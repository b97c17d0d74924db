"""Target 2: requests until a regression is found, by what no test of that error rate can do without."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.judge.cells import Cell, mean, median
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import Many, watch
from benchmarks.judge.policies import bare
from benchmarks.judge.traffic import Split, steady

RUNS = 4000
SHARES = (0.05, 0.10, 0.50)
ALPHAS = (0.05, 0.01)
CHANGES = ((0.01, 0.013), (0.01, 0.02), (0.01, 0.05), (0.001, 0.002), (0.001, 0.01))
BATCHES = 100  # to the limit at 5 %: so fine that what is counted too late does not show
FEWEST = 5  # canary requests in a batch
LONGEST = 3000  # batches
MEDIAN, MEAN = 1.45, 1.75


def cells(effort: Effort) -> Iterator[Cell]:
    """Five regressions at three splits and two levels, without margin."""
    for place, (share, (stable, canary)) in enumerate((s, c) for s in SHARES for c in CHANGES):
        effort.say(f"efficiency: {stable:.1%} to {canary:.1%}, canary {share:.0%}")
        batch = max(round(wald(canary, stable, share, 0.05) / BATCHES), round(FEWEST / share))
        runs = effort.runs(RUNS)
        world = Split(effort.rng(2, place), share, steady(stable, canary), always(batch))
        levels = [-math.log(alpha) for alpha in ALPHAS]
        seen = watch(Many(bare(), runs), world, runs, LONGEST, levels)
        for alpha, level in zip(ALPHAS, levels, strict=True):
            ratio = np.minimum(seen.at(level), LONGEST) * batch / wald(canary, stable, share, alpha)
            what = f"{stable:.1%} to {canary:.1%}, canary {share:.0%}, alpha {alpha:.0%}"
            yield median(2, f"median requests / limit; {what}", ratio, MEDIAN)
            yield mean(2, f"mean requests / limit; {what}", ratio, MEAN)


def always(requests: float) -> Callable[[int], float]:
    """As many in each interval."""
    return lambda _: requests


def wald(canary: float, stable: float, share: float, alpha: float) -> float:
    """Requests: log(1/alpha) over the information in one, the common rate unknown (Wald 1945)."""
    pooled = share * canary + (1 - share) * stable
    return -math.log(alpha) / (share * divergence(canary, pooled) + (1 - share) * divergence(stable, pooled))


def divergence(p: float, q: float) -> float:
    """Of Bernoulli variables, in nats (Kullback and Leibler 1951)."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

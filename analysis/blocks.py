"""P3, paired blocks: bets on gauges, of which nothing is known but that the arms are seen side by side.

D_k is the logarithm of the ratio of the arms' means over block k, g_k = clip((D_k - log line)/scale, -1, 1).
While the expectation of g_k is at most 0 given the past, prod (1 + lambda g_k) is a supermartingale for every
lambda in (0, 1) (Waudby-Smith and Ramdas 2024); the capital is spread over seven of them. A block is as long
as what a gauge does now has to do with what it does next; the scale is three times the median absolute
deviation of earlier blocks, or given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np

from analysis.betting import Array, Stakes
from analysis.evidence import Pair

LAMBDAS: Final = Stakes.weighted(np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9]), np.ones(7))
LEARNING: Final = 4  # blocks from which a scale is learned before any is bet on
REMEMBERED: Final = 32  # blocks
NARROWEST: Final = 0.02  # scale
DEVIATIONS: Final = 3.0
FARTHEST: Final = 10.0  # log ratio: what is 0 in one arm alone
FEW: Final = 4  # blocks, of which no interval is told


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where the pairing stands. since: the present block's start, in milliseconds. pending: what it holds.

    recent: the last log ratios, of the arms as the bet faces them. number, total, squares: of all, for the
    interval that is shown.
    """

    since: int
    pending: Pair = Pair()  # noqa: RUF009 - frozen
    recent: tuple[float, ...] = ()
    number: int = 0
    in_step: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def scale(self) -> float | None:
        """What differences are measured by, from the past alone; None while there is too little of it."""
        if len(self.recent) < LEARNING:
            return None
        middle = median(self.recent)
        spread = median(abs(each - middle) for each in self.recent)
        return max(DEVIATIONS * spread, NARROWEST)

    def closed(self, until: int, ratio: float | None, *, in_step: bool) -> Blocks:
        """A block ended at `until` with this log ratio, None if there is none; the next begins."""
        following = replace(self, since=until, pending=Pair())
        if ratio is None:
            return following
        return replace(
            following,
            recent=(*self.recent, ratio)[-REMEMBERED:],
            number=self.number + 1,
            in_step=self.in_step + in_step,
            total=self.total + ratio,
            squares=self.squares + ratio * ratio,
        )


def log_ratio(pair: Pair) -> float | None:
    """log(mean of canary / mean of stable), within bounds; None where an arm was not seen."""
    canary, stable = pair.canary.rate, pair.stable.rate
    if canary is None or stable is None:
        return None
    if canary == stable:
        return 0.0
    if canary == 0 or stable == 0:
        return math.copysign(FARTHEST, canary - stable)
    return min(max(math.log(canary / stable), -FARTHEST), FARTHEST)


def gains(beyond: float, scale: float) -> Array:
    """log M of each stake for a block whose log ratio is so far `beyond` the line that is bet against."""
    gained: Array = np.log1p(LAMBDAS.kappas * min(max(beyond / scale, -1.0), 1.0))
    return gained


def mean_interval(
    number: int, total: float, squares: float, level: float, phi: float = 1.0
) -> tuple[float, float]:
    """Confidence sequence for the mean log ratio, by its estimated variance: asymptotic, for display.

    The normal mixture with the weight of eight blocks (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024).
    """
    if number < FEW:
        return -math.inf, math.inf
    mean = total / number
    variance = phi * max(squares / number - mean * mean, 0.0) * number / (number - 1)
    weight = number / 8 + 1
    width = math.sqrt(variance * weight * 8 / number**2 * math.log(weight / level**2))
    return mean - width, mean + width

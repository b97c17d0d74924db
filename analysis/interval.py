"""What is shown of a rate: an interval that holds at all looks together.

A confidence sequence by inverting a mixture (Robbins 1970): {theta: l(theta) > log mean exp l + log level}.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.special import xlog1py, xlogy

from analysis.betting import Array, log_sum
from analysis.evidence import Counts, Pair

# The ratio of the arms' rates. With m bad events of both arms at exposures' ratio r the log-likelihood of
# theta is x_C log(theta) - m log(1 + r theta) and a constant. The sum of the second term over intervals is
# analytic in log(theta) within pi of the real axis, so its values at 33 Chebyshev nodes give it everywhere to
# 1e-10 of m.
_HALF_RANGE: Final = math.log(64.0)
_NODES: Final[Array] = np.cos(np.pi * (np.arange(33) + 0.5) / 33)
_GRID: Final[Array] = np.linspace(-1.0, 1.0, 257)
_TO_GRID: Final[Array] = np.polynomial.chebyshev.chebvander(_GRID, 32) @ np.linalg.inv(
    np.polynomial.chebyshev.chebvander(_NODES, 32)
)
_RATIOS: Final[Array] = np.exp(_HALF_RANGE * _GRID)
NO_LIKELIHOOD: Final = (0.0,) * len(_NODES)


def likelihood_added(likelihood: tuple[float, ...], pair: Pair) -> tuple[float, ...]:
    """Add one interval to the sum of m log(1 + r theta) at the nodes."""
    events = pair.canary.bad + pair.stable.bad
    if events == 0 or pair.canary.total <= 0 or pair.stable.total <= 0:
        return likelihood
    ratio = pair.canary.total / pair.stable.total
    more = events * np.logaddexp(0.0, math.log(ratio) + _HALF_RANGE * _NODES)
    return tuple((np.array(likelihood) + more).tolist())


def ratio_interval(
    likelihood: tuple[float, ...], canary_bad: float, level: float, phi: float = 1.0
) -> tuple[float, float]:
    """Confidence sequence for canary rate / stable rate: it holds at all looks together with 1 - level.

    257 points from 1/64 to 64; 0 and infinity stand for ends beyond. phi tempers the likelihood.
    """
    values = canary_bad * _HALF_RANGE * _GRID - _TO_GRID @ np.array(likelihood)
    return _ends(_RATIOS, values / phi, level)


def limit_interval(
    canary: Counts, limit: float, *, share: bool, level: float, phi: float = 1.0
) -> tuple[float, float]:
    """Confidence sequence for canary rate / limit, on the same points as the ratio of the arms."""
    ratios = _RATIOS
    rates = limit * ratios
    if share:
        ratios, rates = ratios[rates < 1], rates[rates < 1]
        values = xlogy(canary.bad, rates) + xlog1py(canary.total - canary.bad, -rates)
    else:
        values = xlogy(canary.bad, rates) - canary.total * rates
    low, high = _ends(ratios, values / phi, level)
    return low, min(high, 1 / limit) if share else high


def _ends(points: Array, values: Array, level: float) -> tuple[float, float]:
    inside = np.flatnonzero(values > log_sum(values) - math.log(len(points)) + math.log(level))
    first, last = int(inside[0]), int(inside[-1])
    low = 0.0 if first == 0 else float(points[first])
    high = math.inf if last == len(points) - 1 else float(points[last])
    return low, high

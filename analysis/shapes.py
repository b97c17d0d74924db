"""P2, the histogram bet: evidence against "the canary is not slower", for every pair of distributions.

Not slower is meant stochastically: at every edge at least as large a share of the canary's requests lies
below it. For a shape L_b that does not fall over the buckets b, canary counts X_C,b, stable counts X_S,b and
r = n_C / n_S,

    log M = sum_b X_C,b log A_b + X_S,b log B_b,   A_b = L_b (1 + r)/(1 + r L_b),  B_b = (1 + r)/(1 + r L_b).

n_C E_S[A] + n_S E_S[B] = n and A does not fall, so with a canary that is not slower the n independent factors
have a mean of at most 1, and their product an expectation of at most 1 (AM-GM). It grows fastest where L_b is
the ratio of the canary's share of a bucket to stable's. Shapes are made from stable's own past, so they must
not be drawn from the interval that is bet on; edges need not fall on quantiles, and what is interpolated
between them costs power at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from analysis.betting import Array, Stakes

_SLOWER: Final = np.exp(
    np.geomspace(math.log(1.05), math.log(5.0), 8)
)  # all requests take so many times longer
_TAILS: Final = (0.80, 0.90, 0.95, 0.985)  # or only those beyond this quantile,
_TAIL_SLOWER: Final = np.exp(np.geomspace(math.log(1.2), math.log(4.0), 4))  # by so much
_BEYOND: Final = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.003)  # or the edge with this share beyond it
_MORE: Final = (1.4, 2.0, 4.0)  # is passed by so many times the requests
# Factors step evenly in the logarithm of their logarithm: what a bet gains by is the ratio of the logarithms.
# Small changes of a part of the requests are the hardest to find, and have the most of the weight.
SHAPES: Final = Stakes.weighted(
    np.concatenate([_SLOWER, np.tile(_TAIL_SLOWER, len(_TAILS)), np.tile(_MORE, len(_BEYOND))]),
    np.concatenate(
        [
            0.37 * np.array([0.15, 0.15, 0.15, 0.15, 0.125, 0.1, 0.0875, 0.0875]),
            0.53 * np.outer([0.225, 0.275, 0.325, 0.175], [0.38, 0.34, 0.16, 0.12]).ravel(),
            np.full(24, 0.10 / 24),
        ]
    ),
)
_NEUTRAL: Final = 0.01  # of each shape says nothing, so that no single request can take all capital
_STEEPEST: Final = 1000.0
_UNSEEN: Final = 0.5  # requests that were not seen, spread over the buckets


def shapes(edges: Sequence[float], past: Array) -> Array:
    """Likelihood ratios by shape and bucket, none falling; all 1 where the past is empty.

    edges: upper ends of the buckets, above 0, rising, the last infinite. past: requests of stable in each.
    """
    if past.sum() <= 0:
        return np.ones((len(SHAPES.kappas), len(past)))
    ends = np.array(edges[:-1])
    pmf = (past + _UNSEEN / len(past)) / (past.sum() + _UNSEEN)
    below = np.cumsum(pmf)[:-1]
    slowed = _isotonic(np.diff(_slowed(ends, below), prepend=0.0, append=1.0) / pmf, pmf)
    ratios = np.concatenate([slowed, _beyond(pmf, below)])
    neutral: Array = _NEUTRAL + (1.0 - _NEUTRAL) * np.minimum(ratios, _STEEPEST)
    return neutral


def _slowed(ends: Array, below: Array) -> Array:
    """Shares below each end if stable were slower: all of its requests, then those beyond a quantile.

    Between the ends log odds are taken as linear in log time, which fits what latencies look like.
    """
    times, log_odds = np.log(ends), np.log(below / (1.0 - below))
    starts = np.exp(np.interp(np.log(_TAILS) - np.log1p(-np.array(_TAILS)), log_odds, times))
    later = np.maximum(np.minimum(ends, starts[:, None])[:, None, :], ends / _TAIL_SLOWER[:, None])
    asked = np.log(np.concatenate([ends / _SLOWER[:, None], later.reshape(-1, len(ends))]))
    slope = (log_odds[1] - log_odds[0]) / (times[1] - times[0]) if len(ends) > 1 else 1.0
    found = np.interp(asked, times, log_odds) + slope * np.minimum(asked - times[0], 0.0)
    shares: Array = 1.0 / (1.0 + np.exp(-found))
    return shares


def _beyond(pmf: Array, below: Array) -> Array:
    """More requests beyond an edge, fewer up to it, in the same proportions as before on both sides."""
    places = np.minimum(np.searchsorted(below, 1.0 - np.array(_BEYOND)), len(below) - 1)
    share = (1.0 - below[places])[:, None, None]
    more = np.minimum(np.array(_MORE)[:, None], 0.5 * (1.0 + 1.0 / share))
    past_edge = np.arange(len(pmf)) > places[:, None, None]
    ratios: Array = np.where(past_edge, more, (1.0 - more * share) / (1.0 - share))
    return ratios.reshape(-1, len(pmf))


def _isotonic(values: Array, weights: Array) -> Array:
    """The nearest rows that do not fall: g_b = max over i <= b of min over j >= b of the mean of i to j.

    Axes are j, i and the row, in this order, so that each step of the running minimum is over what lies
    together.
    """
    size = len(weights)
    total = np.concatenate([[0.0], np.cumsum(weights)])
    sums = np.zeros((size + 1, len(values)))
    np.cumsum((values * weights).T, axis=0, out=sums[1:])
    before = np.tri(size, dtype=bool)  # i <= j
    widths = np.where(before, total[1:, None] - total[:-1], 1.0)
    means = (sums[1:, None] - sums[:-1]) / widths[:, :, None]
    means[~before] = math.inf
    least = np.minimum.accumulate(means[::-1], axis=0)[::-1]
    least[~before] = -math.inf
    nearest: Array = least.max(axis=1).T
    return nearest


def gains(ratios: Array, canary: Array, stable: Array) -> Array:
    """log M of each shape for one interval; zeros where an arm counted nothing."""
    n_c, n_s = canary.sum(), stable.sum()
    if n_c <= 0 or n_s <= 0:
        return np.zeros(len(ratios))
    r = n_c / n_s
    of_stable = math.log1p(r) - np.log1p(r * ratios)
    gained: Array = (np.log(ratios) + of_stable) @ canary + of_stable @ stable
    return gained


def quantile(edges: Sequence[float], counts: Array, share: float) -> float | None:
    """The value below which `share` of the requests lie, interpolated; None where nothing was counted.

    In the last bucket, which has no end, it is where that begins.
    """
    if counts.sum() <= 0:
        return None
    ends = np.array(edges[:-1])
    points = np.concatenate([[0.0], ends])
    shares = np.concatenate([[0.0], np.cumsum(counts)[:-1] / counts.sum()])
    place = int(np.searchsorted(shares, share, side="left"))
    if place >= len(shares):
        return float(points[-1])
    low, high = shares[place - 1], shares[place]
    return float(points[place - 1] + (points[place] - points[place - 1]) * (share - low) / (high - low))


def shifted(counts: Array, buckets: int) -> Array:
    """The histogram with every request `buckets` buckets further up; the last holds what is beyond."""
    if buckets == 0:
        return counts
    moved = np.zeros_like(counts)
    moved[buckets:] = counts[: len(counts) - buckets]
    moved[-1] += counts[len(counts) - buckets :].sum()
    return moved

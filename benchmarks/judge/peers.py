"""How others decide, by their documented rules: when each rolls back on the same traffic.

Arrays of looks by rollouts; the answer is the look (from 1) that rolls back, infinite for never.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.special import ndtri

from analysis.betting import Array
from benchmarks.judge.traffic import Index, Mask, Recorded, Traffic

TOLERANCE: Final = 0.25  # of Kayenta's estimate
CONFIDENCE: Final = 0.98  # of its interval
CHUNK: Final = 250  # rollouts at once, for the memory of all pairs of minutes


def failed_measurements(rates: Array, limit: float | Array, allowed: int) -> Array:
    """Argo-like and Flagger-like: the measurement at which more than `allowed` have been beyond the limit.

    Argo Rollouts fails when failed measurements exceed `failureLimit`; Flagger when failed checks reach
    `threshold`, which is one more than is allowed. Neither forgets a failure.
    """
    beyond = np.cumsum(rates > limit, axis=0) > allowed
    return first(beyond)


def calibrated(rates: Array, allowed: int, alpha: float) -> float:
    """The limit at which equal arms are rolled back with probability alpha: told by their own simulation."""
    ranked = np.sort(rates, axis=0)[-1 - allowed]
    return float(np.quantile(ranked, 1 - alpha, method="higher"))


def canary_rates(windows: Traffic) -> Array:
    """What a threshold looks at; 0 where there was no request."""
    rates: Array = windows.canary_bad / np.maximum(windows.canary, 1)
    return rates


def first(happened: Mask) -> Array:
    """The row (from 1) at which each column is true first."""
    return np.where(happened.any(axis=0), happened.argmax(axis=0) + 1.0, math.inf)


def peeking_z(seen: Traffic, alpha: float) -> Array:
    """The two-proportion z test, one-sided, looked at after each interval."""
    x_c, n_c, x_s, n_s = (np.cumsum(each, axis=0) for each in seen)
    pooled = (x_c + x_s) / (n_c + n_s)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_s))
    return first(x_c / n_c - x_s / n_s > -ndtri(alpha) * np.maximum(spread, 1e-300))


def kayenta(canary: Array, stable: Array, looks: range) -> Array:
    """Kayenta-like: the minute of `looks` at which the rates by minute are judged high.

    High is where the 98 % interval of Mann and Whitney (1947) for the shift lies beyond a quarter of the
    estimate of Hodges and Lehmann (1963). Its lower end is beyond c where the statistic at a shift by c is
    beyond the normal quantile.
    """
    found = np.full(canary.shape[1], math.inf)
    for minutes in looks:
        going = np.flatnonzero(np.isinf(found))
        for some in chunks(going):
            high = judged_high(canary[:minutes, some].T, stable[:minutes, some].T)
            found[some[high]] = minutes
    return found


def chunks(places: Index) -> Iterator[Index]:
    """A few hundred at a time."""
    for start in range(0, len(places), CHUNK):
        yield places[start : start + CHUNK]


def judged_high(canary: Array, stable: Array) -> Mask:
    """Of each row, whether the canary's values are high."""
    differences = (canary[:, :, None] - stable[:, None, :]).reshape(len(canary), -1)
    beyond = TOLERANCE * np.abs(np.median(differences, axis=1))
    above = (differences > beyond[:, None]).sum(axis=1) + 0.5 * (differences == beyond[:, None]).sum(axis=1)
    n, m = canary.shape[1], stable.shape[1]
    spread = np.sqrt(n * m / 12 * (n + m + 1 - ties(np.hstack([canary - beyond[:, None], stable]))))
    off = above - n * m / 2 - 0.5
    high: Mask = (off > -float(ndtri((1 - CONFIDENCE) / 2)) * spread) & (spread > 0)
    return high


def ties(values: Array) -> Array:
    """What equal values take from the variance of ranks: the sum of t^3 - t over N (N - 1), for each row."""
    ordered = np.sort(values, axis=1)
    rows, size = ordered.shape
    fresh = np.ones((rows, size), dtype=bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    groups = np.cumsum(fresh.ravel()) - 1
    sizes = np.bincount(groups).astype(float)
    owners = np.repeat(np.arange(rows), size)[fresh.ravel()]
    taken: Array = np.bincount(owners, weights=sizes**3 - sizes, minlength=rows) / (size * (size - 1.0))
    return taken


def recorded_rates(traffic: Recorded, looks: int) -> tuple[Array, Array]:
    """Both arms' rates by window of so many looks."""
    windows = traffic.each(looks)
    return canary_rates(windows), windows.stable_bad / np.maximum(windows.stable, 1)

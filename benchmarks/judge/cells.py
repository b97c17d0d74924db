"""One measured number: its repetitions, its 95 % interval, what is wanted of it and whether it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv
from scipy.stats import binom

from analysis.betting import Array
from analysis.simulation import share_of

RESAMPLES = 1000
_RNG_SEED = 1  # of the bootstrap alone


@dataclass(frozen=True, slots=True)
class Cell:
    """A number and its 95 % interval. wanted: the largest or the smallest it may be; None where it is shown
    beside the others. holds: None where it is, or where the repetitions are too few to say.
    """

    target: int
    what: str
    repetitions: int
    value: float
    low: float
    high: float
    most: float | None = None
    least: float | None = None
    holds: bool | None = None

    @property
    def wanted(self) -> str:
        """In words."""
        if self.most is not None:
            return f"<= {self.most:.4g}" if self.least is None else f"{self.least:.4g} to {self.most:.4g}"
        return "" if self.least is None else f">= {self.least:.4g}"

    @property
    def asked(self) -> bool:
        """Whether anything is wanted of it."""
        return self.most is not None or self.least is not None


def error_rate(target: int, what: str, found: int, of: int, at_most: float | None) -> Cell:
    """A share that is promised to be at most so: it holds where the one-sided 95 % bound of Clopper and
    Pearson does not exceed it, and fails where even the lower one does.
    """
    share = share_of(found, of)
    holds = None
    if at_most is not None:
        upper = float(betaincinv(found + 1, of - found, 0.95)) if found < of else 1.0
        lower = float(betaincinv(found, of - found + 1, 0.05)) if found else 0.0
        holds = True if upper <= at_most else False if lower > at_most else None
    return Cell(target, what, of, share.value, share.low, share.high, most=at_most, holds=holds)


def share(
    target: int, what: str, found: int, of: int, *, least: float | None = None, most: float | None = None
) -> Cell:
    """A share with the interval of Clopper and Pearson; it holds by its estimate."""
    told = share_of(found, of)
    return _by_estimate(Cell(target, what, of, told.value, told.low, told.high, most=most, least=least))


def median(
    target: int, what: str, values: Array, most: float | None = None, *, least: float | None = None
) -> Cell:
    """A median, between the order statistics that hold it with 95 %, whatever the distribution."""
    ordered, runs = np.sort(values), len(values)
    place = int(binom.ppf(0.025, runs, 0.5))
    low, high = ordered[max(place - 1, 0)], ordered[min(runs - place, runs - 1)]
    return _by_estimate(
        Cell(target, what, runs, float(np.median(values)), float(low), float(high), most=most, least=least)
    )


def mean(target: int, what: str, values: Array, most: float | None = None) -> Cell:
    """A mean with its bootstrap interval (Efron 1979)."""
    rng = np.random.default_rng(_RNG_SEED)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    return _by_estimate(_cell(target, what, len(values), float(values.mean()), means, most=most))


def median_ratio(
    target: int,
    what: str,
    above: Array,
    below: Array,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Cell:
    """The ratio of two medians with its bootstrap interval."""
    rng = np.random.default_rng(_RNG_SEED)
    medians = [np.median(rng.choice(each, (RESAMPLES, len(each))), axis=1) for each in (above, below)]
    value = float(np.median(above) / np.median(below))
    runs = min(len(above), len(below))
    return _by_estimate(_cell(target, what, runs, value, medians[0] / medians[1], most=most, least=least))


def number(
    target: int,
    what: str,
    value: float,
    repetitions: int = 1,
    *,
    most: float | None = None,
    least: float | None = None,
) -> Cell:
    """A number that no chance is in."""
    return _by_estimate(Cell(target, what, repetitions, value, value, value, most=most, least=least))


def _cell(
    target: int,
    what: str,
    runs: int,
    value: float,
    drawn: Array,
    most: float | None = None,
    least: float | None = None,
) -> Cell:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Cell(target, what, runs, value, float(low), float(high), most=most, least=least)


def _by_estimate(cell: Cell) -> Cell:
    """Holds by the estimate; where only a part of the interval would, the repetitions are too few to say."""
    if not cell.asked:
        return cell
    most = math.inf if cell.most is None else cell.most
    least = -math.inf if cell.least is None else cell.least
    inside = least <= cell.value <= most
    touches = cell.low <= most and cell.high >= least
    holds = True if inside else None if touches else False
    return Cell(
        cell.target,
        cell.what,
        cell.repetitions,
        cell.value,
        cell.low,
        cell.high,
        cell.most,
        cell.least,
        holds,
    )

"""P1, the margin bet: evidence from the bad events of two arms that is valid at any stopping time.

For one interval with bad events x_C of n_C and x_S of n_S, exposure ratio r = n_C / n_S, a line
p_C = rho p_S + delta and a stake u > 0, the bet against "at most on the line" (u < 0: "at least on it") is

    rare:      log M = x_C log(1 + u) + x_S log(1 - rho r u) - delta n_C u

    frequent:  log M = x_C log(1 + u (1 - c_C)) + (n_C - x_C) log(1 - u c_C)
                     + x_S log(1 - rho r u (1 - c_S)) + (n_S - x_S) log(1 + rho r u c_S),
               c_C = rho c_S + delta

Both are supermartingale factors whatever p_S does meanwhile, though the requests of an interval differ in
their rates: the expectation of a product of n independent factors is at most their mean to the n (AM-GM). In
the rare form that mean is 1 + u n_C (p_C - rho p_S)/n, and (1 + z/n)^n <= exp(z); in the frequent form the
centres cancel and it is 1 + u n_C (p_C - rho p_S - delta)/n <= 1. The rare form is the conditional binomial
likelihood ratio at the observed exposures (Lindon and Malek 2022) and holds for Poisson counts by exposure as
well; the frequent one, centred on the line's nearest point to the alternative, is the growth-optimal
e-variable of a 2x2 table (Turner, Ly and Grunwald 2024), here with a margin. Stakes and centres must be known
before the interval: a wrong guess of the stable rate costs power, one drawn from the interval costs validity.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import xlog1py

from analysis.betting import Array, Stakes
from analysis.evidence import Counts, Pair
from analysis.metric import Line

HARM: Final = Stakes.weighted(np.geomspace(1.2, 40.0, 20), np.geomspace(1.2, 40.0, 20) ** -1.0)
SAFE: Final = Stakes.weighted(
    1.0 / np.geomspace(1.08, 60.0, 20), (1.0 / np.geomspace(1.08, 60.0, 20)) ** 0.25
)
FREQUENT: Final = 0.05  # from here on the rare form uses less than 94 % of the information
SOLVENT: Final = 1.0 - 1e-9  # no stake can lose all on one event, whatever rounding did
SURE: Final = 0.999  # a share on the line beyond this leaves no room for an alternative beyond it;
NEARLY_SURE: Final = 0.99  # alternatives within it are then told from here
_EDGE: Final = 1e-9  # centres stay this far from 0 and 1
_ROUNDS: Final = 35
_FIXED: Final = 10  # rounds of going to the mean; who is not there yet halves the bracket


def increments(stakes: Stakes, line: Line, pair: Pair, stable_rate: float) -> Array:
    """log M of each stake for one interval; zeros where an arm counted nothing, which says nothing.

    `stable_rate` is a guess from before the interval.
    """
    canary, stable = pair.canary, pair.stable
    if line.rho == 0:
        return alone(stakes.kappas, line, canary)
    if canary.total <= 0 or stable.total <= 0:
        return np.zeros_like(stakes.kappas)
    form = frequent if is_frequent(line, stable_rate, safe=stakes.kappas[-1] < 1) else rare
    return form(stakes.kappas, line, canary.bad, canary.total, stable.bad, stable.total, stable_rate)


def is_frequent(line: Line, stable_rate: float, *, safe: bool = False) -> bool:
    """Whether the events are shares so large that the frequent form pays.

    Where the line is beyond the whole nobody can be beyond it, but one can still be found to be within.
    """
    base = line.at(stable_rate)
    return line.share and base > FREQUENT and (safe or base < SURE)


Number = float | Array


def rare(
    kappas: Array,
    line: Line,
    canary_bad: Number,
    canary_total: Number,
    stable_bad: Number,
    stable_total: Number,
    stable_rate: Number,
) -> Array:
    """log M of each stake in the rare form; all but `line` broadcast."""
    r = canary_total / stable_total
    u = growth_optimal(kappas, line, stable_rate, r)
    gained: Array = xlog1py(canary_bad, u) + xlog1py(stable_bad, -line.rho * r * u)
    return gained - line.delta * canary_total * u


def growth_optimal(kappas: Array, line: Line, stable_rate: Number, r: Number) -> Array:
    """Stakes of the rare form that grow fastest if p_C = kappa * line.at(p_S).

    The root of delta rho r u^2 - [B (1 + kappa rho r) - delta rho r] u + (kappa - 1) B = 0, B = rho p_S +
    delta, in the form that neither cancels nor divides by zero.
    """
    odds = line.rho * r
    if line.delta == 0:
        return _within((kappas - 1.0) / (1.0 + kappas * odds), -SOLVENT, SOLVENT / odds)
    base = line.rho * stable_rate + line.delta
    a = line.delta * odds
    b = base * (1.0 + kappas * odds) - a
    c = (kappas - 1.0) * base
    return _within(2.0 * c / (b + np.sqrt(b * b - 4.0 * a * c)), -SOLVENT, SOLVENT / odds)


def frequent(
    kappas: Array,
    line: Line,
    canary_bad: Number,
    canary_total: Number,
    stable_bad: Number,
    stable_total: Number,
    stable_rate: Number,
) -> Array:
    """log M of each stake in the frequent form, kappa being the ratio of odds; all but `line` broadcast.

    Stakes beyond the line (kappa > 1) need a line short of the whole.
    """
    odds = line.rho * canary_total / stable_total
    base = line.rho * stable_rate + line.delta
    base = np.where(base < SURE, base, NEARLY_SURE)
    alternative = kappas * base / (1.0 - base + kappas * base)
    stable_centre = nearest_on_line(alternative, stable_rate, line, odds)
    centre = line.rho * stable_centre + line.delta
    u = _within(
        (alternative - centre) / (centre * (1.0 - centre)),
        -SOLVENT / np.maximum(1.0 - centre, odds * stable_centre),
        SOLVENT / np.maximum(centre, odds * (1.0 - stable_centre)),
    )
    gained: Array = xlog1py(canary_bad, u * (1.0 - centre)) + xlog1py(canary_total - canary_bad, -u * centre)
    gained += xlog1py(stable_bad, -odds * u * (1.0 - stable_centre))
    gained += xlog1py(stable_total - stable_bad, odds * u * stable_centre)
    return gained


def nearest_on_line(alternative: Array, stable_rate: Number, line: Line, odds: Number) -> Array:
    """The stable rate whose pair on the line is least divergent from (`alternative`, `stable_rate`).

    It solves rho r (p_C - q_C) / (q_C (1 - q_C)) + (p_S - q_S) / (q_S (1 - q_S)) = 0 on the line: a mean of
    p_S and (p_C - delta) / rho, weighted by precisions at itself. The first round is exact without a margin;
    the bracket is for lines that end where the weights do.
    """
    other = (alternative - line.delta) / line.rho
    highest = min(1.0, (1.0 - line.delta) / line.rho) - _EDGE
    low, high = (_within(end(stable_rate, other), _EDGE, highest) for end in (np.minimum, np.maximum))
    near: Array = (stable_rate + odds * line.rho * other) / (1.0 + odds * line.rho)
    for number in range(_ROUNDS):
        near = _within(near, low, high)
        centre = line.rho * near + line.delta
        weight = odds * line.rho * near * (1.0 - near) / (centre * (1.0 - centre))
        mean = (stable_rate + weight * other) / (1.0 + weight)
        if (np.abs(mean - near) <= 1e-5 * near).all():
            break
        if number < _FIXED:
            near = mean
            continue
        low, high = np.where(mean > near, near, low), np.where(mean > near, high, near)
        near = 0.5 * (low + high)
    return near


def _within(values: Array, low: Number, high: Number) -> Array:
    """np.clip, which takes longer to begin than all else that is done to twenty stakes."""
    held: Array = np.minimum(np.maximum(values, low), high)
    return held


def alone(kappas: Array, line: Line, canary: Counts) -> Array:
    """log M of each stake without a control: the likelihood ratio of the canary's rate to the limit.

    Of a share (kappa is the ratio of odds) by the binomial, of a rate by the Poisson distribution.
    """
    limit = line.delta
    if canary.total <= 0 or limit <= 0 or (line.share and limit >= 1):
        return np.zeros_like(kappas)
    if not line.share:
        gained: Array = canary.bad * np.log(kappas) - (kappas - 1.0) * limit * canary.total
        return gained
    rest = 1.0 - limit + kappas * limit
    return canary.bad * np.log(kappas / rest) - (canary.total - canary.bad) * np.log(rest)


def growth(line: Line, worse: float, stable_rate: float, r: float) -> float:
    """Expected log M for each canary request of a canary at `worse`, by the stake that is best there.

    Not positive where no bet grows: the canary is within the line.
    """
    base = line.at(stable_rate)
    if worse <= base or (line.share and worse >= 1):
        return 0.0
    by_odds = line.share and (line.rho == 0 or is_frequent(line, stable_rate))
    kappa = worse / base if base > 0 else 1e6
    if by_odds:
        kappa *= (1 - base) / (1 - worse)
    pair = Pair(Counts(worse, 1.0), Counts(stable_rate / r, 1 / r))
    stake = Stakes(np.array([kappa]), np.zeros(1))
    return float(increments(stake, line, pair, stable_rate)[0])


def requests_at_even_odds(line: Line, worse: float, stable_rate: float, r: float, threshold: float) -> float:
    """Canary exposure after which a canary at the rate `worse` crosses log E = `threshold` with power 1/2.

    n = threshold / D, D the expected growth of log M a canary request (Wald's fluid limit); infinite where
    it does not grow.
    """
    growing = growth(line, worse, stable_rate, r)
    return threshold / growing if growing > 0 else float("inf")

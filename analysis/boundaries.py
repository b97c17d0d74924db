"""P1, the margin bet: evidence from the bad events of two arms that is valid at any stopping time.

For one interval with bad events x_C of n_C and x_S of n_S, exposure ratio r = n_C / n_S, a line
p_C = rho * p_S + delta and a stake u,

    log M(u) = x_C log(1 + u) + x_S log(1 - rho r u) - delta n_C u .

For u > 0 the product over intervals is a supermartingale while p_C <= rho p_S + delta (evidence of harm), for
u < 0 while p_C >= rho p_S + delta (evidence of safety), whatever p_S does meanwhile: the expectation of a
product of n independent factors is at most their mean to the n (AM-GM), and that is at most exp(u n_C (p_C -
rho p_S - delta)). For rho = 1, delta = 0 and Poisson counts it is the conditional binomial likelihood ratio
(Lindon and Malek 2022) at the observed exposures. A mixture over fixed stakes is again a supermartingale
(Robbins 1970).

Logarithms of e-values throughout; the bets of one side are the elements of an array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, xlog1py

from analysis.evidence import Pair
from analysis.metric import Margin

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stakes:
    """Alternatives kappa = p_C / (rho p_S + delta) and the logarithms of their weights, which sum to 1."""

    kappas: Array
    log_weights: Array


def _stakes(kappas: Array, power: float) -> Stakes:
    weights = kappas**power
    return Stakes(kappas, np.log(weights / weights.sum()))


HARM: Final = _stakes(np.geomspace(1.2, 40.0, 20), -1.0)
SAFE: Final = _stakes(1.0 / np.geomspace(1.08, 60.0, 20), 0.25)


def growth_optimal(kappas: Array, margin: Margin, stable_rate: float, r: float) -> Array:
    """Stakes that grow fastest if p_C = kappa * margin.line(p_S).

    The root of delta rho r u^2 - [B (1 + kappa rho r) - delta rho r] u + (kappa - 1) B = 0, B = rho p_S +
    delta, in the form that neither cancels nor divides by zero. `stable_rate` must be known before the
    interval: it may be wrong, which costs power, but not drawn from it, which costs validity.
    """
    rho, delta = 1.0 + margin.relative, margin.absolute
    if delta == 0:
        return _solvent((kappas - 1.0) / (1.0 + kappas * rho * r), rho * r)
    base = rho * stable_rate + delta
    a = delta * rho * r
    b = base * (1.0 + kappas * rho * r) - a
    c = (kappas - 1.0) * base
    return _solvent(2.0 * c / (b + np.sqrt(b * b - 4.0 * a * c)), rho * r)


def _solvent(stakes: Array, odds: float) -> Array:
    """Stakes that can't lose all on one event, whatever rounding did: 1 + u and 1 - odds u stay positive."""
    limit = 1.0 - 1e-9
    return np.clip(stakes, -limit, limit / odds)


def increments(stakes: Stakes, margin: Margin, pair: Pair, stable_rate: float) -> Array:
    """log M of each stake for one interval; zeros where an arm counted nothing, which says nothing."""
    canary, stable = pair.canary, pair.stable
    if canary.total <= 0 or stable.total <= 0:
        return np.zeros_like(stakes.kappas)
    rho, r = 1.0 + margin.relative, canary.total / stable.total
    u = growth_optimal(stakes.kappas, margin, stable_rate, r)
    gained: Array = (
        xlog1py(canary.bad, u) + xlog1py(stable.bad, -rho * r * u) - margin.absolute * canary.total * u
    )
    return gained


@dataclass(frozen=True, slots=True)
class Bet:
    """One side's evidence: the logarithm of each stake's capital, and the share not invested yet.

    The share covers what begins late: it is put in over time, so that a change after k looks is not charged
    for the losses of the looks before. Still a supermartingale, since money that lies idle neither wins nor
    loses.
    """

    logs: tuple[float, ...]
    reserve: float = 0.0

    @classmethod
    def opened(cls, stakes: Stakes, reserve: float = 0.0) -> Bet:
        """Capital 1, of which `reserve` waits."""
        return cls((math.log1p(-reserve),) * len(stakes.kappas), reserve)

    def invested(self, share: float) -> Bet:
        """Put in `share` of the first capital, at most what is left, before the next interval counts."""
        share = min(share, self.reserve)
        if share <= 0:
            return self
        logs = np.logaddexp(np.array(self.logs), math.log(share))
        return Bet(tuple(logs.tolist()), self.reserve - share)

    def updated(self, gained: Array) -> Bet:
        """Add one interval's increments."""
        return Bet(tuple((np.array(self.logs) + gained).tolist()), self.reserve)

    def log_e(self, stakes: Stakes) -> float:
        """Logarithm of the e-value: the capital of all stakes and what was not invested."""
        invested = float(logsumexp(stakes.log_weights + np.array(self.logs)))
        return float(np.logaddexp(invested, math.log(self.reserve))) if self.reserve > 0 else invested


# The ratio of the arms' rates for display. With m bad events of both arms at ratio r the log-likelihood of
# theta is x_C log(theta) - m log(1 + r theta) and a constant. The sum of the second term over intervals is
# analytic in log(theta) within pi of the real axis, so its values at 33 Chebyshev nodes give it everywhere to
# 1e-10 of m.
_HALF_RANGE: Final = math.log(64.0)
_NODES: Final[Array] = np.cos(np.pi * (np.arange(33) + 0.5) / 33)
_GRID: Final[Array] = np.linspace(-1.0, 1.0, 257)
_TO_GRID: Final[Array] = np.polynomial.chebyshev.chebvander(_GRID, 32) @ np.linalg.inv(
    np.polynomial.chebyshev.chebvander(_NODES, 32)
)
NO_LIKELIHOOD: Final = (0.0,) * len(_NODES)


def likelihood_added(likelihood: tuple[float, ...], pair: Pair) -> tuple[float, ...]:
    """Add one interval to the sum of m log(1 + r theta) at the nodes."""
    events = pair.canary.bad + pair.stable.bad
    if events == 0 or pair.canary.total <= 0 or pair.stable.total <= 0:
        return likelihood
    ratio = pair.canary.total / pair.stable.total
    more = events * np.logaddexp(0.0, math.log(ratio) + _HALF_RANGE * _NODES)
    return tuple((np.array(likelihood) + more).tolist())


def ratio_interval(likelihood: tuple[float, ...], canary_bad: float, level: float) -> tuple[float, float]:
    """Confidence sequence for canary rate / stable rate: it holds at all looks together with 1 - level.

    Inverts the mixture (Robbins 1970): {theta: l(theta) > log mean exp l + log level} on 257 points from 1/64
    to 64; 0 and infinity stand for ends beyond.
    """
    log_theta = _HALF_RANGE * _GRID
    values = canary_bad * log_theta - _TO_GRID @ np.array(likelihood)
    inside = np.flatnonzero(values > logsumexp(values) - math.log(len(_GRID)) + math.log(level))
    first, last = int(inside[0]), int(inside[-1])
    low = 0.0 if first == 0 else math.exp(log_theta[first])
    high = math.inf if last == len(_GRID) - 1 else math.exp(log_theta[last])
    return low, high


def requests_at_even_odds(
    margin: Margin, worse: Margin, stable_rate: float, r: float, threshold: float
) -> float:
    """Canary exposure after which a canary at `worse` crosses log E = `threshold` with power one half.

    n = threshold / D, D the expected growth of log M a canary request at the growth-optimal stake (statistics
    of Wald's fluid limit); infinite where the two lines are one.
    """
    bad = worse.line(stable_rate)
    line = margin.line(stable_rate)
    if bad <= line:
        return math.inf
    rho = 1.0 + margin.relative
    u = float(growth_optimal(np.array([bad / line if line > 0 else 1e6]), margin, stable_rate, r)[0])
    growth = bad * math.log1p(u) + stable_rate / r * math.log1p(-rho * r * u) - margin.absolute * u
    return threshold / growth if growth > 0 else math.inf

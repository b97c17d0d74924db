"""Capital that is bet: a mixture of stakes whose worth is an e-value at any stopping time.

Each stake's capital is a supermartingale while the hypothesis that it bets against is true, starting at 1; so
is their weighted mean (Robbins 1970), which hence ever reaches 1/alpha with probability at most alpha (Ville
1939). Logarithms throughout; the stakes of one side are the elements of an array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_sum(logs: Array) -> float:
    """log of the sum of exponentials of a one-dimensional array, a tenth as dear as scipy's general one."""
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).sum())) if top > -math.inf else top


@dataclass(frozen=True, eq=False)
class Stakes:
    """What each stake is best against, and the logarithms of the stakes' weights, which sum to 1."""

    kappas: Array
    log_weights: Array

    @classmethod
    def weighted(cls, kappas: Array, weights: Array) -> Stakes:
        """Stakes with weights in these proportions."""
        return cls(kappas, np.log(weights / weights.sum()))


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

    def anew(self) -> Bet:
        """As many stakes with capital 1, all of it invested."""
        return Bet((0.0,) * len(self.logs))

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
        invested = log_sum(stakes.log_weights + np.array(self.logs))
        return float(np.logaddexp(invested, math.log(self.reserve))) if self.reserve > 0 else invested

"""P4, whether traffic goes where it is sent: the canary's share of requests against the configured one.

Two bets without a control, on "a request went to the canary": that its share is above, and that it is below a
band around the weight. Capital beyond what decides is put aside, which is always allowed, so that a route
that is mended is believed again soon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analysis.betting import Bet, Stakes
from analysis.boundaries import HARM, SAFE, alone
from analysis.evidence import NO_EVENTS, Counts, Pair
from analysis.interval import limit_interval
from analysis.metric import Line

RESERVE: Final = 0.5  # of the capital, for a route that changes late
SPREAD_OVER: Final = 240  # looks
BEYOND: Final = 2.0  # nats that the capital may exceed what decides by
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """What may be concluded from a metric's requests about the route.

    metric: whose totals are requests that the route split. tolerance: of the smaller arm's share, on both
    sides. level: how likely a route within the band is called misrouted, for each weight. phi: tempers, where
    requests stick to a version by session: the requests of one session.
    """

    metric: str
    tolerance: float = 0.2
    level: float = 0.01
    phi: float = 1.0


@dataclass(frozen=True, slots=True)
class RouteTest:
    """Evidence since the weight was last set. weight: the canary's share, 0 to 1. since: in milliseconds."""

    weight: float
    since: int
    above: Bet
    below: Bet
    requests: Counts = NO_EVENTS

    @classmethod
    def begun(cls, weight: float, since: int) -> RouteTest:
        """Nothing seen yet."""
        return cls(weight, since, Bet.opened(HARM, RESERVE), Bet.opened(SAFE, RESERVE))

    def updated(self, share: Share, pair: Pair) -> RouteTest:
        """With the requests of one interval."""
        went = Counts(pair.canary.total, pair.canary.total + pair.stable.total)
        width = share.tolerance * min(self.weight, 1 - self.weight)
        return replace(
            self,
            above=_updated(self.above, HARM, self.weight + width, share, went),
            below=_updated(self.below, SAFE, self.weight - width, share, went),
            requests=Counts(self.requests.bad + went.bad, self.requests.total + went.total),
        )

    @property
    def log_e(self) -> float:
        """Of the larger of the two bets, halved for the choice."""
        return max(self.above.log_e(HARM), self.below.log_e(SAFE)) - math.log(2)

    def verdict(self, share: Share) -> RouteVerdict:
        """What the requests show."""
        low, high = limit_interval(
            self.requests, self.weight, share=True, level=1 - CONFIDENCE, phi=share.phi
        )
        return RouteVerdict(
            weight=self.weight,
            observed=self.requests.rate,
            low=low * self.weight,
            high=min(high * self.weight, 1.0),
            requests=self.requests.total,
            misrouted=self.log_e >= -math.log(share.level),
        )


@dataclass(frozen=True, slots=True)
class RouteVerdict:
    """The canary's share as it is. observed: None where no request was seen: then nothing is verified.

    low, high: a confidence sequence for the share at the present weight.
    """

    weight: float
    observed: float | None
    low: float
    high: float
    requests: float
    misrouted: bool

    @property
    def reason(self) -> str:
        """For people."""
        if self.observed is None:
            return f"no request was seen since the canary's weight is {100 * self.weight:g} %"
        return (
            f"the canary gets {100 * self.observed:.3g} % of {self.requests:,.0f} requests"
            f" ({100 * self.low:.2g} to {100 * self.high:.2g} %), configured are {100 * self.weight:g} %"
        )


def _updated(bet: Bet, stakes: Stakes, limit: float, share: Share, went: Counts) -> Bet:
    gained = alone(stakes.kappas, Line(0.0, limit), went) / share.phi
    bet = bet.invested(RESERVE / SPREAD_OVER).updated(gained)
    surplus = bet.log_e(stakes) - (math.log(2 / share.level) + BEYOND)
    return bet.updated(np.full(len(bet.logs), -surplus)) if surplus > 0 else bet

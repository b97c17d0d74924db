"""How strong the evidence will be: of bets on counts that are not there yet, by their rates and exposures.

The bet's logarithm is linear in the bad events of the arms, whatever its form. So what it will be is told by
the judge's own bets on expected counts, and how much less with probability 1 - q by the counts that are z(q)
standard deviations less lucky in the direction that costs most: the first-order reliability method (Hasofer
and Lind 1974). For one stake that is Wald's normal approximation (1947) of a random walk with drift D and
variance V a request, n = ((z sqrt(V) + sqrt(z^2 V + 4 D b)) / (2 D))^2; for the mixture of stakes, the
capital kept back and several splits of the traffic, it is the same without a correction by hand. The walk may
cross before n and fall back: true power is somewhat higher than what is planned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from scipy.special import gammaincinv, ndtr

from analysis.betting import Array, Bet, Stakes
from analysis.boundaries import HARM, SAFE, increments
from analysis.evidence import Counts, Pair
from analysis.metric import Against, Direction, Line, Margin, Mean, Metric, Rate
from analysis.pods import inflation
from analysis.policy import Policy
from analysis.state import Test
from analysis.updates import expected_rate, facing

LONGEST: Final = 1e7  # minutes: what takes longer than years is never
SHORTEST: Final = 1e-4
NEARLY_ALL: Final = 0.999  # the worst share that is asked for: at 1 there are no odds
MANY_TIMES: Final = 1e4  # likewise of rates
_ROUNDS: Final = 48  # of halving: eleven powers of ten to a part in a million


class Side(Enum):
    """What is to be proved: that the canary is worse, or that it is not."""

    HARM = "harm"
    SAFE = "safe"


@dataclass(frozen=True, slots=True)
class Flow:
    """Exposure of both arms in a minute: requests, or pod-hours where a rate is compared."""

    canary: float
    stable: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time with one split of the traffic. pods: how many of canary and stable carry it."""

    flow: Flow
    minutes: float
    pods: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class Truth:
    """The rates that the arms are supposed to have: shares, or events a pod-hour."""

    canary: float
    stable: float


@dataclass(frozen=True, slots=True)
class Question:
    """One side of one metric of a policy: what it takes to answer it."""

    policy: Policy
    metric: Metric
    side: Side

    @property
    def stakes(self) -> Stakes:
        """What the bet is spread over."""
        return HARM if self.side is Side.HARM else SAFE

    @property
    def threshold(self) -> float:
        """What log E must reach by this metric (and edge of it) alone, all others saying nothing."""
        if self.side is Side.SAFE:
            return -math.log(self.policy.beta)
        noisy = math.log(2) if self.metric.dispersion.tau > 0 else 0.0
        weight = self.policy.weights[self.metric.name] or 1.0
        return -math.log(self.policy.alpha * weight) + math.log(len(self.metric.edges)) + noisy

    def line(self, pods: tuple[int, int]) -> Line:
        """The line that is bet against, raised by what so few pods may do."""
        metric = self.metric
        if self.side is Side.SAFE:
            return metric.safe_line
        if metric.dispersion.tau == 0:
            return metric.harm_line
        level = self.policy.alpha * (self.policy.weights[metric.name] or 1.0) / (2 * len(metric.edges))
        return metric.harm_line.raised(inflation(metric.dispersion, level, *pods, metric.against))


def rate_at(metric: Metric, margin: Margin, stable_rate: float) -> float:
    """The canary's rate on a margin; a share is at most 1, nothing is below 0."""
    if metric.against is Against.LIMIT:
        return margin.absolute
    if metric.direction is Direction.DECREASE:
        return max((stable_rate - margin.absolute) / (1 + margin.relative), 0.0)
    rate = margin.line(stable_rate)
    return rate if isinstance(metric.kind, Rate | Mean) else min(rate, 1.0)


def reached(question: Question, stretches: Sequence[Stretch], truth: Truth, z: float) -> bool:
    """Whether the answer is there after these stretches, with counts that are `z` less lucky than expected.

    With z = 0 that is even odds, with the quantile of power p probability p.
    """
    if question.side is Side.HARM and not _enough_events(question, stretches, truth, z):
        return False
    return log_e(question, stretches, truth, z) >= question.threshold


def log_e(question: Question, stretches: Sequence[Stretch], truth: Truth, z: float = 0.0) -> float:
    """log E of the mixture at counts that are `z` standard deviations less lucky than expected."""
    bet = Bet.opened(question.stakes, question.policy.late_share if question.side is Side.HARM else 0.0)
    walks = [_walk(question, stretch, truth) for stretch in stretches if _counts(question, stretch)]
    if not walks:
        return 0.0
    drift = np.sum([walk.drift for walk in walks], axis=0)
    leading = np.exp(question.stakes.log_weights + drift - np.max(question.stakes.log_weights + drift))
    leading /= leading.sum()
    slopes = [(float(leading @ walk.canary), float(leading @ walk.stable)) for walk in walks]
    variance = sum(
        a * a * walk.spread[0] + b * b * walk.spread[1] for (a, b), walk in zip(slopes, walks, strict=True)
    )
    if variance > 0:
        for (a, b), walk in zip(slopes, walks, strict=True):
            off = [
                max(-z * slope * spread / math.sqrt(variance), -expected)
                for slope, spread, expected in zip((a, b), walk.spread, walk.expected, strict=True)
            ]
            drift = drift + off[0] * walk.canary + off[1] * walk.stable
    return bet.updated(drift).log_e(question.stakes)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A stretch of the bet: its drift by stake, what one more bad event of an arm adds to it, and how the
    arms' bad events spread (variance).
    """

    drift: Array
    canary: Array
    stable: Array
    expected: tuple[float, float]
    spread: tuple[float, float]


def _walk(question: Question, stretch: Stretch, truth: Truth) -> _Walk:
    metric, minutes = question.metric, stretch.minutes
    exposed = (stretch.flow.canary * minutes, stretch.flow.stable * minutes)
    rates = (truth.canary, truth.stable)
    expected = (exposed[0] * rates[0], exposed[1] * rates[1])
    line, phi = question.line(stretch.pods), metric.dispersion.phi
    halfway = Pair(*(Counts(rate * total / 2, total / 2) for rate, total in zip(rates, exposed, strict=True)))
    guess = expected_rate(metric, Test(None, Bet(()), counted=halfway))

    def gained(canary_bad: float, stable_bad: float) -> Array:
        pair = Pair(Counts(canary_bad, exposed[0]), Counts(stable_bad, exposed[1]))
        return increments(question.stakes, line, facing(metric, pair), guess) / phi

    none = gained(0.0, 0.0)
    canary, stable = gained(1.0, 0.0) - none, gained(0.0, 1.0) - none
    share = not isinstance(metric.kind, Rate)
    spread = [
        phi * events * (1 - rate if share else 1.0) for events, rate in zip(expected, rates, strict=True)
    ]
    drift = none + expected[0] * canary + expected[1] * stable
    return _Walk(drift, canary, stable, expected, (spread[0], spread[1]))


def _counts(question: Question, stretch: Stretch) -> bool:
    """Whether a stretch says anything: it lasts, and both arms are there, where there are two."""
    flow = stretch.flow
    both = flow.stable > 0 or question.metric.against is Against.LIMIT
    return stretch.minutes > 0 and flow.canary > 0 and both


def _enough_events(question: Question, stretches: Sequence[Stretch], truth: Truth, z: float) -> bool:
    """Whether there are `min_events` with the probability of `z`: a Poisson quantile."""
    pair = Pair()
    for stretch in stretches:
        canary, stable = stretch.flow.canary * stretch.minutes, stretch.flow.stable * stretch.minutes
        pair += Pair(Counts(canary * truth.canary, canary), Counts(stable * truth.stable, stable))
    wanted = float(gammaincinv(question.policy.min_events, float(ndtr(z))))
    return facing(question.metric, pair).canary.bad >= wanted


def minutes_needed(
    question: Question,
    flow: Flow,
    truth: Truth,
    z: float,
    *,
    pods: tuple[int, int] = (1, 1),
    before: Sequence[Stretch] = (),
) -> float:
    """Minutes at `flow`, after what was counted `before`, until the answer is there; infinite for never."""

    def there(minutes: float) -> bool:
        return reached(question, (*before, Stretch(flow, minutes, pods)), truth, z)

    if not there(LONGEST):
        return math.inf
    low, high = math.log(SHORTEST), math.log(LONGEST)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (low, middle) if there(math.exp(middle)) else (middle, high)
    return math.exp(high)


def detectable(question: Question, stretch: Stretch, stable_rate: float, z: float) -> float | None:
    """The canary's rate nearest to what is tolerated that is proved worse after `stretch`; None for none."""
    metric = question.metric
    tolerated = rate_at(metric, metric.acceptable, stable_rate)
    share = not isinstance(metric.kind, Rate)
    most = NEARLY_ALL if share else MANY_TIMES * max(tolerated, 1.0)
    worst = 0.0 if metric.direction is Direction.DECREASE else most

    def found(rate: float) -> bool:
        return reached(question, [stretch], Truth(rate, stable_rate), z)

    near, far = tolerated, worst
    if not found(far):
        return None
    for _ in range(_ROUNDS):
        middle = math.sqrt(near * far) if near > 0 and far > 0 else (near + far) / 2
        near, far = (near, middle) if found(middle) else (middle, far)
    return far

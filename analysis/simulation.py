"""Whole rollouts in seeded worlds, judged by the very code that judges real ones.

A world draws what both arms count between two looks; from there on it is `begin`, `begin_step`, `fold` and
`judge`. Requests come as a Poisson process and fail independently. Randomness is an argument, a numpy
Generator: the same one gives the same rollouts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

import numpy as np
from scipy.special import betaincinv

from analysis.compatibility import compatible
from analysis.course import Sight, sight
from analysis.evidence import Counts, Pair
from analysis.histogram import Buckets
from analysis.holds import GivenUp, Hold, Rates, flow_of
from analysis.metric import Histogram, Metric, Proportion, Rate, Slo
from analysis.policy import Policy
from analysis.power import Truth
from analysis.reading import PATIENCE, Reading, Status
from analysis.sequential import begin, begin_step, fold, skip
from analysis.verdict import Judgement, Outcome, judge

START: Final = datetime(2026, 1, 1, tzinfo=UTC)  # any instant: nothing depends on it
LOOK: Final = timedelta(seconds=15)


class End(Enum):
    """How a simulated rollout ends."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    INCONCLUSIVE = "inconclusive"


def simulable(metric: Metric) -> bool:
    """Whether a rate says all that has to be drawn: not of a gauge, and not of failed scrapes."""
    return isinstance(metric.kind, Proportion | Slo | Histogram | Rate)


@dataclass(frozen=True, slots=True)
class World:
    """What is true. requests: a minute, of both arms. stable, canary: their rates by metric; one without
    a rate of stable's is not simulated and gates nothing. look: time between two looks.
    """

    requests: float
    stable: Rates
    canary: Rates
    look: timedelta = LOOK

    def simulated(self, metric: Metric) -> bool:
        """Whether this world draws a metric's counts."""
        return metric.name in self.stable and simulable(metric)

    def truth(self, metric: Metric) -> Truth:
        """A metric's rates; stable's own where the canary is not said to differ."""
        stable = self.stable[metric.name]
        return Truth(self.canary.get(metric.name, stable), stable)


@dataclass(frozen=True, slots=True)
class Course:
    """One rollout: its end, minutes, bad events beyond what stable's rate would have made, and its looks."""

    end: End
    step: str
    minutes: float
    excess: float
    blamed: tuple[str, ...]
    sights: tuple[Sight, ...]


def play(policy: Policy, holds: Sequence[Hold], world: World, rng: np.random.Generator) -> Course:
    """One rollout through all holds; a policy without any is promoted at once."""
    return _Play(policy, world, rng).through(holds)


def courses(
    policy: Policy, holds: Sequence[Hold], world: World, runs: int, rng: np.random.Generator
) -> Iterator[Course]:
    """So many rollouts, one after another; each has its own stream, so that one's length moves no other's."""
    for stream in rng.spawn(runs):
        yield play(policy, holds, world, stream)


class _Play:
    """The state of one rollout under way."""

    def __init__(self, policy: Policy, world: World, rng: np.random.Generator) -> None:
        self.policy, self.world, self.rng = policy, world, rng
        self.now = START
        self.checkpoint = begin(policy, START)
        self.pending = {m.name: Pair() for m in policy.metrics if world.simulated(m)}
        self.excess = 0.0
        self.sights: list[Sight] = []

    def through(self, holds: Sequence[Hold]) -> Course:
        step = ""
        for hold in holds:
            step = hold.step
            self._begin(hold)
            end, judgement = self._held(hold)
            if end is not None:
                return self._course(end, step, judgement)
        return self._course(End.PROMOTED, step, None)

    def _begin(self, hold: Hold) -> None:
        if hold.fresh:
            self.checkpoint = begin_step(self.checkpoint, hold.step, self.now)
        for name in self.pending:
            if name in hold.measured | hold.gates and not self.checkpoint.metrics[name].looks:
                self.checkpoint = skip(self.checkpoint, name, self.now)

    def _held(self, hold: Hold) -> tuple[End | None, Judgement | None]:
        """How a hold ends the rollout; None where it lets it pass."""
        gates = frozenset(name for name in hold.gates if name in self.pending)
        since = self.now
        while True:
            self._look(hold)
            age = self.now - since
            judgement = judge(self.policy, self.checkpoint, self.now, active=gates)
            minutes = (self.now - START) / timedelta(minutes=1)
            self.sights.append(sight(judgement, gates, minutes=minutes, step=hold.step, weight=hold.weight))
            if judgement.outcome is Outcome.WORSE:
                return End.ROLLED_BACK, judgement
            if gates and judgement.outcome is Outcome.NOT_WORSE and age >= hold.least:
                return None, judgement
            if age >= hold.most:
                return (None if not gates or self._lets(hold, gates) else End.INCONCLUSIVE), judgement

    def _lets(self, hold: Hold, gates: frozenset[str]) -> bool:
        """Whether a hold whose time is over lets a canary pass that nothing is known against."""
        if hold.given_up is not GivenUp.PROMOTE_IF_COMPATIBLE:
            return False
        return not compatible(self.policy, self.checkpoint, self.now, active=gates)

    def _look(self, hold: Hold) -> None:
        """Draw what is counted until the next look, and fold it."""
        self.now += self.world.look
        for name, pending in self.pending.items():
            if name in hold.measured | hold.gates:
                self._fold(self.policy.metric(name), hold, pending)

    def _fold(self, metric: Metric, hold: Hold, pending: Pair) -> None:
        drawn, truth = self._drawn(metric, hold), self.world.truth(metric)
        self.excess += abs(truth.canary - truth.stable) * drawn.canary.total
        pair, cut = pending + drawn, self.checkpoint.cut(metric.name)
        silent = pair.canary.total == 0 or pair.stable.total == 0
        if silent and self.now - cut < PATIENCE:
            self.pending[metric.name] = pair
            reading = Reading(cut, cut, Status.WAITING, cause="no events since the last look", seen=self.now)
        else:
            self.pending[metric.name] = Pair()
            counts = (pair,) * len(metric.edges)
            reading = Reading(
                cut,
                self.now,
                Status.OK,
                counts,
                interval=self.world.look,
                buckets=_buckets(metric, pair),
                pods=hold.pods,
            )
        self.checkpoint = fold(self.policy, self.checkpoint, metric.name, reading)

    def _drawn(self, metric: Metric, hold: Hold) -> Pair:
        flow, truth = flow_of(metric, hold, self.world.requests), self.world.truth(metric)
        minutes = self.world.look / timedelta(minutes=1)
        arms = ((flow.canary * minutes, truth.canary), (flow.stable * minutes, truth.stable))
        if isinstance(metric.kind, Rate):
            return Pair(*(Counts(float(self.rng.poisson(rate * mean)), mean) for mean, rate in arms))
        totals = [(int(self.rng.poisson(mean)), rate) for mean, rate in arms]
        return Pair(*(Counts(float(self.rng.binomial(n, rate)), float(n)) for n, rate in totals))

    def _course(self, end: End, step: str, judgement: Judgement | None) -> Course:
        blamed = judgement.blamed if judgement is not None else ()
        minutes = (self.now - START) / timedelta(minutes=1)
        return Course(end, step, minutes, self.excess, blamed, tuple(self.sights))


def _buckets(metric: Metric, pair: Pair) -> Buckets | None:
    """The histogram of as many slow requests: slower than every edge that is asked for."""
    if not isinstance(metric.kind, Histogram):
        return None
    between = (0.0,) * (len(metric.kind.edges) - 1)
    canary, stable = ((arm.total - arm.bad, *between, arm.bad) for arm in (pair.canary, pair.stable))
    return Buckets((*metric.kind.edges, math.inf), canary, stable)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of rollouts with its 95 % interval (Clopper and Pearson 1934)."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.count / self.of


@dataclass(frozen=True, slots=True)
class Summary:
    """What many rollouts came to. minutes, excess: their mean, 10 % and 90 % quantiles."""

    runs: int
    ends: Mapping[End, Share]
    minutes: tuple[float, float, float]
    excess: tuple[float, float, float]
    stopped_at: Mapping[str, int]


def summary(played: Sequence[Course]) -> Summary:
    """Shares of ends, and times and harm over all of them. Raises ValueError where there are none."""
    if not played:
        raise ValueError("nothing was played")
    runs = len(played)
    counts = {end: sum(course.end is end for course in played) for end in End}
    stopped: dict[str, int] = {}
    for course in played:
        if course.end is not End.PROMOTED:
            stopped[course.step] = stopped.get(course.step, 0) + 1
    return Summary(
        runs,
        {end: share_of(count, runs) for end, count in counts.items()},
        _spread([course.minutes for course in played]),
        _spread([course.excess for course in played]),
        stopped,
    )


def share_of(count: int, of: int) -> Share:
    """A share and what it may be in truth, with 95 % confidence."""
    low = float(betaincinv(count, of - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, 0.975)) if count < of else 1.0
    return Share(count, of, low, high)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    low, high = np.quantile(values, (0.1, 0.9))
    return math.fsum(values) / len(values), float(low), float(high)


def typical(played: Sequence[Course], end: End) -> Course | None:
    """Of the rollouts that ended so, the one of median length."""
    ended = sorted((course for course in played if course.end is end), key=lambda each: each.minutes)
    return ended[len(ended) // 2] if ended else None

"""What a policy can tell with the traffic that it gets, said before there is any: power, minutes, harm.

Each hold is planned by itself, as safe evidence is; evidence of harm goes on over holds, so a regression that
was there from the beginning is found sooner than a late hold says. Times are of evidence alone: pods that
start, and routes that are read back, come on top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from scipy.special import ndtri

from analysis.holds import Hold, Rates, evidence_before, flow_of, plannable
from analysis.metric import Mean, Metric, Proportion, Rate
from analysis.policy import Policy
from analysis.power import (
    Question,
    Side,
    Stretch,
    Truth,
    detectable,
    minutes_needed,
    rate_at,
    reached,
)

POWER: Final = 0.8
QUANTILES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of luck; their mean stands for the expectation, the outer ones for the range that is told."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one hold can tell by one metric, or one edge of it, with the power that was asked for.

    stable_rate, unacceptable: shares, or events a pod-hour. detectable: the canary's rate nearest to
    `tolerate` that is proved worse within the hold; None where none is. detects: minutes until a canary at
    `unacceptable` is proved worse; None where the metric does not roll back. passes: minutes until a canary
    like stable is proved not worse; None where the hold does not wait for it. Infinite: never.
    """

    metric: str
    edge: float | None
    stable_rate: float
    unacceptable: float
    detectable: float | None
    detects: float | None
    passes: float | None

    @property
    def ratio(self) -> float | None:
        """What is detectable, as a multiple of stable's rate; None where there is none."""
        if self.detectable is None or self.stable_rate <= 0:
            return None
        return self.detectable / self.stable_rate


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one hold can do. canary_requests: the canary gets in a minute. budget: minutes of evidence."""

    hold: Hold
    canary_requests: float
    budget: float
    reaches: tuple[Reach, ...]
    unplanned: tuple[str, ...]

    @property
    def late_passes(self) -> tuple[Reach, ...]:
        """Where a good canary is not proved in time."""
        return tuple(each for each in self.reaches if each.passes is not None and each.passes > self.budget)

    @property
    def late_detections(self) -> tuple[Reach, ...]:
        """Where an unacceptable canary is not proved worse in time."""
        return tuple(each for each in self.reaches if each.detects is not None and each.detects > self.budget)

    @property
    def reaches_margin(self) -> bool:
        """Whether both a good and an unacceptable canary are told in time, by all that is planned."""
        return not self.late_passes and not self.late_detections


@dataclass(frozen=True, slots=True)
class Spread:
    """An expectation, and what is undercut or exceeded once in ten times each."""

    expected: float
    low: float
    high: float


class End(Enum):
    """What becomes of a canary: proved worse; neither proved when a hold's time is over; all holds passed."""

    FOUND = "found"
    HELD = "held"
    THROUGH = "through"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What to expect of a policy.

    good_minutes: all holds of a canary that is like stable. bad: the metric by which a canary is bad, and
    its rate; None where nothing that rolls back is planned. bad_minutes, failed: until that canary is found
    or held, and its failed requests (events) beyond what stable would have failed. end: what becomes of it
    with even luck.
    """

    power: float
    holds: tuple[Outlook, ...]
    good_minutes: Spread
    bad: tuple[str, float] | None = None
    bad_minutes: Spread | None = None
    failed: Spread | None = None
    end: End | None = None


def forecast(
    policy: Policy,
    holds: Sequence[Hold],
    requests: float,
    rates: Rates,
    *,
    power: float = POWER,
    bad: tuple[str, float] | None = None,
    quantiles: Sequence[float] = QUANTILES,
) -> Forecast:
    """What to expect with so many `requests` a minute in all; metrics without a rate are not planned.

    bad: the metric by which a bad canary is worse, and its rate there; by default the first metric that may
    roll back, at `unacceptable`. quantiles: of luck, from least to most, the middle one the median; a spread
    is from the first to the last.

    Raises:
        ValueError: for traffic, a rate or a power that can't be.
    """
    _check(policy, requests, rates, power)
    z = float(ndtri(power))
    outlooks = tuple(
        _outlook(policy, hold, evidence_before(holds, place), requests, rates, z)
        for place, hold in enumerate(holds)
    )
    lucks = [float(ndtri(each)) for each in quantiles]
    good = _spread([_good_minutes(policy, holds, requests, rates, luck) for luck in lucks])
    bad = bad or _default_bad(policy, rates)
    if bad is None:
        return Forecast(power, outlooks, good)
    courses = [_bad_course(policy, holds, requests, rates, bad, luck) for luck in lucks]
    return Forecast(
        power,
        outlooks,
        good,
        bad,
        _spread([course.minutes for course in courses]),
        _spread([course.failed for course in courses]),
        courses[len(courses) // 2].end,
    )


def shortfalls(
    policy: Policy, holds: Sequence[Hold], requests: float, rates: Rates, *, power: float = POWER
) -> tuple[Outlook, ...]:
    """The holds that can't reach their margin, with what comes too late and nothing else: a hundredth of the
    work of a forecast where all is well. Raises ValueError as `forecast`.
    """
    _check(policy, requests, rates, power)
    z = float(ndtri(power))
    found = (
        _shortfall(policy, hold, evidence_before(holds, place), requests, rates, z)
        for place, hold in enumerate(holds)
    )
    return tuple(outlook for outlook in found if not outlook.reaches_margin)


def _check(policy: Policy, requests: float, rates: Rates, power: float) -> None:
    if not (math.isfinite(requests) and requests > 0):
        raise ValueError(f"requests must be above 0, not {requests:g}")
    if not 0.5 <= power < 1:
        raise ValueError(f"power must be at least 0.5 and below 1, not {power:g}")
    for name, rate in rates.items():
        share = not isinstance(policy.metric(name).kind, Rate | Mean)
        if not (math.isfinite(rate) and rate >= 0) or (share and rate >= 1):
            raise ValueError(f"{name}: a share is at least 0 and below 1, a rate at least 0, not {rate:g}")


def _planned(policy: Policy, names: frozenset[str], rates: Rates) -> Iterator[Metric]:
    for metric in policy.metrics:
        if metric.name in names and metric.name in rates and plannable(metric):
            yield metric


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of one metric at one edge, in a hold's minutes and those before it."""

    policy: Policy
    metric: Metric
    edge: float | None
    hold: Hold
    stretch: Stretch
    rate: float
    z: float

    @property
    def unacceptable(self) -> float:
        return rate_at(self.metric, self.metric.refusable, self.rate)

    @property
    def harm(self) -> Question | None:
        """Asked where it may roll back."""
        asked = self.metric.role.rolls_back and self.metric.name in self.hold.measured
        return Question(self.policy, self.metric, Side.HARM) if asked else None

    @property
    def safe(self) -> Question | None:
        """Asked where the hold waits for it."""
        asked = self.metric.role.gates and self.metric.name in self.hold.gates
        return Question(self.policy, self.metric, Side.SAFE) if asked else None

    def minutes(self, question: Question, canary: float) -> float:
        return minutes_needed(
            question, self.stretch.flow, Truth(canary, self.rate), self.z, pods=self.hold.pods
        )

    def late(self, question: Question, canary: float) -> float | None:
        """The minutes, where there are fewer."""
        if reached(question, [self.stretch], Truth(canary, self.rate), self.z):
            return None
        return self.minutes(question, canary)


def _asked(
    policy: Policy, hold: Hold, budget: float, requests: float, rates: Rates, z: float
) -> Iterator[_Asked]:
    for metric in _planned(policy, hold.gates | hold.measured, rates):
        stretch = Stretch(flow_of(metric, hold, requests), budget, hold.pods)
        for edge in metric.edges:
            yield _Asked(policy, metric, edge, hold, stretch, rates[metric.name], z)


def _budget(hold: Hold, before: float) -> float:
    return before + hold.most / timedelta(minutes=1)


def _outlook(policy: Policy, hold: Hold, before: float, requests: float, rates: Rates, z: float) -> Outlook:
    budget = _budget(hold, before)
    reaches = tuple(map(_reach, _asked(policy, hold, budget, requests, rates, z)))
    unplanned = (hold.gates | hold.measured) - {each.metric for each in reaches}
    names = tuple(metric.name for metric in policy.metrics if metric.name in unplanned)
    return Outlook(hold, requests * hold.weight, budget, reaches, names)


def _shortfall(policy: Policy, hold: Hold, before: float, requests: float, rates: Rates, z: float) -> Outlook:
    budget = _budget(hold, before)
    reaches = tuple(map(_late, _asked(policy, hold, budget, requests, rates, z)))
    return Outlook(hold, requests * hold.weight, budget, reaches, ())


def _reach(asked: _Asked) -> Reach:
    harm, safe, rate = asked.harm, asked.safe, asked.rate
    return Reach(
        asked.metric.name,
        asked.edge,
        rate,
        asked.unacceptable,
        detectable(harm, asked.stretch, rate, asked.z) if harm else None,
        asked.minutes(harm, asked.unacceptable) if harm else None,
        asked.minutes(safe, rate) if safe else None,
    )


def _late(asked: _Asked) -> Reach:
    """A reach of which only those times are told that exceed the budget."""
    harm, safe, rate = asked.harm, asked.safe, asked.rate
    detects = asked.late(harm, asked.unacceptable) if harm else None
    passes = asked.late(safe, rate) if safe else None
    return Reach(asked.metric.name, asked.edge, rate, asked.unacceptable, None, detects, passes)


def _good_minutes(policy: Policy, holds: Sequence[Hold], requests: float, rates: Rates, luck: float) -> float:
    return math.fsum(
        _lasts(hold, _until_passed(policy, hold, evidence_before(holds, place), requests, rates, {}, luck))
        for place, hold in enumerate(holds)
    )


def _lasts(hold: Hold, passed: float) -> float:
    """Minutes for which a hold lasts that could be passed after so many: what is awaited in vain ends too."""
    least, most = hold.least / timedelta(minutes=1), hold.most / timedelta(minutes=1)
    return min(max(least, passed), most)


def _until_passed(
    policy: Policy,
    hold: Hold,
    before: float,
    requests: float,
    rates: Rates,
    canary: Rates,
    luck: float,
) -> float:
    """Minutes until a hold has what it waits for; 0 where it waits for nothing."""
    proofs = [
        minutes_needed(
            Question(policy, metric, Side.SAFE),
            flow_of(metric, hold, requests),
            Truth(canary.get(metric.name, rates[metric.name]), rates[metric.name]),
            luck,
            pods=hold.pods,
        )
        for metric in _planned(policy, hold.gates, rates)
        if metric.role.gates
    ]
    return max(max(proofs, default=0.0) - before, 0.0)


def _default_bad(policy: Policy, rates: Rates) -> tuple[str, float] | None:
    """The first proportion that may roll back, else the first metric; at its unacceptable margin."""
    planned = [metric for metric in _planned(policy, frozenset(rates), rates) if metric.role.rolls_back]
    first = next((each for each in planned if isinstance(each.kind, Proportion)), None)
    chosen = first or next(iter(planned), None)
    if chosen is None:
        return None
    return chosen.name, rate_at(chosen, chosen.refusable, rates[chosen.name])


@dataclass(frozen=True, slots=True)
class _Course:
    minutes: float
    failed: float
    end: End


def _bad_course(
    policy: Policy,
    holds: Sequence[Hold],
    requests: float,
    rates: Rates,
    bad: tuple[str, float],
    luck: float,
) -> _Course:
    """A bad canary's way: its evidence of harm goes on over holds until it is found, held or through."""
    metric, truth = policy.metric(bad[0]), Truth(bad[1], rates[bad[0]])
    question, past = Question(policy, metric, Side.HARM), list[Stretch]()
    excess, minutes, failed = abs(truth.canary - truth.stable), 0.0, 0.0
    for place, hold in enumerate(holds):
        flow = flow_of(metric, hold, requests)
        passed = _until_passed(
            policy, hold, evidence_before(holds, place), requests, rates, dict([bad]), luck
        )
        lasts = _lasts(hold, passed)
        watched = metric.role.rolls_back and metric.name in hold.measured
        found = (
            minutes_needed(question, flow, truth, luck, pods=hold.pods, before=past) if watched else math.inf
        )
        spent = min(found, lasts)
        minutes, failed = minutes + spent, failed + excess * flow.canary * spent
        if found <= lasts:
            return _Course(minutes, failed, End.FOUND)
        if passed > lasts:
            return _Course(minutes, failed, End.HELD)
        if watched:
            past.append(Stretch(flow, lasts, hold.pods))
    return _Course(minutes, failed, End.THROUGH)


def _spread(values: Sequence[float]) -> Spread:
    return Spread(math.fsum(values) / len(values), min(values), max(values))

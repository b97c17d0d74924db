"""Target 7: traffic that is not independent, after a calibration on stable's own history; five metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import numpy as np

from analysis import Counts, Dispersion, Metric, PodHistory, Policy, Proportion, calibrate
from analysis.betting import Array
from benchmarks.judge.cells import Cell, error_rate, median, median_ratio
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import Many, watch
from benchmarks.judge.policies import NO_MARGIN, bare
from benchmarks.judge.traffic import Counted, Index, Traffic

ALPHA, RATE = 0.05, 0.01
CANARY_PODS, STABLE_PODS = 2, 20
A_POD = 75  # requests a scrape
SETS, ROLLOUTS = 10, 300  # histories, each calibrated; rollouts beside each
MINUTE, A_MINUTE = timedelta(minutes=1), 4
HISTORY = 12 * 60  # minutes
HOUR = 240  # scrapes
RETRIES = 5.0  # requests in a cluster of failures, on average


class Noise(Protocol):
    """How the failures of some pods come: pods keep what is theirs from call to call."""

    def __call__(self, rng: np.random.Generator, pods: Array, requests: int) -> Array:
        """Failures of so many requests of each pod (an array of their traits); moves what moves."""

    def pods(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Traits of new pods."""


class Bursts:
    """Each failure is retried: clusters of five on average, geometric; the variance is nine fold."""

    def pods(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """All alike."""
        return np.zeros(shape)

    def __call__(self, rng: np.random.Generator, pods: Array, requests: int) -> Array:
        """Whole clusters, at most all requests."""
        clusters = rng.poisson(requests * RATE / RETRIES, pods.shape)
        more = rng.negative_binomial(np.maximum(clusters, 1), 1 / RETRIES)
        return np.minimum(clusters + np.where(clusters > 0, more, 0), requests).astype(float)


@dataclass(frozen=True)
class Offsets:
    """Each pod has a rate of its own for as long as it lives."""

    tau: float = 0.15

    def pods(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Logarithms of their rates by the mean one."""
        return self.tau * rng.standard_normal(shape)

    def __call__(self, rng: np.random.Generator, pods: Array, requests: int) -> Array:
        """Independent otherwise."""
        return rng.binomial(requests, RATE * np.exp(pods)).astype(float)


@dataclass(frozen=True)
class Slow:
    """Each pod's rate wanders by itself, for minutes: AR(1) with deviation 0.25 of two pods' mean."""

    deviation: float = 0.25 * math.sqrt(CANARY_PODS)
    kept: float = 0.95  # from scrape to scrape

    def pods(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Where they stand."""
        return self.deviation * rng.standard_normal(shape)

    def __call__(self, rng: np.random.Generator, pods: Array, requests: int) -> Array:
        """Moves as far as the requests of one scrape last longer."""
        kept = self.kept ** (requests / A_POD)
        pods *= kept
        pods += self.deviation * math.sqrt(1 - kept**2) * rng.standard_normal(pods.shape)
        return rng.binomial(requests, np.minimum(RATE * np.exp(pods), 1.0)).astype(float)


@dataclass
class Pods:
    """Rollouts of new canary pods beside the stable ones of one history."""

    rng: np.random.Generator
    noise: Noise
    canary: Array
    stable: Array

    def look(self, _: int, who: Index) -> Traffic:
        """As the protocol of worlds says; draws for all rollouts, so that pods move in step."""
        arms = [self.noise(self.rng, pods, A_POD).sum(axis=1)[who] for pods in (self.canary, self.stable)]
        totals = [np.full(len(who), float(A_POD * pods.shape[1])) for pods in (self.canary, self.stable)]
        return Traffic(arms[0], totals[0], arms[1], totals[1])


def cells(effort: Effort) -> Iterator[Cell]:
    """Three kinds of noise, raw and calibrated; then five metrics together."""
    kinds: dict[str, tuple[Noise, int]] = {
        "clusters of failures, variance x9": (Bursts(), HOUR),
        "pods that differ by 15 %, 2 of 22, 4 h": (Offsets(), 4 * HOUR),
        "slow noise of each pod, 25 % of the canary": (Slow(), HOUR),
    }
    for place, (what, (noise, looks)) in enumerate(kinds.items()):
        yield from _noisy(effort, place, what, noise, looks)
    yield from _five(effort)


def _noisy(effort: Effort, place: int, what: str, noise: Noise, looks: int) -> Iterator[Cell]:
    sets, level = effort.runs(SETS, 3), -math.log(ALPHA)
    raw, calm, phis = 0, 0, []
    for number in range(sets):
        effort.say(f"honesty: {what}, history {number + 1} of {sets}")
        rng = effort.rng(7, place, number)
        stable = noise.pods(rng, (1, STABLE_PODS))
        policy = bare(alpha=ALPHA)
        told = calibrate(policy, "errors", history(rng, noise, stable), MINUTE, CANARY_PODS)
        phis.append(told.phi)
        for dispersion in (Dispersion(), told.dispersion):
            many = Many(bare(alpha=ALPHA, dispersion=dispersion), ROLLOUTS, pods=(CANARY_PODS, STABLE_PODS))
            canary = noise.pods(rng, (ROLLOUTS, CANARY_PODS))
            world = Pods(rng, noise, canary, np.repeat(stable, ROLLOUTS, axis=0))
            wrong = int(np.isfinite(watch(many, world, ROLLOUTS, looks, [level], replayed=1).at(level)).sum())
            raw, calm = (raw + wrong, calm) if dispersion == Dispersion() else (raw, calm + wrong)
    yield error_rate(7, f"false rollback, not calibrated; {what}", raw, sets * ROLLOUTS, None)
    yield error_rate(7, f"false rollback, calibrated; {what}", calm, sets * ROLLOUTS, ALPHA)
    yield median(7, f"phi that was calibrated; {what}", np.array(phis))


def history(rng: np.random.Generator, noise: Noise, stable: Array) -> tuple[PodHistory, ...]:
    """Half a day of stable's pods, by minutes."""
    requests = A_POD * A_MINUTE
    counted = np.stack([noise(rng, stable, requests)[0] for _ in range(HISTORY)])
    return tuple(
        PodHistory(f"pod-{pod}", tuple((Counts(float(bad), float(requests)),) for bad in column))
        for pod, column in enumerate(counted.T)
    )


FIVE_RUNS = 2000
FINE = 300  # requests a look, so that medians are not all of a few looks
NAMES = ("errors", "one", "two", "three", "four")


def _five(effort: Effort) -> Iterator[Cell]:
    """Five kinds of bad events; half of those of the first are bad by every other kind as well."""
    metrics = tuple(Metric(name, Proportion("bad", "total"), tolerate=NO_MARGIN) for name in NAMES)
    policy, level = Policy(metrics, alpha=ALPHA, late_share=0.0), -math.log(ALPHA)
    runs = effort.runs(FIVE_RUNS, 200)
    effort.say("honesty: five metrics")
    equal = together(policy, effort.rng(7, 10), runs, 2 * HOUR, RATE, requests=1500)
    yield error_rate(7, "false rollback by any of five metrics, 480 looks", _within(equal), runs, ALPHA)
    for name in (NAMES[0], NAMES[1]):
        bad = together(policy, effort.rng(7, 11), runs, 2000, 2 * RATE, name)
        many, world = Many(bare(alpha=ALPHA), runs), Kinds(effort.rng(7, 12), 2 * RATE, NAMES[0])
        alone = watch(many, world, runs, 2000, [level], replayed=0).at(level)
        most = 1.4 if name == NAMES[0] else None
        kind = "first" if name == NAMES[0] else "second"
        what = f"requests with five metrics / with one; 1% to 2% in the {kind}, canary 10%"
        yield median_ratio(7, what, bad, alone, most=most)


def _within(found: Array) -> int:
    return int(np.isfinite(found).sum())


@dataclass
class Kinds:
    """Bad events of five kinds, of which the canary has more of one. `look` shows the first alone."""

    rng: np.random.Generator
    rate: float
    worse: str
    requests: int = FINE

    def look(self, _: int, who: Index) -> Traffic:
        """As the protocol of worlds says."""
        return self.all(len(who))[0]

    def all(self, runs: int) -> list[Traffic]:
        """One interval by kind."""
        canary = self.rng.binomial(self.requests, 0.1, runs)
        arms = [
            self._bad(total, rate) for total, rate in ((canary, self.rate), (self.requests - canary, RATE))
        ]
        return [
            Traffic(
                c.astype(float), canary.astype(float), s.astype(float), (self.requests - canary).astype(float)
            )
            for c, s in zip(*arms, strict=True)
        ]

    def _bad(self, total: Counted, rate: float) -> list[Counted]:
        rates = [rate if name == self.worse else RATE for name in NAMES]
        first = self.rng.binomial(total, rates[0])
        shared = [self.rng.binomial(first, 0.5) for _ in rates[1:]]
        return [
            first,
            *(
                np.minimum(s + self.rng.binomial(total, r), total)
                for s, r in zip(shared, rates[1:], strict=True)
            ),
        ]


def together(
    policy: Policy,
    rng: np.random.Generator,
    runs: int,
    looks: int,
    rate: float,
    worse: str = "",
    requests: int = FINE,
) -> Array:
    """The look at which the weighted mean of the metrics' e-values first reaches 1/alpha."""
    kinds = Kinds(rng, rate, worse, requests)
    judges = [Many(policy, runs, name=metric.name) for metric in policy.metrics]
    weights = np.log([policy.weights[metric.name] for metric in policy.metrics])
    found, who = np.full(runs, math.inf), np.arange(runs)
    for look in range(1, looks + 1):
        for many, seen in zip(judges, kinds.all(len(who)), strict=True):
            many.fold(seen)
        mean = np.logaddexp.reduce(np.stack([many.log_e for many in judges]) + weights[:, None], axis=0)
        going = mean < -math.log(policy.alpha)
        found[who[~going]] = look
        if not going.any():
            break
        if not going.all():
            who = who[going]
            for many in judges:
                many.keep(going)
    return found

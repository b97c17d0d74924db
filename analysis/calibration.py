"""How noisy a metric is by itself: the judge on stable against stable, from recorded history.

Pods of stable are split as canary and stable would be, in windows of one rollout's length, and the very folds
that judge a rollout are run on them. What they would have claimed, and how pods and intervals vary beyond
independent events, is what evidence is tempered by. History tells this much and no more: it is calibration,
not proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
from scipy.special import bdtrik

from analysis.betting import Array
from analysis.evidence import Counts, Pair, to_datetime
from analysis.harm import log_e_harm
from analysis.histogram import Buckets
from analysis.history import PodHistory, gauge_tau, overdispersion, pod_tau
from analysis.metric import Dispersion, Histogram, Mean, Metric, Role
from analysis.policy import MAX_PHI, Policy
from analysis.reading import Reading, Status
from analysis.sequential import begin, fold

WINDOWS: Final = 200
SURE: Final = 0.75  # of a quantile over the windows


@dataclass(frozen=True, slots=True)
class Calibration:
    """What history says of a metric. windows: 0 where there were too few pods to compare.

    raw: false rollbacks in those windows without tempering. left: with it. phi: what evidence is to be
    tempered by. dispersed: variance of counts from interval to interval by that of independent events.
    tau: deviation of the logarithm of the rate from pod to pod, 0 where chance explains it; of `pods` pods.
    """

    metric: str
    windows: int
    raw: int
    left: int
    phi: float
    dispersed: float
    tau: float
    pods: int

    @property
    def dispersion(self) -> Dispersion:
        """For `Metric.dispersion`."""
        return Dispersion(self.phi, self.tau, self.pods)

    @property
    def refused(self) -> bool:
        """Whether the metric is too noisy to roll back by."""
        return self.phi > MAX_PHI

    @property
    def report(self) -> str:
        """One sentence for people."""
        if not self.windows:
            return f"{self.metric}: not calibrated, {self.pods} stable pods are too few to compare"
        pods = f", pods differ by {100 * math.expm1(self.tau):.0f} %" if self.tau else ""
        refused = f": above {MAX_PHI:g} it may not roll back" if self.refused else ""
        said = f"A/A: {self.left}/{self.windows} false rollbacks, phi {self.phi:.2g}{pods}{refused}"
        return f"{self.metric}: {said}"


def calibrate(
    policy: Policy,
    name: str,
    history: Sequence[PodHistory],
    interval: timedelta,
    canary_pods: int,
    windows: int = WINDOWS,
    seed: int = 0,
) -> Calibration:
    """Judge stable pods against stable pods, `windows` times, `canary_pods` of them taken for the canary.

    phi_AA = max(1, q_(1-a)(max log E) / log(1/a)) over the windows, a being 10 %, 5 % and alpha: what makes
    the evidence keep its promises there. Each quantile is the order statistic that is beyond the true one
    with 75 % confidence, since so few windows are told by luck. The result's phi is at least the dispersion
    of the counts. `seed` picks the pods: the same history gives the same answer.
    """
    metric = policy.metric(name)
    if len(history) < 2:
        return Calibration(name, 0, 0, 0, 1.0, 1.0, 0.0, len(history))
    dispersed = 1.0 if isinstance(metric.kind, Mean) else max(overdispersion(history), 1.0)
    tau = _tau(metric, history, dispersed)
    known = Dispersion(1.0, tau, len(history))
    splits = list(_splits(policy, history, interval, canary_pods, windows, seed))
    highest = np.array([_highest(_alone(policy, metric, known), split, interval) for split in splits])
    tails = (_surely(highest, level) / -math.log(level) for level in (0.1, 0.05, policy.alpha))
    phi = max(1.0, dispersed, *tails)
    raw = _crossings(policy, highest)
    left = 0
    if raw and phi <= MAX_PHI:
        calm = _alone(policy, metric, Dispersion(phi, tau, len(history)))
        left = _crossings(policy, np.array([_highest(calm, split, interval) for split in splits]))
    elif phi > MAX_PHI:
        left = raw
    return Calibration(name, windows, raw, left, phi, dispersed, tau, len(history))


def _tau(metric: Metric, history: Sequence[PodHistory], dispersed: float) -> float:
    if isinstance(metric.kind, Histogram):
        return 0.0
    if isinstance(metric.kind, Mean):
        return gauge_tau(history)
    return pod_tau(history, dispersed)


@dataclass(frozen=True, slots=True)
class _Split:
    """A window: how many pods each arm has, and for each interval pairs for each test and the histogram."""

    pods: tuple[int, int]
    looks: tuple[tuple[tuple[Pair, ...], Buckets | None], ...]


def _splits(
    policy: Policy,
    history: Sequence[PodHistory],
    interval: timedelta,
    canary_pods: int,
    windows: int,
    seed: int,
) -> Iterable[_Split]:
    """Windows of one rollout, evenly over the history, each with pods of its own for the canary."""
    length = len(history[0].counts)
    looks = max(min(round(policy.horizon / interval), length), 1)
    rng = np.random.default_rng(seed)
    size = min(max(canary_pods, 1), len(history) - 1)
    for first in np.linspace(0, length - looks, windows).astype(int).tolist():
        order = rng.permutation(len(history)).tolist()
        canary, stable = (tuple(history[k] for k in part) for part in (order[:size], order[size:]))
        seen = tuple(_paired(canary, stable, look) for look in range(first, first + looks))
        yield _Split((len(canary), len(stable)), seen)


def _paired(
    canary: Sequence[PodHistory], stable: Sequence[PodHistory], look: int
) -> tuple[tuple[Pair, ...], Buckets | None]:
    tests = len(canary[0].counts[look])
    pairs = tuple(
        Pair(
            *(sum((pod.counts[look][test] for pod in pods), Counts()) for pods in (canary, stable)),
        )
        for test in range(tests)
    )
    if not canary[0].buckets:
        return pairs, None
    buckets = Buckets()
    for pod in canary:
        buckets = buckets + pod.buckets[look]
    for pod in stable:
        buckets = buckets + pod.buckets[look].swapped()
    return pairs, buckets


def _alone(policy: Policy, metric: Metric, noise: Dispersion) -> Policy:
    """The policy with this metric alone, which may roll back."""
    refusable = metric.acceptable if metric.role is Role.SUCCESS else metric.unacceptable
    armed = replace(metric, weight=None, role=Role.GUARDRAIL, unacceptable=refusable, dispersion=noise)
    return replace(policy, metrics=(armed,), share=None)


def _highest(policy: Policy, split: _Split, interval: timedelta) -> float:
    """The highest log e-value of harm, looked at after each interval."""
    at = to_datetime(0)
    (metric,) = policy.metrics
    checkpoint, top = begin(policy, at), -math.inf
    for pairs, buckets in split.looks:
        following = at + interval
        reading = Reading(at, following, Status.OK, pairs, buckets=buckets, pods=split.pods)
        checkpoint, at = fold(policy, checkpoint, metric.name, reading), following
        top = max(top, log_e_harm(policy, checkpoint))
    return top


def _surely(highest: Array, level: float) -> float:
    """A value that is exceeded with probability at most `level`, with 75 % confidence where there are enough
    windows; else the highest.
    """
    beyond = int(bdtrik(SURE, len(highest), 1 - level)) + 1
    return float(np.sort(highest)[min(beyond, len(highest) - 1)])


def _crossings(policy: Policy, highest: Array) -> int:
    return int((highest >= -math.log(policy.alpha)).sum())

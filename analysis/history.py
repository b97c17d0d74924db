"""What stable's pods counted before a rollout, and how much it varies beyond chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.special import chdtri

from analysis.betting import Array
from analysis.evidence import Counts, Scrapes, Series, to_datetime, to_ms
from analysis.histogram import Buckets
from analysis.metric import Metric, Up
from analysis.reading import ArmSamples, Context, Samples, counted, seen_scrapes, tidied, watched

FEWEST_PODS_FOR_TAU: Final = 3


@dataclass(frozen=True, slots=True)
class PodHistory:
    """What one pod counted: for each interval the counts of each test, and of a histogram the buckets.

    Buckets hold the pod's requests as the canary's.
    """

    pod: str
    counts: tuple[tuple[Counts, ...], ...]
    buckets: tuple[Buckets, ...] = ()


def pod_histories(
    metric: Metric, stable: ArmSamples, instants: Sequence[datetime], context: Context
) -> tuple[PodHistory, ...]:
    """What each pod counted between neighbouring `instants`, by the very rules that a rollout is counted by.

    Raises NotACounterError for samples that can't be counted. A pod without samples in an interval counted
    nothing there.
    """
    clean = tidied(metric, watched(stable) if isinstance(metric.kind, Up) else stable)
    samples = Samples(clean, ArmSamples({}), instants[0])
    seen = seen_scrapes(metric, samples, tuple(clean.every), context)
    return tuple(
        _pod_history(metric, pod, arm, [to_ms(at) for at in instants], seen)
        for pod, arm in sorted(_by_pod(clean).items())
    )


def _by_pod(arm: ArmSamples) -> Mapping[str, ArmSamples]:
    def pod(one: Series) -> str:
        return one.labels.get("pod") or one.labels.get("instance", "")

    def of(name: str, some: Iterable[Series]) -> tuple[Series, ...]:
        return tuple(one for one in some if pod(one) == name)

    return {
        name: ArmSamples(
            {key: of(name, some) for key, some in arm.series.items()}, of(name, arm.up), of(name, arm.starts)
        )
        for name in {pod(one) for one in arm.every}
    }


def _pod_history(
    metric: Metric, pod: str, arm: ArmSamples, instants: Sequence[int], seen: Scrapes
) -> PodHistory:
    samples = Samples(arm, ArmSamples({}), to_datetime(instants[0]))
    looks = [counted(metric, samples, cut, until, seen) for cut, until in pairwise(instants)]
    return PodHistory(
        pod,
        tuple(tuple(pair.canary for pair in pairs) for pairs, _, _ in looks),
        tuple(buckets for _, buckets, _ in looks if buckets is not None),
    )


def overdispersion(history: Sequence[PodHistory]) -> float:
    """Variance of the pods' shares of an interval's events, by that of independent events.

    A ratio of sums, since a mean of ratios is biased. Each pod is held against its own mean rate: shared
    incidents and pods that differ for good do not count.
    """
    bad, total = _matrix(history)
    events = bad.sum(axis=0)
    rates = bad.sum(axis=1) / np.maximum(total.sum(axis=1), 1e-300)
    expected = total * rates[:, None]
    shares = expected / np.maximum(expected.sum(axis=0), 1e-300)
    spread = float((events * (shares * (1 - shares)).sum(axis=0)).sum())
    freedom = 1 - 1 / max(len(events), 1)  # the pods' rates are fitted
    return float(((bad - events * shares) ** 2).sum()) / (spread * freedom) if spread > 0 else 1.0


def pod_tau(history: Sequence[PodHistory], dispersed: float = 1.0) -> float:
    """Standard deviation, from pod to pod, of the logarithm of the rate, by the method of moments.

    DerSimonian and Laird (1986); 0 with fewer than 3 pods, or where chance explains it at 5 %.
    """
    bad, total = (each.sum(axis=1) for each in _matrix(history))
    kept = total > 0
    if kept.sum() < FEWEST_PODS_FOR_TAU:
        return 0.0
    logs = np.log((bad[kept] + 0.5) / total[kept])
    weights = (bad[kept] + 0.5) / dispersed
    mean = float(weights @ logs / weights.sum())
    spread = float(weights @ (logs - mean) ** 2)
    freedom = len(logs) - 1
    if spread <= float(chdtri(freedom, 0.05)):
        return 0.0
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    return math.sqrt((spread - freedom) / float(scale))


def gauge_tau(history: Sequence[PodHistory]) -> float:
    """Standard deviation, from pod to pod, of the logarithm of a gauge's mean; 0 with fewer than 3 pods."""
    sums, numbers = (each.sum(axis=1) for each in _matrix(history))
    means = sums[numbers > 0] / numbers[numbers > 0]
    if len(means) < FEWEST_PODS_FOR_TAU or np.any(means <= 0):
        return 0.0
    return float(np.std(np.log(means), ddof=1))


def _matrix(history: Sequence[PodHistory]) -> tuple[Array, Array]:
    """Bad events and all events (or exposure) by pod and interval, of the first test."""
    bad = np.array([[counts[0].bad for counts in pod.counts] for pod in history], dtype=float)
    total = np.array([[counts[0].total for counts in pod.counts] for pod in history], dtype=float)
    return bad, total

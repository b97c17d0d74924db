"""How noisy stable is against itself, and what that makes of the evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from analysis import (
    ArmSamples,
    Buckets,
    Calibration,
    Context,
    Counts,
    Histogram,
    InvalidPolicy,
    Mean,
    Metric,
    NotAtCutError,
    PodHistory,
    Policy,
    Proportion,
    Role,
    Series,
    Up,
    calibrate,
    pod_histories,
)
from analysis.betting import Array
from analysis.calibration import _surely
from analysis.evidence import to_ms
from analysis.history import gauge_tau, overdispersion, pod_tau

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ERRORS = Metric("errors", Proportion("bad", "total"))
POLICY = Policy(metrics=(ERRORS,), alpha=0.05, horizon=timedelta(minutes=40))

Draw = Callable[[np.random.Generator, Array], Array]


def binomial(rng: np.random.Generator, rates: Array) -> Array:
    return np.asarray(rng.binomial(300, rates))


def clustered(rng: np.random.Generator, rates: Array) -> Array:
    """Failures come in geometric clusters of five: the variance of the counts is 9 fold."""
    clusters = rng.poisson(300 * rates / 5)
    return np.asarray(
        np.where(clusters > 0, clusters + rng.negative_binomial(np.maximum(clusters, 1), 0.2), 0)
    )


def pods(
    draw: Draw = binomial,
    *,
    number: int = 8,
    minutes: int = 400,
    tau: float = 0.0,
    rate: float = 0.02,
    seed: int = 1,
) -> tuple[PodHistory, ...]:
    """Pods that answer 300 requests a minute each, while incidents hit them all alike."""
    rng = np.random.default_rng(seed)
    own = np.exp(tau * rng.standard_normal(number))
    shared = rate * np.exp(0.5 * np.sin(np.arange(minutes) / 9))
    bad = np.array([draw(rng, shared * each) for each in own])
    return tuple(
        PodHistory(f"pod-{k}", tuple((Counts(float(x), 300.0),) for x in row)) for k, row in enumerate(bad)
    )


def calibrated(history: tuple[PodHistory, ...], canary_pods: int = 2, windows: int = 40) -> Calibration:
    return calibrate(POLICY, "errors", history, MINUTE, canary_pods, windows)


def test_independent_events_need_no_tempering() -> None:
    found = calibrated(pods())
    assert found.phi == pytest.approx(1, abs=0.1)
    assert (found.left, found.windows, found.tau) == (0, 40, 0.0)
    assert not found.refused
    assert found.report == "errors: A/A: 0/40 false rollbacks, phi 1"


def test_incidents_that_all_pods_share_are_no_noise() -> None:
    assert overdispersion(pods(rate=0.02)) == pytest.approx(1, abs=0.06)
    assert overdispersion(pods(rate=0.1)) == pytest.approx(1 - 0.1 * math.exp(0.06), abs=0.06)


def test_clustered_errors_are_tempered_by_their_dispersion() -> None:
    found = calibrated(pods(clustered))
    assert found.dispersed == pytest.approx(9, rel=0.2)
    assert found.phi >= found.dispersed
    assert found.raw > 0.05 * found.windows
    assert stats.binomtest(found.left, found.windows, 0.05, "greater").pvalue > 1e-3


def test_pods_that_differ_are_told_from_chance() -> None:
    histories = [pods(tau=0.2, number=20, minutes=60, seed=seed) for seed in range(10)]
    assert np.mean([pod_tau(history) for history in histories]) == pytest.approx(0.2, rel=0.1)
    assert overdispersion(histories[0]) == pytest.approx(1, abs=0.1)
    assert pod_tau(pods(number=20)) == 0
    assert pod_tau(pods(tau=0.5, number=2)) == 0
    found = calibrated(pods(tau=0.2, number=12), windows=20)
    assert found.tau > 0
    assert "pods differ by" in found.report
    assert found.left == 0


def test_clustered_errors_are_not_taken_for_pods_that_differ() -> None:
    history = pods(clustered, number=12, minutes=200)
    assert pod_tau(history, overdispersion(history)) == 0


def test_chance_alone_makes_pods_differ_as_often_as_it_says() -> None:
    found = sum(pod_tau(pods(minutes=20, number=6, seed=seed)) > 0 for seed in range(200))
    assert stats.binomtest(found, 200, 0.05).pvalue > 1e-3


def drifting(rng: np.random.Generator, rates: Array) -> Array:
    """Pods that drift alone, for most of an hour."""
    level, levels = 0.0, []
    for shock in rng.standard_normal(len(rates)):
        level = 0.98 * level + 0.2 * shock * 0.35
        levels.append(level)
    return np.asarray(rng.binomial(300, np.minimum(rates * np.exp(np.array(levels)), 1.0)))


def test_noise_that_lasts_is_found_by_the_replay() -> None:
    """The counts of a minute look fine, the judge does not."""
    found = calibrated(pods(drifting, rate=0.1), windows=60)
    assert found.raw > 0
    assert found.phi > max(found.dispersed, 1.5)
    assert found.left < found.raw


def test_evidence_is_tempered_to_the_very_level_that_a_rollback_needs() -> None:
    """What is enough for 5 % need not be for 1 %: the rare windows are the wild ones."""
    history = pods(drifting, rate=0.1)
    found = [
        calibrate(replace(POLICY, alpha=alpha), "errors", history, MINUTE, 2, 60).phi
        for alpha in (0.05, 0.01)
    ]
    assert found[1] > 1.2 * found[0]


def test_a_quantile_of_few_windows_is_told_on_the_safe_side() -> None:
    rng = np.random.default_rng(4)
    for level, windows in ((0.05, 200), (0.1, 60), (0.01, 400)):
        enough = sum(_surely(rng.random(windows), level) >= 1 - level for _ in range(400))
        assert stats.binomtest(enough, 400, 0.75, "less").pvalue > 1e-3
        assert enough < 390, "nor is it always the highest"
    assert _surely(np.arange(20.0), 0.01) == 19


def test_a_metric_that_is_mostly_noise_is_refused() -> None:
    def wild(rng: np.random.Generator, rates: Array) -> Array:
        return np.asarray(np.minimum(300, 300 * (rng.random(len(rates)) < rates)))

    found = calibrated(pods(wild), windows=10)
    assert found.refused
    assert "above 20 it may not roll back" in found.report
    with pytest.raises(InvalidPolicy, match="too noisy"):
        Policy(metrics=(Metric("errors", ERRORS.kind, dispersion=found.dispersion),))
    Policy(metrics=(Metric("errors", ERRORS.kind, role=Role.WARN, dispersion=found.dispersion),))


@pytest.mark.parametrize("number", [0, 1])
def test_a_pod_alone_cannot_be_compared_with_itself(number: int) -> None:
    found = calibrate(POLICY, "errors", pods(number=number, minutes=3), MINUTE, 1)
    assert (found.windows, found.phi, found.refused) == (0, 1.0, False)
    assert "too few to compare" in found.report


def test_the_same_history_gives_the_same_answer() -> None:
    history = pods(clustered, minutes=60)
    assert calibrated(history, windows=8) == calibrated(history, windows=8)


def test_all_roles_can_be_calibrated() -> None:
    policy = Policy(
        metrics=(Metric("errors", ERRORS.kind, role=Role.SUCCESS),), horizon=timedelta(minutes=10)
    )
    assert calibrate(policy, "errors", pods(minutes=30), MINUTE, 2, 5).windows == 5


def test_a_history_shorter_than_a_rollout_is_one_window_again_and_again() -> None:
    assert calibrated(pods(minutes=10), windows=5).windows == 5


def test_histograms_are_replayed_by_their_shape() -> None:
    rng = np.random.default_rng(2)
    edges = (0.1, 0.3, 1.0, math.inf)

    def minute() -> Buckets:
        return Buckets(edges, tuple(rng.multinomial(300, (0.6, 0.3, 0.08, 0.02)).astype(float)), (0.0,) * 4)

    seen = [[minute() for _ in range(50)] for _ in range(6)]
    history = tuple(
        PodHistory(f"pod-{k}", tuple((one.beyond(0.3).canary,) for one in row), tuple(row))
        for k, row in enumerate(seen)
    )
    policy = Policy(metrics=(Metric("latency", Histogram("b", (0.3,))),), horizon=timedelta(minutes=30))
    found = calibrate(policy, "latency", history, MINUTE, 2, 10)
    assert (found.left, found.tau) == (0, 0.0)
    without = tuple(PodHistory(pod.pod, pod.counts) for pod in history)
    with pytest.raises(NotAtCutError):
        calibrate(policy, "latency", without, MINUTE, 2, 2)


def test_gauges_tell_how_much_pods_differ() -> None:
    rng = np.random.default_rng(3)
    own = np.exp(0.1 * rng.standard_normal(12))
    history = tuple(
        PodHistory(f"pod-{k}", tuple((Counts(float(100 * o * n), 1.0),) for n in rng.normal(1, 0.01, 40)))
        for k, o in enumerate(own)
    )
    assert gauge_tau(history) == pytest.approx(np.std(np.log(own), ddof=1), rel=0.1)
    assert gauge_tau(history[:2]) == 0
    policy = Policy(metrics=(Metric("memory", Mean("m")),), horizon=timedelta(minutes=30))
    found = calibrate(policy, "memory", history, MINUTE, 3, 10)
    assert found.tau == gauge_tau(history)
    assert found.dispersed == 1


# From recorded series to what pods counted.


def series(name: str, pod: str, *values: float) -> Series:
    labels = {"__name__": name, "instance": pod, "pod": pod}
    return Series(labels, tuple((to_ms(START) + 15_000 * k, value) for k, value in enumerate(values)))


def test_recorded_series_are_counted_pod_by_pod_as_in_a_rollout() -> None:
    stable = ArmSamples(
        {
            "bad": (series("bad", "a", 0, 1, 3, math.nan, 4), series("bad", "b", 5, 5, 5, 1, 1)),
            "total": (series("total", "a", 10, 20, 40, 60, 70), series("total", "b", 50, 60, 70, 10, 20)),
        }
    )
    instants = [START + timedelta(seconds=seconds) for seconds in (0, 30, 60)]
    found = pod_histories(ERRORS, stable, instants, Context(START))
    assert found == (
        PodHistory("a", ((Counts(3, 30),), (Counts(1, 30),))),
        PodHistory("b", ((Counts(0, 20),), (Counts(1, 20),))),
    )


def test_recorded_histograms_and_scrapes_are_counted_too() -> None:
    instants = [START, START + timedelta(seconds=30)]
    buckets = tuple(
        Series({**one.labels, "le": le}, one.samples)
        for one, le in (
            (series("b", "a", 1, 2, 5), "0.3"),
            (series("b", "a", 1, 4, 9), "+Inf"),
        )
    )
    latency = Metric("latency", Histogram("b", (0.3,)))
    (seen,) = pod_histories(latency, ArmSamples({"buckets": buckets}), instants, Context(START))
    assert seen.buckets == (Buckets((0.3, math.inf), (4, 4), (0, 0)),)
    assert seen.counts == ((Counts(4, 8),),)
    (up,) = pod_histories(
        Metric("up", Up()), ArmSamples({}, up=(series("up", "a", 1, 1, 0),)), instants, Context(START)
    )
    assert up.counts == ((Counts(1, 2),),)

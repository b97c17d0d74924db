"""Noise beyond independent events: what tempering and raised lines do, and what happens without them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from analysis import (
    Counts,
    Dispersion,
    InvalidPolicy,
    Metric,
    Outcome,
    Pair,
    Policy,
    Proportion,
    Reading,
    Role,
    Status,
    begin,
    begin_step,
    fold,
    judge,
)
from analysis.betting import Array
from analysis.boundaries import HARM, rare
from analysis.metric import Against, Line
from analysis.pods import inflation

START = datetime(2026, 3, 1, tzinfo=UTC)
ALPHA = 0.05
KIND = Proportion("bad", "total")

Draw = Callable[[np.random.Generator, int], tuple[Array, Array]]


def clustered(rng: np.random.Generator, runs: int) -> tuple[Array, Array]:
    """Each failure is retried: clusters of five on average, geometric, so that the variance is 9 fold."""

    def errors(requests: int) -> Array:
        clusters = rng.poisson(requests * 0.01 / 5, runs)
        return np.asarray(
            clusters + np.where(clusters > 0, rng.negative_binomial(np.maximum(clusters, 1), 0.2), 0)
        )

    return errors(150), errors(1350)


def of_pods(rng: np.random.Generator, runs: int) -> Draw:
    """Two canary pods and twenty stable ones, each with a rate of its own for as long as it lives."""
    canary = 0.01 * np.exp(0.15 * rng.standard_normal((runs, 2))).mean(axis=1)
    stable = 0.01 * np.exp(0.15 * rng.standard_normal((runs, 20))).mean(axis=1)
    return lambda rng, _: (rng.binomial(150, canary), rng.binomial(1350, stable))


def highest(draw: Draw, line: Line, *, phi: float = 1.0, looks: int = 240, runs: int = 800) -> Array:
    """The highest log E of each rollout, looked at every scrape."""
    rng = np.random.default_rng(11)
    logs, top = np.zeros((runs, 20)), np.full(runs, -math.inf)
    for _ in range(looks):
        x_c, x_s = draw(rng, runs)
        logs += rare(HARM.kappas, line, x_c[:, None], 150, x_s[:, None], 1350, 0.01) / phi
        top = np.maximum(top, logsumexp(logs + HARM.log_weights, axis=1))
    return top


def false_rollbacks(top: Array, level: float = ALPHA) -> float:
    return float((top >= -math.log(level)).mean())


def at_most(share: float, rate: float, runs: int = 800) -> bool:
    return stats.binomtest(round(share * runs), runs, rate, "greater").pvalue > 1e-4


def test_clustered_errors_fool_the_raw_bet_but_not_the_tempered_one() -> None:
    assert false_rollbacks(highest(clustered, Line())) > 0.4
    assert at_most(false_rollbacks(highest(clustered, Line(), phi=9.0)), ALPHA)


def test_pods_that_differ_fool_the_raw_bet_but_not_the_raised_line() -> None:
    pods = of_pods(np.random.default_rng(7), 800)
    noise = Dispersion(tau=0.15, pods=20)
    raised = Line().raised(inflation(noise, ALPHA / 2, 2, 20, Against.STABLE))
    assert false_rollbacks(highest(pods, Line(), looks=480)) > 0.1
    assert at_most(false_rollbacks(highest(pods, raised, looks=480), ALPHA / 2), ALPHA)


def test_a_line_is_raised_by_the_upper_quantile_of_what_pods_do() -> None:
    noise = Dispersion(tau=0.15, pods=20)
    expected = math.exp(stats.t.ppf(0.975, 19) * 0.15 * math.sqrt(1 / 2 + 1 / 20))
    assert inflation(noise, 0.025, 2, 20, Against.STABLE) == pytest.approx(expected)
    assert inflation(noise, 0.025, 2, 20, Against.LIMIT) < expected
    assert inflation(Dispersion(), 0.025, 1, 1, Against.STABLE) == 1


def test_the_raised_line_is_beyond_the_difference_as_often_as_it_should() -> None:
    rng = np.random.default_rng(2)
    noise, runs = Dispersion(tau=0.3, pods=6), 4000
    tau = np.sqrt(0.3**2 * rng.chisquare(5, runs) / 5)
    difference = 0.3 * (
        rng.standard_normal((runs, 2)).mean(axis=1) - rng.standard_normal((runs, 6)).mean(axis=1)
    )
    limits = [math.log(inflation(Dispersion(tau=t, pods=6), 0.05, 2, 6, Against.STABLE)) for t in tau]
    assert np.mean(difference > limits) == pytest.approx(0.05, abs=0.012)
    assert inflation(noise, 0.05, 2, 6, Against.STABLE) > 1


def folded(metric: Metric, pods: tuple[int, int] = (2, 20)) -> tuple[Policy, object]:
    policy = Policy(metrics=(metric,))
    cp = begin_step(begin(policy, START), "1", START)
    until = START + timedelta(seconds=15)
    counted = Pair(Counts(30, 1500), Counts(140, 13_500))
    return policy, fold(policy, cp, "errors", Reading(START, until, Status.OK, (counted,), pods=pods))


def log_e(metric: Metric, pods: tuple[int, int] = (2, 20)) -> float:
    policy, cp = folded(metric, pods)
    return judge(policy, cp, START + timedelta(seconds=20)).log_e_harm  # type: ignore[arg-type]


def gained(metric: Metric, side: str) -> Array:
    """What each stake gained in a second interval, when the rate is known."""
    policy = Policy(metrics=(metric,), late_share=0.0)
    cp = begin_step(begin(policy, START), "1", START)
    held = []
    for look in range(2):
        since, until = (START + timedelta(seconds=15 * k) for k in (look, look + 1))
        counted = (Pair(Counts(30, 1500), Counts(140, 13_500)),)
        cp = fold(policy, cp, "errors", Reading(since, until, Status.OK, counted))
        held.append(np.array(getattr(cp.metrics["errors"].tests[0], side).logs))
    return np.asarray(held[1] - held[0])


def test_both_bets_are_tempered_stake_by_stake() -> None:
    """What an interval adds is divided: each stake is then honest under the dispersion, not only the mean."""
    calm, noisy = Metric("errors", KIND), Metric("errors", KIND, dispersion=Dispersion(phi=4.0))
    for side in ("harm", "safe"):
        assert gained(noisy, side) == pytest.approx(gained(calm, side) / 4)


def test_pods_that_differ_need_more_of_the_canary_the_fewer_they_are() -> None:
    sure = Metric("errors", KIND)
    unsure = Metric("errors", KIND, dispersion=Dispersion(tau=0.1, pods=20))
    assert log_e(sure) > log_e(unsure, (10, 20)) > log_e(unsure, (2, 20)) > log_e(unsure, (1, 20))


def test_half_of_alpha_pays_for_pods_that_differ() -> None:
    """With hardly any tau the line hardly rises, but the e-value is halved."""
    unsure = Metric("errors", KIND, dispersion=Dispersion(tau=1e-9, pods=20))
    assert log_e(unsure) == pytest.approx(log_e(Metric("errors", KIND)) - math.log(2), abs=1e-4)


def test_the_shown_interval_is_as_wide_as_the_noise() -> None:
    shown = []
    for phi in (1.0, 6.0):
        policy, cp = folded(Metric("errors", KIND, dispersion=Dispersion(phi=phi)))
        (verdict,) = judge(policy, cp, START + timedelta(seconds=20)).metrics  # type: ignore[arg-type]
        shown.append(verdict)
    calm, noisy = shown
    assert noisy.low < calm.low < calm.high < noisy.high


@pytest.mark.parametrize(
    ("about", "path"),
    [
        pytest.param({"dispersion": Dispersion(phi=0.5)}, "dispersion.phi", id="calmer than chance"),
        pytest.param({"dispersion": Dispersion(phi=math.nan)}, "dispersion.phi", id="no number"),
        pytest.param({"dispersion": Dispersion(phi=20.1)}, "dispersion.phi", id="too noisy to roll back by"),
        pytest.param(
            {"dispersion": Dispersion(phi=21), "role": Role.DETERIORATION},
            "dispersion.phi",
            id="nor this way",
        ),
        pytest.param({"dispersion": Dispersion(tau=-0.1, pods=5)}, "dispersion.tau", id="a negative spread"),
        pytest.param(
            {"dispersion": Dispersion(tau=0.1, pods=2)}, "dispersion.pods", id="a spread of two pods"
        ),
    ],
)
def test_noise_that_cannot_be_judged_by_is_refused(about: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy(metrics=(Metric("errors", KIND, **about),))  # type: ignore[arg-type]
    assert refused.value.path == f"metrics[0].{path}"


def test_a_metric_too_noisy_to_roll_back_by_may_still_warn_or_gate() -> None:
    for role in (Role.WARN, Role.SUCCESS):
        Policy(metrics=(Metric("errors", KIND, role=role, dispersion=Dispersion(phi=50)),))


def test_noise_delays_a_rollback_but_does_not_prevent_it() -> None:
    policy = Policy(metrics=(Metric("errors", KIND, dispersion=Dispersion(phi=9.0, tau=0.15, pods=20)),))
    cp = begin_step(begin(policy, START), "1", START)
    for look in range(20):
        since, until = (START + timedelta(seconds=15 * k) for k in (look, look + 1))
        counted = (Pair(Counts(75, 1500), Counts(135, 13_500)),)
        cp = fold(policy, cp, "errors", Reading(since, until, Status.OK, counted, pods=(2, 20)))
    assert judge(policy, cp, START + timedelta(seconds=300)).outcome is Outcome.WORSE

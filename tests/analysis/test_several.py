"""Several metrics at once, and what is shown while it goes: simulated, judged by binomial bounds."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from analysis import (
    Counts,
    Margin,
    Metric,
    Pair,
    Policy,
    Proportion,
    Reading,
    Status,
    begin,
    begin_step,
    fold,
)
from analysis import judge as judged
from analysis.betting import Array
from analysis.boundaries import HARM, rare
from analysis.harm import log_mean
from analysis.interval import NO_LIKELIHOOD, likelihood_added, ratio_interval
from analysis.metric import Line

WEIGHTS = np.array([0.5, 0.125, 0.125, 0.125, 0.125])
NONE = Line()


def shared_badness(rng: np.random.Generator, n: int, rates: Array, runs: int) -> Array:
    """Five kinds of bad events; half of those of the first kind are bad by every other kind as well."""
    first = rng.binomial(n, rates[0], runs)
    return np.stack([first, *(rng.binomial(first, 0.5) + rng.binomial(n, rate, runs) for rate in rates[1:])])


def crossings(canary: Array, stable: Array, *, runs: int, looks: int, alpha: float) -> tuple[Array, Array]:
    """Looks at which the weighted mean, and any single one, reached 1/alpha first."""
    rng = np.random.default_rng(12)
    logs = np.zeros((5, runs, 20))
    mean_at, any_at = np.full(runs, math.inf), np.full(runs, math.inf)
    for look in range(1, looks + 1):
        x_c = shared_badness(rng, 150, canary, runs)
        x_s = shared_badness(rng, 1350, stable, runs)
        logs += rare(HARM.kappas, NONE, x_c[:, :, None], 150, x_s[:, :, None], 1350, 0.01)
        single = logsumexp(logs + HARM.log_weights, axis=2)
        together = logsumexp(single + np.log(WEIGHTS)[:, None], axis=0)
        mean_at = np.where((together >= -math.log(alpha)) & np.isinf(mean_at), look, mean_at)
        any_at = np.where((single.max(axis=0) >= -math.log(alpha)) & np.isinf(any_at), look, any_at)
    return mean_at, any_at


def test_five_metrics_that_share_their_bad_requests_have_one_alpha() -> None:
    rates = np.full(5, 0.01)
    together, single = crossings(rates, rates, runs=800, looks=160, alpha=0.05)
    found, alone = (int(np.isfinite(each).sum()) for each in (together, single))
    assert stats.binomtest(found, 800).proportion_ci(0.90, "exact").high <= 0.05
    assert alone > 2 * found, "without a correction it would be several times as many"


def test_five_metrics_cost_at_most_half_more_than_one() -> None:
    bad = np.array([0.02, 0.01, 0.01, 0.01, 0.01])
    rates = np.full(5, 0.01)
    together, _ = crossings(bad, rates, runs=200, looks=80, alpha=0.05)
    alone = []
    rng = np.random.default_rng(3)
    for _ in range(200):
        logs, look = np.zeros(20), 0
        while logsumexp(logs + HARM.log_weights) < math.log(20) and look < 80:
            logs += rare(
                HARM.kappas, NONE, rng.binomial(150, 0.02), 150, rng.binomial(1350, 0.01), 1350, 0.01
            )
            look += 1
        alone.append(look)
    assert np.median(together) <= 1.5 * np.median(alone)


def test_the_mean_here_is_the_judges() -> None:
    logs = np.array([3.0, -1.0, 0.5, 0.0, 2.0])
    named = {str(k): float(v) for k, v in enumerate(logs)}
    weights = {str(k): float(v) for k, v in enumerate(WEIGHTS)}
    assert log_mean(weights, named) == pytest.approx(float(logsumexp(logs + np.log(WEIGHTS))))


@pytest.mark.parametrize("ratio", [1.0, 2.5], ids=["equal arms", "a canary that is worse"])
def test_the_interval_that_is_shown_covers_at_all_looks_together(ratio: float) -> None:
    """While the base rate drifts and the weight is raised; looked at 50 times."""
    rng = np.random.default_rng(7)
    missed, runs = 0, 250
    for _ in range(runs):
        likelihood, bad = NO_LIKELIHOOD, 0.0
        for look in range(50):
            share, rate = (0.05, 0.25, 0.5)[look // 20], 0.01 * (1 + 0.5 * math.sin(look / 5))
            n_c = int(1500 * share)
            x_c, x_s = rng.binomial(n_c, ratio * rate), rng.binomial(1500 - n_c, rate)
            counted = Pair(Counts(float(x_c), n_c), Counts(float(x_s), 1500 - n_c))
            likelihood, bad = likelihood_added(likelihood, counted), bad + x_c
            low, high = ratio_interval(likelihood, bad, 0.05)
            if not low <= ratio <= high:
                missed += 1
                break
    assert stats.binomtest(missed, runs, 0.05, "greater").pvalue > 1e-3


def test_a_regression_that_begins_late_is_found_nearly_as_soon() -> None:
    """A leak after a quarter of an hour; without the reserve the quiet time would be held against it."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    scrape = timedelta(seconds=15)

    def looks_until_found(late_share: float, seed: int) -> int:
        rng = np.random.default_rng(seed)
        none = Margin()
        metric = Metric("errors", Proportion("b", "t"), tolerate=none)
        policy = Policy(metrics=(metric,), late_share=late_share)
        cp = begin_step(begin(policy, start), "1", start)
        for look in range(200):
            x_c = int(rng.binomial(150, 0.02 if look >= 60 else 0.01))
            counted = Pair(Counts(float(x_c), 150), Counts(float(rng.binomial(1350, 0.01)), 1350))
            since = cp.cut("errors")
            cp = fold(policy, cp, "errors", Reading(since, since + scrape, Status.OK, (counted,)))
            if look >= 60 and judged(policy, cp, since + scrape).outcome.value == "Worse":
                return look - 60
        return 140

    with_reserve, without = (
        np.median([looks_until_found(share, seed) for seed in range(40)]) for share in (0.3, 0.0)
    )
    assert with_reserve < 0.85 * without

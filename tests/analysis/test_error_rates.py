"""Seeded simulations of whole rollouts, looked at after every scrape, judged by binomial bounds.

The tests run in thousands at once, so the arithmetic here is that of `analysis` over an axis of replications;
the first test holds it against the folds themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp, xlog1py

from analysis import Counts, Metric, Pair, Policy, Proportion, Reading, Status, begin, begin_step, fold
from analysis.betting import Array, Stakes
from analysis.boundaries import HARM, SAFE, frequent, growth_optimal, rare
from analysis.metric import Line
from analysis.updates import expected_share, half

NONE, TOLERATE, UNACCEPTABLE = Line(), Line(1.05, 0.0002), Line(1.5, 0.0025)
START = datetime(2026, 3, 1, tzinfo=UTC)

Form = Callable[..., Array]
Rates = Callable[[int, np.random.Generator], Array]


def steady(rate: float) -> Rates:
    return lambda _, rng: np.array([rate])


def shocked(rate: float) -> Rates:
    """Incidents that both arms share: a common factor that wanders."""
    level = {"log": np.zeros(1)}

    def rates(_: int, rng: np.random.Generator) -> Array:
        level["log"] = 0.95 * level["log"] + 0.19 * rng.standard_normal(1)
        return np.asarray(np.minimum(rate * np.exp(level["log"]), 0.5))

    return rates


def drifted(rate: float) -> Rates:
    return lambda look, _: np.array([rate * (1.5 if look > 60 else 1.0)])


@dataclass
class Rollouts:
    """Many rollouts at once: highest log E and when it first crossed."""

    crossed: Array  # look at which log E first reached the threshold, inf for never
    last: Array


def run(
    stakes: Stakes,
    line: Line,
    rates: Rates,
    truth: Line,
    *,
    threshold: float,
    share: float = 0.1,
    seed: int = 1,
    looks: int = 160,
    runs: int = 4000,
    requests: int = 1500,
    reserve: float = 0.0,
    form: Form = rare,
) -> Rollouts:
    """Canaries whose rate is on `truth`, at a real share that wanders about `share`."""
    rng = np.random.default_rng(seed)
    logs = np.full((runs, 20), math.log1p(-reserve))
    waiting = reserve
    seen = np.zeros((runs, 2))
    crossed, last = np.full(runs, math.inf), np.zeros(runs)
    for look in range(looks):
        p_s = rates(look, rng)
        p_c = truth.rho * p_s + truth.delta
        n_c = np.maximum(rng.binomial(requests, share, runs), 1)
        n_s = requests - n_c
        x_c, x_s = rng.binomial(n_c, p_c), rng.binomial(n_s, p_s)
        if waiting > 0:
            put = min(waiting, reserve / looks)
            logs, waiting = np.logaddexp(logs, math.log(put)), waiting - put
        counts = (count[:, None] for count in (x_c, n_c, x_s, n_s, expected_share(*seen.T)))
        gained = form(stakes.kappas, line, *counts)
        logs = logs + (gained if look else half(gained))
        seen = seen + np.stack([x_s, n_s], axis=1)
        last = logsumexp(logs + stakes.log_weights, axis=1)
        if waiting > 0:
            last = np.logaddexp(last, math.log(waiting))
        crossed = np.where((last >= threshold) & np.isinf(crossed), look + 1, crossed)
    return Rollouts(crossed, last)


def test_the_simulated_arithmetic_is_that_of_the_folds() -> None:
    rng = np.random.default_rng(3)
    simulated = run(HARM, TOLERATE, steady(0.01), NONE, threshold=9, seed=3, looks=40, runs=1, reserve=0.3)
    policy = Policy(metrics=(Metric("errors", Proportion("b", "t")),), horizon=timedelta(seconds=40 * 15))
    cp = begin_step(begin(policy, START), "1", START)
    for look in range(40):
        n_c = max(int(rng.binomial(1500, 0.1, 1)[0]), 1)
        x_c, x_s = rng.binomial(n_c, 0.01), rng.binomial(1500 - n_c, 0.01)
        counts = Pair(Counts(float(x_c), n_c), Counts(float(x_s), 1500 - n_c))
        until = START + timedelta(seconds=15 * (look + 1))
        cp = fold(policy, cp, "errors", Reading(cp.cut("errors"), until, Status.OK, (counts,)))
    assert cp.metrics["errors"].tests[0].harm.log_e(HARM) == pytest.approx(float(simulated.last[0]), abs=1e-9)


def at_most(crossed: Array, rate: float) -> None:
    """The true rate is below `rate`: so says the upper bound of Clopper and Pearson at 95 %."""
    found = int(np.isfinite(crossed).sum())
    bound = stats.binomtest(found, len(crossed)).proportion_ci(0.90, "exact").high
    assert bound <= rate, f"{found} of {len(crossed)}: up to {bound:.2%}"


@pytest.mark.parametrize(
    ("line", "rates", "truth", "share"),
    [
        pytest.param(NONE, steady(0.01), NONE, 0.05, id="equal arms, 1 % errors, 5 % of the traffic"),
        pytest.param(NONE, steady(0.001), NONE, 0.5, id="equal arms, 0.1 % errors, half of the traffic"),
        pytest.param(NONE, shocked(0.01), NONE, 0.1, id="incidents that both arms share"),
        pytest.param(NONE, drifted(0.01), NONE, 0.1, id="both arms drift by half"),
        pytest.param(TOLERATE, steady(0.01), TOLERATE, 0.1, id="a canary exactly on the tolerated line"),
    ],
)
def test_false_rollbacks_stay_below_alpha_at_every_look(
    line: Line, rates: Rates, truth: Line, share: float
) -> None:
    at_most(run(HARM, line, rates, truth, threshold=math.log(20), share=share).crossed, 0.05)


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param(steady(0.01), id="1 % errors"),
        pytest.param(steady(0.0), id="no errors in stable"),
        pytest.param(shocked(0.01), id="incidents that both arms share"),
    ],
)
def test_false_promotions_stay_below_beta_on_the_unacceptable_line(rates: Rates) -> None:
    at_most(run(SAFE, UNACCEPTABLE, rates, UNACCEPTABLE, threshold=math.log(20)).crossed, 0.05)


@pytest.mark.parametrize(
    ("stakes", "line", "rates", "truth"),
    [
        pytest.param(HARM, NONE, steady(0.2), NONE, id="harm, equal arms"),
        pytest.param(HARM, NONE, shocked(0.1), NONE, id="harm, incidents that both arms share"),
        pytest.param(HARM, TOLERATE, steady(0.2), TOLERATE, id="harm, on the tolerated line"),
        pytest.param(SAFE, UNACCEPTABLE, steady(0.2), UNACCEPTABLE, id="safety, on the unacceptable line"),
    ],
)
def test_frequent_events_keep_the_promises_too(stakes: Stakes, line: Line, rates: Rates, truth: Line) -> None:
    found = run(stakes, line, rates, truth, threshold=math.log(20), runs=2000, looks=80, form=guarded)
    at_most(found.crossed, 0.05)


def guarded(kappas: Array, line: Line, *counts: Array) -> Array:
    """The frequent form, where no guess of the stable rate is yet so low that it is not used."""
    return frequent(kappas, line, *counts[:-1], np.maximum(counts[-1], 0.06))


def test_the_late_reserve_costs_no_validity() -> None:
    at_most(run(HARM, NONE, steady(0.01), NONE, threshold=math.log(20), reserve=0.3).crossed, 0.05)


def test_a_share_that_is_trusted_instead_of_counted_would_be_found_out() -> None:
    """The oracle can fail: real share 13 %, stakes and odds taken from a configured 10 %."""
    rng = np.random.default_rng(4)
    logs = np.zeros((400, 20))
    highest = np.zeros(400)
    for _ in range(160):
        n_c = rng.binomial(1500, 0.13, 400)
        x_c, x_s = rng.binomial(n_c, 0.01), rng.binomial(1500 - n_c, 0.01)
        u = growth_optimal(HARM.kappas, NONE, 0.01, 0.1 / 0.9)
        logs += xlog1py(x_c[:, None], u) + xlog1py(x_s[:, None], -0.1 / 0.9 * u)
        highest = np.maximum(highest, logsumexp(logs + HARM.log_weights, axis=1))
    with pytest.raises(AssertionError):
        at_most(np.where(highest >= math.log(20), 1.0, math.inf), 0.05)


def wald_limit(p_c: float, p_s: float, w: float, alpha: float) -> float:
    """Requests: log(1/alpha) over the information in one, at an unknown common rate."""
    pooled = w * p_c + (1 - w) * p_s

    def divergence(p: float) -> float:
        return p * math.log(p / pooled) + (1 - p) * math.log((1 - p) / (1 - pooled))

    return -math.log(alpha) / (w * divergence(p_c) + (1 - w) * divergence(p_s))


@pytest.mark.parametrize(
    ("p_s", "p_c", "share"),
    [
        pytest.param(0.01, 0.02, 0.05, id="1 to 2 % at 5 %"),
        pytest.param(0.01, 0.05, 0.1, id="1 to 5 % at 10 %"),
        pytest.param(0.001, 0.002, 0.5, id="0.1 to 0.2 % at half"),
    ],
)
def test_a_regression_is_found_near_what_is_possible(p_s: float, p_c: float, share: float) -> None:
    limit = wald_limit(p_c, p_s, share, 0.05)
    requests = max(int(limit / 40), 20)
    found = run(
        HARM,
        NONE,
        steady(p_s),
        Line(p_c / p_s),
        threshold=math.log(20),
        share=share,
        requests=requests,
        runs=400,
    )
    assert np.median(found.crossed) * requests <= 1.45 * limit


def test_default_margins_and_the_reserve_find_a_doubling_within_2_2_limits() -> None:
    limit = wald_limit(0.02, 0.01, 0.1, 0.01)
    found = run(HARM, TOLERATE, steady(0.01), Line(2.0), threshold=math.log(100), reserve=0.3, runs=400)
    assert np.median(found.crossed) * 1500 <= 2.2 * limit


def test_a_good_canary_is_promoted_at_the_default_margins() -> None:
    found = run(SAFE, UNACCEPTABLE, steady(0.001), NONE, threshold=math.log(20), share=0.25, runs=400)
    assert np.isfinite(found.crossed).mean() > 0.99

"""P1 where bad events are frequent: the bet centred on the line."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from analysis import (
    Direction,
    Margin,
    Metric,
    Outcome,
    Policy,
    Proportion,
    Reading,
    Status,
    begin,
    begin_step,
    fold,
    judge,
)
from analysis.betting import Stakes
from analysis.boundaries import HARM, SAFE, frequent, growth, increments, is_frequent, rare
from analysis.evidence import Counts, Pair
from analysis.metric import Line

NONE = Line()
LINES = [NONE, Line(1.2), Line(1.0, 0.05), Line(1.1, 0.02), Line(0.8)]
SIDES = [pytest.param(HARM, id="harm"), pytest.param(SAFE, id="safe")]


def pair(x_c: float, n_c: float, x_s: float, n_s: float) -> Pair:
    return Pair(Counts(x_c, n_c), Counts(x_s, n_s))


def divergence(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


@pytest.mark.parametrize(
    ("rate", "line", "expected"),
    [
        pytest.param(0.01, NONE, False, id="one in a hundred is rare"),
        pytest.param(0.06, NONE, True, id="one in sixteen is frequent"),
        pytest.param(
            0.0001, Line(1.0, 0.1), True, id="a rare event with a wide margin is frequent on the line"
        ),
        pytest.param(0.9995, NONE, False, id="what always happens leaves no worse alternative"),
        pytest.param(0.5, Line(share=False), False, id="a rate by exposure is no share"),
    ],
)
def test_the_form_follows_from_the_share_on_the_line(rate: float, line: Line, expected: bool) -> None:
    assert is_frequent(line, rate) is expected
    form = frequent if expected else rare
    counted = (30, 100, 900, 3000)
    assert np.array_equal(
        increments(HARM, line, pair(*counted), rate), form(HARM.kappas, line, *counted, rate)
    )


@pytest.mark.parametrize("rate", [0.06, 0.3, 0.8])
@pytest.mark.parametrize("stakes", SIDES)
def test_without_a_margin_it_is_the_safe_two_by_two_test(stakes: Stakes, rate: float) -> None:
    """Turner, Ly and Grunwald: each outcome by its arm's probability over that of the pooled arms."""
    x_c, n_c, x_s, n_s = 40.0, 300.0, 60.0, 700.0
    for kappa, gained in zip(
        stakes.kappas, frequent(stakes.kappas, NONE, x_c, n_c, x_s, n_s, rate), strict=True
    ):
        p_c = kappa * rate / (1 - rate + kappa * rate)
        p_0 = (n_c * p_c + n_s * rate) / (n_c + n_s)
        ratio = stats.binom.logpmf(x_c, n_c, p_c) + stats.binom.logpmf(x_s, n_s, rate)
        ratio -= stats.binom.logpmf(x_c, n_c, p_0) + stats.binom.logpmf(x_s, n_s, p_0)
        assert gained == pytest.approx(ratio, abs=1e-9)


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize("r", [0.05, 1.0, 19.0])
@pytest.mark.parametrize(("stable", "worse"), [(0.1, 0.16), (0.3, 0.45), (0.6, 0.9)])
def test_it_grows_as_fast_as_the_least_divergent_point_of_the_line_allows(
    line: Line, r: float, stable: float, worse: float
) -> None:
    """No bet against the line grows faster than min over the line of KL(canary) + KL(stable) / r."""

    def cost(q: float) -> float:
        return divergence(worse, line.at(q)) + divergence(stable, q) / r

    highest = min(1.0, (1 - line.delta) / line.rho) - 1e-12
    least = optimize.minimize_scalar(cost, bounds=(1e-9, highest), method="bounded", options={"xatol": 1e-12})
    assert growth(line, worse, stable, r) == pytest.approx(least.fun, rel=2e-4)


@pytest.mark.parametrize(
    ("rate", "used"), [(0.01, 0.99), (0.05, 0.94), (0.10, 0.88), (0.20, 0.76), (0.50, 0.40)]
)
def test_the_rare_form_wastes_what_the_frequent_one_uses(rate: float, used: float) -> None:
    """Share of the information, for a small difference at half of the traffic."""
    worse = rate + 0.02 * rate
    pooled = (rate + worse) / 2
    limit = divergence(worse, pooled) + divergence(rate, pooled)
    stake = np.array([worse / rate])
    by_odds = stake * (1 - rate) / (1 - worse)
    counts = (worse, 1.0, rate, 1.0)
    assert rare(stake, NONE, *counts, rate)[0] / limit == pytest.approx(used, abs=0.11)
    assert frequent(by_odds, NONE, *counts, rate)[0] / limit == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize(("n_c", "n_s"), [(1, 1), (1, 4), (3, 2), (2, 6)])
@pytest.mark.parametrize("guess", [0.06, 0.4, 0.9])
@pytest.mark.parametrize("stakes", SIDES)
def test_no_design_on_the_line_expects_more_than_its_stake_in_the_frequent_form(
    stakes: Stakes, guess: float, line: Line, n_c: int, n_s: int
) -> None:
    """E[M] <= 1 by summing over all outcomes, whatever was guessed."""
    if not is_frequent(line, guess, safe=stakes is SAFE):
        return
    for p_s in (0.0, 0.01, 0.2, 0.5, 0.7, 1.0):
        p_c = line.at(p_s)
        if p_c > 1:
            continue
        expected = np.zeros(len(stakes.kappas))
        for x_c, x_s in itertools.product(range(n_c + 1), range(n_s + 1)):
            likely = stats.binom.pmf(x_c, n_c, p_c) * stats.binom.pmf(x_s, n_s, p_s)
            expected += likely * np.exp(frequent(stakes.kappas, line, x_c, n_c, x_s, n_s, guess))
        assert np.all(expected <= 1 + 1e-9)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=4),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.floats(0.06, 0.9),
)
def test_frequent_events_of_unequal_rates_expect_no_more(
    canary: list[float], stable: list[float], guess: float
) -> None:
    mean_s = sum(stable) / len(stable)
    mean_c = sum(canary) / len(canary)
    scale = min(1.0, mean_s / mean_c) if mean_c else 1.0
    rates = [*(rate * scale for rate in canary), *stable]
    expected = np.zeros(len(HARM.kappas))
    for outcome in itertools.product((0, 1), repeat=len(rates)):
        likely = math.prod(rate if bad else 1 - rate for rate, bad in zip(rates, outcome, strict=True))
        x_c, x_s = sum(outcome[: len(canary)]), sum(outcome[len(canary) :])
        expected += likely * np.exp(frequent(HARM.kappas, NONE, x_c, len(canary), x_s, len(stable), guess))
    assert np.all(expected <= 1 + 1e-9)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.floats(0, 1),
    st.sampled_from(LINES),
)
def test_no_frequent_counts_make_nan(x_c: int, n_c: int, x_s: int, n_s: int, rate: float, line: Line) -> None:
    counted = pair(min(x_c, n_c), n_c, min(x_s, n_s), n_s)
    for stakes in (HARM, SAFE):
        assert not np.any(np.isnan(increments(stakes, line, counted, rate)))


LOGINS = Metric(
    "logins",
    Proportion("ok", "all"),
    tolerate=Margin(0.01),
    unacceptable=Margin(0.05),
    direction=Direction.DECREASE,
)


@pytest.mark.parametrize(
    ("canary", "outcome"),
    [
        pytest.param(0.97, Outcome.NOT_WORSE, id="as many as with stable"),
        pytest.param(0.99, Outcome.NOT_WORSE, id="more than with stable"),
        pytest.param(0.90, Outcome.WORSE, id="fewer than is acceptable"),
    ],
)
def test_what_nearly_always_happens_is_judged_where_less_is_worse(canary: float, outcome: Outcome) -> None:
    """97 % of logins succeed with stable; the arms change places, and the line comes close to the whole."""
    policy = Policy(metrics=(LOGINS,))
    at = datetime(2026, 3, 1, tzinfo=UTC)
    cp = begin_step(begin(policy, at), "1", at)
    for _ in range(6):
        counted = pair(round(500 * canary), 500, round(4500 * 0.97), 4500)
        cp = fold(policy, cp, "logins", Reading(at, at + timedelta(seconds=15), Status.OK, (counted,)))
        at += timedelta(seconds=15)
    assert judge(policy, cp, at).outcome is outcome

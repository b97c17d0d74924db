from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln, logsumexp, xlogy

from analysis.betting import Bet, Stakes
from analysis.boundaries import HARM, SAFE, growth_optimal, increments, rare, requests_at_even_odds
from analysis.evidence import Counts, Pair
from analysis.interval import NO_LIKELIHOOD, likelihood_added, ratio_interval
from analysis.metric import Line

NONE, TOLERATE, UNACCEPTABLE = Line(), Line(1.05, 0.0002), Line(1.5, 0.0025)
FRESH_RATE = 0.001  # what a judge expects of stable before it counted anything


def pair(x_c: float, n_c: float, x_s: float, n_s: float) -> Pair:
    return Pair(Counts(x_c, n_c), Counts(x_s, n_s))


def e_value(stakes: Stakes, line: Line, counted: Pair, rate: float = FRESH_RATE) -> float:
    return math.exp(Bet.opened(stakes).updated(increments(stakes, line, counted, rate)).log_e(stakes))


@pytest.mark.parametrize(
    ("counted", "harm", "harm_beyond_margin", "safe"),
    [
        pytest.param((0, 100, 0, 1900), 1.0, 0.96, 1.2, id="no errors in little traffic say little"),
        pytest.param((2, 100, 0, 1900), 15, 14, 0.2, id="two errors of a hundred"),
        pytest.param((3, 100, 0, 1900), 115, 101, 0.14, id="three errors of a hundred roll back at 1 %"),
        pytest.param((5, 5000, 0, 95000), 11_207, 19, 6, id="five of 5000 are within the margin's reach"),
        pytest.param((0, 2000, 0, 38000), 1.0, 0.6, 58, id="no errors of 2000 promote at 5 %"),
        pytest.param((2, 2, 0, 38), 15, 16, 0.2, id="both of two requests failed"),
    ],
)
def test_small_samples_give_the_published_e_values(
    counted: tuple[float, ...], harm: float, harm_beyond_margin: float, safe: float
) -> None:
    assert e_value(HARM, NONE, pair(*counted)) == pytest.approx(harm, rel=0.04)
    assert e_value(HARM, TOLERATE, pair(*counted)) == pytest.approx(harm_beyond_margin, rel=0.04)
    assert e_value(SAFE, UNACCEPTABLE, pair(*counted)) == pytest.approx(safe, rel=0.1)


def test_zero_errors_promote_after_the_rule_of_three() -> None:
    sizes = range(500, 3000, 25)
    enough = next(n for n in sizes if e_value(SAFE, UNACCEPTABLE, pair(0, n, 0, 19 * n)) >= 20)
    assert math.log(20) / 0.0025 < enough <= 1.4 * math.log(20) / 0.0025


def test_zero_errors_never_satisfy_a_purely_relative_rule() -> None:
    assert e_value(SAFE, Line(1.5, 0.0), pair(0, 1e6, 0, 1e6)) == pytest.approx(1)


@pytest.mark.parametrize("stakes", [pytest.param(HARM, id="harm"), pytest.param(SAFE, id="safe")])
def test_twenty_stakes_share_the_capital(stakes: Stakes) -> None:
    assert len(stakes.kappas) == 20
    assert logsumexp(stakes.log_weights) == pytest.approx(0, abs=1e-12)
    assert np.all(stakes.kappas > 1) == (stakes is HARM)


@pytest.mark.parametrize(
    "line",
    [pytest.param(NONE, id="no margin"), pytest.param(Line(1.1, 0.01), id="relative and absolute")],
)
@pytest.mark.parametrize("r", [0.05, 1.0, 19.0])
@pytest.mark.parametrize("rate", [0.0001, 0.01, 0.3])
def test_the_stake_grows_fastest_at_its_alternative(line: Line, r: float, rate: float) -> None:
    rho, delta = line.rho, line.delta
    for kappa in (0.1, 0.8, 1.3, 5.0):
        u = float(growth_optimal(np.array([kappa]), line, rate, r)[0])
        nearby = u * np.array([0.99, 1.0, 1.01])
        left = np.maximum(1 - rho * r * nearby, 0.0)  # a stake beyond what it owns loses all
        growth = kappa * line.at(rate) * np.log1p(nearby) + xlogy(rate / r, left) - delta * nearby
        assert np.argmax(growth) == 1, (kappa, u)


def test_without_a_margin_the_bet_is_the_conditional_binomial_likelihood_ratio() -> None:
    """Lindon and Malek 2022, at the observed exposures: the split of x_C + x_S events."""
    x_c, n_c, x_s, n_s = 7, 500, 30, 9500
    r = n_c / n_s
    for kappa, gained in zip(
        HARM.kappas, increments(HARM, NONE, pair(x_c, n_c, x_s, n_s), 0.01), strict=True
    ):
        null, alternative = r / (1 + r), kappa * r / (1 + kappa * r)
        ratio = stats.binom.logpmf(x_c, x_c + x_s, alternative) - stats.binom.logpmf(x_c, x_c + x_s, null)
        assert gained == pytest.approx(ratio, abs=1e-10)


def test_a_stake_is_the_poisson_part_of_the_safe_two_by_two_test() -> None:
    """Turner and Grunwald 2021 weigh each event by its arm's rate over the weighted mean of both.

    For a bad event that is p_C / p_0 or p_S / p_0, p_0 = (n_C p_C + n_S p_S) / n: our 1 + u and 1 - r u.
    """
    n_c, n_s, kappa = 300.0, 700.0, 3.0
    r = n_c / n_s
    u = float(growth_optimal(np.array([kappa]), NONE, 0.5, r)[0])
    p_c, p_s = kappa, 1.0
    p_0 = (n_c * p_c + n_s * p_s) / (n_c + n_s)
    assert 1 + u == pytest.approx(p_c / p_0, abs=1e-12)
    assert 1 - r * u == pytest.approx(p_s / p_0, abs=1e-12)


def test_a_dense_mixture_at_a_fixed_split_has_the_closed_form_of_the_truncated_beta() -> None:
    """The one-sided beta-binomial mixture: what is left of a beta prior and posterior beyond the split."""
    a = b = 1.5
    x, y, r = 12, 40, 0.1
    pi0 = r / (1 + r)
    closed = (
        betaln(a + x, b + y)
        + stats.beta.logsf(pi0, a + x, b + y)
        - betaln(a, b)
        - stats.beta.logsf(pi0, a, b)
        - x * math.log(pi0)
        - y * math.log1p(-pi0)
    )
    pi = np.linspace(pi0, 1, 200_002)[1:-1]
    weights = stats.beta.pdf(pi, a, b)
    mixed = Stakes(pi / (1 - pi) / r, np.log(weights / weights.sum()))
    assert math.log(e_value(mixed, NONE, pair(x, 100, y, 1000))) == pytest.approx(closed, abs=1e-4)


@pytest.mark.parametrize("line", [NONE, Line(1.2, 0.0), Line(1.0, 0.05), Line(1.1, 0.02)], ids=str)
@pytest.mark.parametrize(("n_c", "n_s"), [(1, 1), (1, 4), (3, 2), (2, 6)])
@pytest.mark.parametrize("stakes", [pytest.param(HARM, id="harm"), pytest.param(SAFE, id="safe")])
def test_no_design_on_the_line_expects_more_than_its_stake(
    stakes: Stakes, line: Line, n_c: int, n_s: int
) -> None:
    """E[M] <= 1 for every stake, by summing over all outcomes of small designs at points of the boundary."""
    for p_s in (0.0, 0.01, 0.2, 0.5, 0.7):
        p_c = line.at(p_s)
        if p_c > 1:
            continue
        expected = np.zeros(len(stakes.kappas))
        for x_c, x_s in itertools.product(range(n_c + 1), range(n_s + 1)):
            likely = stats.binom.pmf(x_c, n_c, p_c) * stats.binom.pmf(x_s, n_s, p_s)
            expected += likely * np.exp(rare(stakes.kappas, line, x_c, n_c, x_s, n_s, 0.03))
        assert np.all(expected <= 1 + 1e-12)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=4),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.floats(1e-4, 0.5),
)
def test_requests_of_unequal_rates_expect_no_more(
    canary: list[float], stable: list[float], guess: float
) -> None:
    """The null is about averages: within an interval each request may have a rate of its own."""
    mean_s = sum(stable) / len(stable)
    mean_c = sum(canary) / len(canary)
    scale = min(1.0, mean_s / mean_c) if mean_c else 1.0
    canary = [rate * scale for rate in canary]
    expected = np.zeros(len(HARM.kappas))
    for outcome in itertools.product((0, 1), repeat=len(canary) + len(stable)):
        rates = [*canary, *stable]
        likely = math.prod(rate if bad else 1 - rate for rate, bad in zip(rates, outcome, strict=True))
        x_c, x_s = sum(outcome[: len(canary)]), sum(outcome[len(canary) :])
        expected += likely * np.exp(increments(HARM, NONE, pair(x_c, len(canary), x_s, len(stable)), guess))
    assert np.all(expected <= 1 + 1e-9)


@pytest.mark.parametrize(
    "counted",
    [
        pytest.param((0, 0, 5, 100), id="the canary had no traffic"),
        pytest.param((5, 100, 0, 0), id="stable had no traffic"),
        pytest.param((0, 0, 0, 0), id="nobody had traffic"),
    ],
)
def test_an_interval_without_one_arm_says_nothing(counted: tuple[float, ...]) -> None:
    for stakes in (HARM, SAFE):
        assert np.all(increments(stakes, TOLERATE, pair(*counted), 0.01) == 0)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.floats(0, 1),
)
def test_no_counts_make_nan(x_c: int, n_c: int, x_s: int, n_s: int, rate: float) -> None:
    counted = pair(min(x_c, n_c), n_c, min(x_s, n_s), n_s)
    for stakes, line in ((HARM, TOLERATE), (HARM, NONE), (SAFE, UNACCEPTABLE), (SAFE, Line(0.9, 0.0))):
        assert not math.isnan(
            Bet.opened(stakes).updated(increments(stakes, line, counted, rate)).log_e(stakes)
        )


def test_idle_capital_neither_wins_nor_loses() -> None:
    opened = Bet.opened(HARM, 0.3)
    assert opened.log_e(HARM) == pytest.approx(0, abs=1e-12)
    assert opened.invested(0.1).log_e(HARM) == pytest.approx(0, abs=1e-12)
    ruined = opened.updated(np.full(20, -math.inf))
    assert math.exp(ruined.log_e(HARM)) == pytest.approx(0.3)


def test_no_more_is_invested_than_is_left() -> None:
    bet = Bet.opened(HARM, 0.3)
    for _ in range(7):
        bet = bet.invested(0.05)
    assert bet.reserve == pytest.approx(0)
    assert bet.log_e(HARM) == pytest.approx(0, abs=1e-12)


def test_what_begins_late_is_found_sooner_with_a_reserve() -> None:
    quiet, harm = (
        increments(HARM, NONE, pair(3, 300, 57, 5700), 0.01),
        increments(HARM, NONE, pair(9, 300, 57, 5700), 0.01),
    )

    def looks_until_found(reserve: float) -> int:
        bet = Bet.opened(HARM, reserve)
        for _ in range(100):
            bet = bet.invested(reserve / 200).updated(quiet)
        for look in range(1, 200):
            bet = bet.invested(reserve / 200).updated(harm)
            if bet.log_e(HARM) >= math.log(100):
                return look
        return 200

    assert looks_until_found(0.3) < 0.7 * looks_until_found(0.0)


def test_the_interval_of_the_ratio_equals_a_direct_computation() -> None:
    looks = [pair(4, 400, 80, 7600), pair(9, 900, 60, 6100), pair(2, 2500, 3, 2500), pair(0, 100, 1, 30)]
    likelihood = NO_LIKELIHOOD
    for look in looks:
        likelihood = likelihood_added(likelihood, look)
    theta = np.geomspace(1 / 64, 64, 257)
    direct = np.zeros(257)
    for look in looks:
        r = look.canary.total / look.stable.total
        direct += stats.binom.logpmf(
            look.canary.bad, look.canary.bad + look.stable.bad, r * theta / (1 + r * theta)
        )
    inside = theta[direct > logsumexp(direct) - math.log(257) + math.log(0.05)]
    assert ratio_interval(likelihood, 15, 0.05) == pytest.approx((inside[0], inside[-1]), rel=1e-9)


@pytest.mark.parametrize(
    "m", [pytest.param(10, id="few events"), pytest.param(10_000_000, id="ten million events")]
)
def test_the_nodes_hold_the_likelihood(m: int) -> None:
    likelihood = likelihood_added(NO_LIKELIHOOD, pair(m // 2, 8 * m, m // 2, 100 * m))
    low, high = ratio_interval(likelihood, m // 2, 0.05)
    assert low <= 12.5 * 1.02
    assert high >= 12.5 / 1.02


def test_nothing_counted_leaves_the_ratio_open() -> None:
    assert ratio_interval(NO_LIKELIHOOD, 0.0, 0.05) == (0.0, math.inf)
    assert likelihood_added(NO_LIKELIHOOD, pair(0, 10, 0, 10)) == NO_LIKELIHOOD


def test_a_canary_without_errors_has_an_interval_open_below() -> None:
    low, high = ratio_interval(likelihood_added(NO_LIKELIHOOD, pair(0, 1000, 50, 5000)), 0.0, 0.05)
    assert low == 0
    assert high < 1


def test_even_odds_need_what_a_simulation_needs() -> None:
    """Half of the canaries at the line are found at about the planned size."""
    rng = np.random.default_rng(5)
    line, worse, p_s, n_c, n_s = NONE, 0.02, 0.01, 50, 950
    planned = requests_at_even_odds(line, worse, p_s, n_c / n_s, math.log(100) + 1.1)
    found = []
    for _ in range(200):
        bet, spent = Bet.opened(HARM), 0
        while bet.log_e(HARM) < math.log(100) and spent < 20 * planned:
            counted = pair(rng.binomial(n_c * 4, worse), n_c * 4, rng.binomial(n_s * 4, p_s), n_s * 4)
            bet, spent = bet.updated(increments(HARM, line, counted, p_s)), spent + n_c * 4
        found.append(spent)
    assert np.median(found) == pytest.approx(planned, rel=0.25)


def test_lines_that_coincide_are_never_told_apart() -> None:
    assert requests_at_even_odds(TOLERATE, TOLERATE.at(0.01), 0.01, 0.1, 5) == math.inf

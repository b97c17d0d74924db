"""The bet against other people's exact tests: an e-value can't claim more than they do."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from analysis.betting import Bet
from analysis.boundaries import HARM, SAFE, increments
from analysis.evidence import Counts, Pair
from analysis.metric import Line

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from statsmodels.stats.rates import test_poisson_2indep as exact_conditional


def log_e(counted: Pair, rho: float = 1.0) -> float:
    line = Line(rho)
    return Bet.opened(HARM).updated(increments(HARM, line, counted, 0.001)).log_e(HARM)


@pytest.mark.parametrize("rho", [1.0, 1.5])
@pytest.mark.parametrize("exposures", [(300.0, 2700.0), (1000.0, 1000.0)])
def test_no_e_value_claims_more_than_the_exact_conditional_test(
    rho: float, exposures: tuple[float, float]
) -> None:
    """Markov: 1/E is at least the exact p-value; and of one look it is not many times that."""
    n_c, n_s = exposures
    split = rho * n_c / (rho * n_c + n_s)
    for total in (3, 10, 40, 200):
        for bad in range(total + 1):
            ours = log_e(Pair(Counts(bad, n_c), Counts(total - bad, n_s)), rho)
            exact = stats.binomtest(bad, total, split, "greater").pvalue
            assert math.exp(-ours) >= exact - 1e-12
            if 1e-8 < exact < 0.001:
                assert math.exp(-ours) <= 60 * exact


@pytest.mark.parametrize(("bad", "stable"), [(0, 9), (4, 9), (9, 30), (30, 100)])
@pytest.mark.parametrize("rho", [1.0, 1.5])
def test_three_ways_to_the_exact_p_value_agree(bad: int, stable: int, rho: float) -> None:
    """What the e-value is held against: the split of the events, by scipy and by statsmodels."""
    n_c, n_s = 300.0, 2700.0
    split = rho * n_c / (rho * n_c + n_s)
    exact = stats.binomtest(bad, bad + stable, split, "greater").pvalue
    other = exact_conditional(
        bad, n_c, stable, n_s, value=rho, method="exact-cond", compare="ratio", alternative="larger"
    )
    assert other.pvalue == pytest.approx(exact, rel=1e-10)
    assert stats.binom.sf(bad - 1, bad + stable, split) == pytest.approx(exact, rel=1e-10)


def test_more_bad_events_of_the_canary_are_always_more_evidence() -> None:
    logs = [log_e(Pair(Counts(bad, 300), Counts(50 - bad, 2700))) for bad in range(3, 51)]
    assert np.all(np.diff(logs) > 0)


def test_safety_claims_no_more_than_the_exact_test_from_the_other_side() -> None:
    line, n_c, n_s = Line(1.5), 3000.0, 3000.0
    for bad in range(61):
        gained = increments(SAFE, line, Pair(Counts(bad, n_c), Counts(60 - bad, n_s)), 0.01)
        ours = Bet.opened(SAFE).updated(gained).log_e(SAFE)
        assert math.exp(-ours) >= stats.binomtest(bad, 60, 0.6, "less").pvalue - 1e-12

"""P2: the bet on the whole shape of a histogram."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from analysis import (
    Buckets,
    Histogram,
    Margin,
    Metric,
    Policy,
    Reading,
    Status,
    begin,
    begin_step,
    fold,
)
from analysis.betting import Array
from analysis.harm import log_e_harm
from analysis.shapes import SHAPES, _isotonic, gains, quantile, shapes, shifted

CLASSIC = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, math.inf)
FINE = (*np.geomspace(0.01, 8.0, 31).tolist(), math.inf)
HISTORY = 10_000

counts = st.lists(st.integers(0, 60), min_size=2, max_size=6)


def edges_of(size: int) -> tuple[float, ...]:
    return (*(0.1 * 2.0**k for k in range(size - 1)), math.inf)


def pooled(values: Array, weights: Array) -> list[float]:
    """Pool adjacent violators, one block after another."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, w, k), (two, v, m) = blocks[-2:]
            blocks[-2:] = [((one * w + two * v) / (w + v), w + v, k + m)]
    return [value for value, _, size in blocks for _ in range(size)]


def test_the_projection_pools_adjacent_violators() -> None:
    rng = np.random.default_rng(1)
    for size in (2, 3, 9, 32):
        values, weights = rng.random((6, size)), rng.random(size) + 0.01
        for found, row in zip(_isotonic(values, weights), values, strict=True):
            assert found == pytest.approx(pooled(row, weights))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(counts)
def test_no_shape_falls_or_takes_all(past: list[int]) -> None:
    ratios = shapes(edges_of(len(past)), np.array(past, dtype=float))
    assert ratios.shape == (len(SHAPES.kappas), len(past))
    assert np.all(np.diff(ratios, axis=1) >= -1e-12)
    assert np.all(ratios >= 0.01)
    assert np.all(np.isfinite(ratios))


def test_without_a_past_no_shape_says_anything() -> None:
    assert np.all(shapes(CLASSIC, np.zeros(11)) == 1)
    assert np.all(gains(np.ones((48, 11)), np.arange(11.0), np.arange(11.0)) == pytest.approx(0))


def outcomes(size: int, buckets: int) -> list[tuple[int, ...]]:
    return [cell for cell in itertools.product(range(size + 1), repeat=buckets) if sum(cell) == size]


def expectation(ratios: Array, canary: Array, stable: Array, n_c: int, n_s: int) -> Array:
    """E[M] of each shape, by summing over all outcomes."""
    total = np.zeros(len(ratios))
    for x_c in outcomes(n_c, len(canary)):
        for x_s in outcomes(n_s, len(stable)):
            likely = stats.multinomial.pmf(x_c, n_c, canary) * stats.multinomial.pmf(x_s, n_s, stable)
            total += likely * np.exp(gains(ratios, np.array(x_c, float), np.array(x_s, float)))
    return total


def ordered(cuts: list[float], lower: list[float]) -> tuple[Array, Array]:
    """Two distributions whose first is nowhere beyond the second: its shares below are at least as large."""
    below = np.array(sorted(cuts))
    more = below + (1 - below) * np.array(lower)
    more = np.maximum.accumulate(more)
    stable = np.diff(below, prepend=0.0, append=1.0)
    canary = np.diff(more, prepend=0.0, append=1.0)
    return np.clip(canary, 0, 1) / canary.sum(), np.clip(stable, 0, 1) / stable.sum()


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
    st.lists(st.integers(0, 30), min_size=3, max_size=3),
    st.sampled_from([(1, 1), (1, 3), (2, 2), (3, 1)]),
)
def test_no_canary_that_is_not_slower_is_expected_to_lose(
    cuts: list[float], lower: list[float], past: list[int], sizes: tuple[int, int]
) -> None:
    """Over random stochastically ordered pairs, whatever the past that the shapes were made from."""
    canary, stable = ordered(cuts, lower)
    ratios = shapes(edges_of(3), np.array(past, float))
    assert np.all(expectation(ratios, canary, stable, *sizes) <= 1 + 1e-9)


def test_a_shape_that_falls_would_be_found_out() -> None:
    """The oracle can fail: what is faster would win by a ratio that falls."""
    canary, stable = ordered([0.3, 0.6], [0.5, 0.5])
    falling = np.array([[2.0, 1.0, 0.2]])
    assert expectation(falling, canary, stable, 2, 2)[0] > 1.01


def test_at_its_own_alternative_a_shape_grows_as_fast_as_information_allows() -> None:
    past = np.array([300.0, 500.0, 150.0, 50.0])
    stable = past / past.sum()
    canary = np.array([0.2, 0.5, 0.2, 0.1])
    share = 0.2
    grown = gains((canary / stable)[None, :], share * canary, (1 - share) * stable)[0]
    assert grown == pytest.approx(information(canary, stable, share), abs=1e-12)


def information(canary: Array, stable: Array, share: float) -> float:
    both = share * canary + (1 - share) * stable
    seen = both > 0
    canary, stable, both = canary[seen], stable[seen], both[seen]
    gained = share * np.where(canary > 0, canary * np.log(np.maximum(canary, 1e-300) / both), 0)
    gained += (1 - share) * np.where(stable > 0, stable * np.log(np.maximum(stable, 1e-300) / both), 0)
    return float(gained.sum())


Cdf = Callable[[Array], Array]


def latency(slower: float = 1.0, tail: float = 1.0) -> Cdf:
    """Most requests about 100 ms, one in twenty in a slow mode of its own."""
    return lambda at: np.asarray(
        0.95 * stats.lognorm.cdf(at / slower, 0.6, scale=0.1)
        + 0.05 * stats.lognorm.cdf(at / slower / tail, 0.5, scale=0.8)
    )


def pmf(edges: tuple[float, ...], cdf: Cdf) -> Array:
    shares = np.diff(cdf(np.array(edges)), prepend=0.0)
    return np.asarray(shares / shares.sum())


def requests_over_limit(
    edges: tuple[float, ...], canary: Array, stable: Array, share: float, alpha: float, runs: int = 300
) -> float:
    """Median requests until found, over log(1/alpha) by the information in one request."""
    limit = -math.log(alpha) / information(canary, stable, share)
    batch = max(int(limit / 25), int(2 / share))
    n_c = max(round(batch * share), 1)
    n_s = batch - n_c
    rng = np.random.default_rng(5)
    ratios = shapes(edges, HISTORY * stable)
    logs, found = np.zeros((runs, len(ratios))), np.full(runs, math.inf)
    of_canary, of_stable = (
        gains_of_one(ratios, n_c / n_s, canary=True),
        gains_of_one(ratios, n_c / n_s, canary=False),
    )
    for look in range(1, 120):
        logs += (
            rng.multinomial(n_c, canary, runs) @ of_canary + rng.multinomial(n_s, stable, runs) @ of_stable
        )
        crossed = logsumexp(logs + SHAPES.log_weights, axis=1) >= -math.log(alpha)
        found = np.where(crossed & np.isinf(found), look * batch, found)
    return float(np.median(found)) / limit


def gains_of_one(ratios: Array, r: float, *, canary: bool) -> Array:
    """log M by bucket of one request of an arm; the first test below holds it against `gains`."""
    of_stable = math.log1p(r) - np.log1p(r * ratios)
    return np.asarray((np.log(ratios) + of_stable if canary else of_stable).T)


def test_the_simulated_arithmetic_is_that_of_the_bet() -> None:
    rng = np.random.default_rng(1)
    ratios = shapes(CLASSIC, HISTORY * pmf(CLASSIC, latency()))
    x_c, x_s = rng.poisson(5, 11).astype(float), rng.poisson(50, 11).astype(float)
    r = x_c.sum() / x_s.sum()
    simulated = x_c @ gains_of_one(ratios, r, canary=True) + x_s @ gains_of_one(ratios, r, canary=False)
    assert simulated == pytest.approx(gains(ratios, x_c, x_s), abs=1e-9)


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("edges", [pytest.param(CLASSIC, id="classic"), pytest.param(FINE, id="fine")])
@pytest.mark.parametrize(
    ("changed", "at_most"),
    [
        pytest.param(latency(slower=1.3), 2.0, id="all slower by 30 %"),
        pytest.param(latency(slower=1.1), 2.0, id="all slower by 10 %"),
        pytest.param(latency(tail=1.3), 2.25, id="only the slow mode slower"),
    ],
)
def test_a_slow_down_is_found_near_the_multinomial_limit(
    changed: Cdf, at_most: float, edges: tuple[float, ...], share: float
) -> None:
    stable, canary = pmf(edges, latency()), pmf(edges, changed)
    assert requests_over_limit(edges, canary, stable, share, 0.05) <= at_most


@pytest.mark.parametrize(
    ("slower", "said"), [(0.9, "faster"), (1.0, "as fast")], ids=["a faster canary", "an equal one"]
)
def test_a_canary_that_is_not_slower_is_hardly_ever_blamed(slower: float, said: str) -> None:
    """Looked at 200 times, while both arms' latencies wander together."""
    rng = np.random.default_rng(9)
    runs, past = 120, np.zeros((120, 11))
    logs, top = np.zeros((runs, 48)), np.full(runs, -math.inf)
    for look in range(100):
        load = 1 + 0.3 * math.sin(look / 7)
        stable, canary = pmf(CLASSIC, latency(load)), pmf(CLASSIC, latency(load * slower))
        x_c, x_s = rng.multinomial(30, canary, runs), rng.multinomial(270, stable, runs)
        for run in range(runs):
            logs[run] += gains(shapes(CLASSIC, past[run]), x_c[run].astype(float), x_s[run].astype(float))
        past += x_s
        top = np.maximum(top, logsumexp(logs + SHAPES.log_weights, axis=1))
    found = int((top >= math.log(20)).sum())
    assert stats.binomtest(found, runs, 0.05, "greater").pvalue > 1e-4, said


@settings(max_examples=100, derandomize=True, deadline=None)
@given(counts, st.floats(0.01, 0.999))
def test_a_percentile_has_its_share_below_it(cells: list[int], share: float) -> None:
    edges, held = edges_of(len(cells)), np.array(cells, float)
    at = quantile(edges, held, share)
    if at is None:
        assert held.sum() == 0
        return
    shares = np.concatenate([[0.0], np.cumsum(held)[:-1] / held.sum()])
    assert np.interp(at, [0.0, *edges[:-1]], shares) == pytest.approx(min(share, shares[-1]), abs=1e-9)


def test_a_percentile_in_the_last_bucket_is_where_that_begins() -> None:
    assert quantile((0.1, 0.2, math.inf), np.array([1.0, 1.0, 98.0]), 0.99) == 0.2


def test_shifted_requests_are_in_later_buckets() -> None:
    assert shifted(np.array([1.0, 2.0, 3.0, 4.0]), 0).tolist() == [1, 2, 3, 4]
    assert shifted(np.array([1.0, 2.0, 3.0, 4.0]), 1).tolist() == [0, 1, 2, 7]
    assert shifted(np.array([1.0, 2.0, 3.0, 4.0]), 3).tolist() == [0, 0, 0, 10]
    assert shifted(np.array([1.0, 2.0]), 5).tolist() == [0, 3]


def requests_until_rolled_back(changed: Cdf, share: float, seed: int, looks: int) -> float:
    """By the whole judge, at 1500 requests a scrape, with the p99 or the share beyond 0.5 as the effect."""
    rng, start = np.random.default_rng(seed), datetime(2026, 3, 1, tzinfo=UTC)
    stable, canary = pmf(CLASSIC, latency()), pmf(CLASSIC, changed)
    metric = Metric("latency", Histogram("b", (0.5,)), tolerate=Margin(0.05, 0.0))
    policy = Policy((metric,), alpha=0.05)
    cp = begin_step(begin(policy, start), "1", start)
    for look in range(1, looks + 1):
        n_c = int(rng.binomial(1500, share))
        seen = Buckets(
            CLASSIC,
            tuple(rng.multinomial(n_c, canary).astype(float).tolist()),
            tuple(rng.multinomial(1500 - n_c, stable).astype(float).tolist()),
        )
        since = cp.cut("latency")
        until = since + timedelta(seconds=15)
        reading = Reading(since, until, Status.OK, (seen.beyond(0.5),), buckets=seen)
        cp = fold(policy, cp, "latency", reading)
        if log_e_harm(policy, cp) >= math.log(20):
            return 1500.0 * look
    return math.inf


@pytest.mark.parametrize(
    ("changed", "at_most"),
    [
        pytest.param(latency(slower=1.3), 6_000, id="all slower by 30 %"),
        pytest.param(latency(slower=1.1), 25_000, id="all slower by 10 %"),
        pytest.param(latency(tail=1.3), 45_000, id="only the slow mode slower"),
    ],
)
def test_at_5_percent_of_100_a_second_a_slow_down_is_rolled_back_in_minutes(
    changed: Cdf, at_most: float
) -> None:
    found = [requests_until_rolled_back(changed, 0.05, seed, 60) for seed in range(15)]
    assert np.median(found) <= at_most


def test_an_equal_canary_is_not_rolled_back_by_the_whole_judge() -> None:
    found = [requests_until_rolled_back(latency(), 0.1, seed, 60) for seed in range(15)]
    assert sum(map(math.isfinite, found)) <= 2

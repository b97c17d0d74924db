"""P1 without a control: the canary against a limit that is given."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis import (
    Against,
    ArmSamples,
    Context,
    Counts,
    Direction,
    InvalidPolicy,
    Margin,
    Metric,
    Outcome,
    Pair,
    Policy,
    Proportion,
    Rate,
    Reading,
    Samples,
    Series,
    Status,
    begin,
    begin_step,
    compatible,
    fold,
    judge,
    read,
)
from analysis.betting import Bet
from analysis.boundaries import HARM, SAFE, increments
from analysis.evidence import to_ms
from analysis.interval import limit_interval
from analysis.metric import Line

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KIND = Proportion("bad", "total")


def slo(**about: Any) -> Metric:
    margins = {"tolerate": Margin(absolute=0.01), "unacceptable": Margin(absolute=0.02)}
    return Metric(**{"name": "errors", "kind": KIND, "against": Against.LIMIT, **margins, **about})


def alone(bad: float, total: float) -> Pair:
    return Pair(Counts(bad, total))


def judged(metric: Metric, counted: Pair) -> Any:
    policy = Policy(metrics=(metric,))
    cp = begin_step(begin(policy, START), "1", START)
    until = START + timedelta(seconds=15)
    cp = fold(policy, cp, "errors", Reading(START, until, Status.OK, (counted,)))
    return judge(policy, cp, until), compatible(policy, cp, until)


@pytest.mark.parametrize("limit", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("stakes", [pytest.param(HARM, id="harm"), pytest.param(SAFE, id="safe")])
def test_against_a_limit_the_bet_is_the_binomial_likelihood_ratio(stakes: Any, limit: float) -> None:
    x, n = 13, 300
    for kappa, gained in zip(
        stakes.kappas, increments(stakes, Line(0, limit), alone(x, n), 0.3), strict=True
    ):
        p = kappa * limit / (1 - limit + kappa * limit)
        assert gained == pytest.approx(
            stats.binom.logpmf(x, n, p) - stats.binom.logpmf(x, n, limit), abs=1e-9
        )


def test_of_a_rate_it_is_the_poisson_likelihood_ratio() -> None:
    line = Line(0, 2.0, share=False)
    for kappa, gained in zip(HARM.kappas, increments(HARM, line, alone(9, 1.5), 0.3), strict=True):
        assert gained == pytest.approx(
            stats.poisson.logpmf(9, 3 * kappa) - stats.poisson.logpmf(9, 3), abs=1e-9
        )


@pytest.mark.parametrize("limit", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("side", [pytest.param((HARM, -1), id="harm"), pytest.param((SAFE, 1), id="safe")])
def test_nobody_within_the_limit_expects_to_win(limit: float, side: Any) -> None:
    stakes, away = side
    for n in (1, 5, 40):
        x = np.arange(n + 1)
        gains = np.exp([increments(stakes, Line(0, limit), alone(float(k), n), 0.1) for k in x])
        for p in (limit, limit * (1 + 0.5 * away), limit * (1 + 0.1 * away)):
            assert np.all(stats.binom.pmf(x, n, p) @ gains <= 1 + 1e-9)


def test_a_canary_without_traffic_says_nothing_against_a_limit() -> None:
    assert np.all(increments(HARM, Line(0, 0.01), alone(0, 0), 0.1) == 0)


@pytest.mark.parametrize(
    ("metric", "counted", "outcome", "said"),
    [
        pytest.param(
            slo(), alone(60, 2000), Outcome.WORSE, "canary 3 % (60 of 2,000), limit 1 %", id="beyond"
        ),
        pytest.param(slo(), alone(5, 2000), Outcome.NOT_WORSE, "not worse", id="well within"),
        pytest.param(slo(), alone(30, 2000), Outcome.UNDECIDED, "not enough", id="between the two limits"),
        pytest.param(
            slo(
                direction=Direction.DECREASE,
                tolerate=Margin(absolute=0.99),
                unacceptable=Margin(absolute=0.98),
            ),
            alone(1940, 2000),
            Outcome.WORSE,
            "limit 99 %",
            id="too few good ones",
        ),
        pytest.param(
            slo(
                direction=Direction.DECREASE,
                tolerate=Margin(absolute=0.99),
                unacceptable=Margin(absolute=0.98),
            ),
            alone(1995, 2000),
            Outcome.NOT_WORSE,
            "",
            id="enough good ones",
        ),
        pytest.param(
            slo(kind=Rate("r"), tolerate=Margin(absolute=1.0), unacceptable=Margin(absolute=5.0)),
            alone(12, 2.0),
            Outcome.WORSE,
            "limit 1 an hour",
            id="too many restarts",
        ),
    ],
)
def test_a_canary_is_judged_without_stable(
    metric: Metric, counted: Pair, outcome: Outcome, said: str
) -> None:
    judgement, _ = judged(metric, counted)
    assert judgement.outcome is outcome
    assert said in judgement.reason


def test_what_is_shown_is_the_ratio_to_the_limit() -> None:
    judgement, _ = judged(slo(), alone(60, 2000))
    (shown,) = judgement.metrics
    assert shown.estimate == pytest.approx(3.0)
    assert 1 < shown.low < 3 < shown.high < 10


def test_an_inconclusive_canary_is_compatible_by_its_own_counts() -> None:
    assert judged(slo(), alone(30, 3000))[1] == ()
    assert "needed" in judged(slo(), alone(1, 100))[1][0]


def test_the_interval_to_a_limit_covers_at_all_looks_together() -> None:
    rng = np.random.default_rng(8)
    missed = 0
    for _ in range(400):
        bad, total = 0, 0
        for _ in range(60):
            bad, total = bad + int(rng.binomial(200, 0.015)), total + 200
            low, high = limit_interval(Counts(bad, total), 0.01, share=True, level=0.05)
            if not low <= 1.5 <= high:
                missed += 1
                break
    assert stats.binomtest(missed, 400, 0.05, "greater").pvalue > 1e-4


def test_an_interval_of_a_share_ends_at_the_whole() -> None:
    assert limit_interval(Counts(50, 50), 0.5, share=True, level=0.05)[1] == 2
    assert limit_interval(Counts(0, 0), 0.5, share=True, level=0.05) == (0, 2)


def test_mixtures_of_the_bet_begin_with_nothing() -> None:
    gains = increments(HARM, Line(0, 0.01), alone(0, 0), 0.1)
    assert Bet.opened(HARM).updated(gains).log_e(HARM) == pytest.approx(0)


def counter(name: str, *values: float) -> Series:
    labels = {"__name__": name, "instance": "c", "pod": "c"}
    return Series(labels, tuple((to_ms(START) + 15_000 * k, v) for k, v in enumerate(values)))


def test_no_series_of_stable_is_read_or_missed() -> None:
    arm = ArmSamples({"bad": (counter("bad", 0, 4),), "total": (counter("total", 10, 60),)})
    reading = read(
        slo(),
        Samples(arm, ArmSamples({"bad": (), "total": ()}), START - timedelta(minutes=1)),
        START,
        START + timedelta(seconds=15),
        Context(START),
    )
    assert reading.status is Status.OK
    assert reading.counts == (alone(4, 50),)


def test_a_canary_that_is_not_scraped_is_no_data() -> None:
    nothing = ArmSamples({"bad": (), "total": ()})
    reading = read(
        slo(), Samples(nothing, nothing, START), START, START + timedelta(seconds=15), Context(START)
    )
    assert reading.status is Status.NO_DATA
    assert reading.cause == "nothing is scraped from canary (do `arms` match it?)"


@pytest.mark.parametrize(
    ("about", "path"),
    [
        pytest.param({"tolerate": None}, "tolerate.absolute", id="no limit"),
        pytest.param({"tolerate": Margin(0.05, 0.01)}, "tolerate.relative", id="relative to what"),
        pytest.param({"unacceptable": Margin(absolute=1.0)}, "unacceptable.absolute", id="a share of one"),
        pytest.param({"tolerate": Margin(absolute=0.03)}, "tolerate.absolute", id="the wrong way round"),
        pytest.param(
            {"direction": Direction.DECREASE}, "tolerate.absolute", id="a floor the wrong way round"
        ),
        pytest.param(
            {"kind": Rate("r"), "direction": Direction.DECREASE}, "direction", id="a floor of a rate"
        ),
    ],
)
def test_a_limit_that_is_none_is_refused(about: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy(metrics=(slo(**about),))
    assert refused.value.path == f"metrics[0].{path}"


def test_an_e_value_against_a_limit_needs_bad_events_of_the_canary() -> None:
    hasty = Policy(metrics=(slo(tolerate=Margin(absolute=1e-6)),), alpha=0.05)
    cp = begin_step(begin(hasty, START), "1", START)
    until = START + timedelta(seconds=15)
    few = fold(hasty, cp, "errors", Reading(START, until, Status.OK, (alone(2, 100),)))
    assert judge(hasty, few, until).outcome is not Outcome.WORSE
    assert few.metrics["errors"].tests[0].harm.log_e(HARM) > math.log(20)

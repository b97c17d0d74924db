"""Planned power: held against the judge's own folds, published designs, and seeded simulations."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp, ndtri

from analysis import (
    Counts,
    Metric,
    Pair,
    Policy,
    Proportion,
    Rate,
    Reading,
    Slo,
    Status,
    begin,
    begin_step,
    fold,
)
from analysis.boundaries import frequent, is_frequent, rare
from analysis.metric import Against, Direction, Dispersion, Margin
from analysis.power import Flow, Question, Side, Stretch, Truth, detectable, log_e, minutes_needed, rate_at
from analysis.updates import PRIOR_EVENTS, PRIOR_SHARE

ERRORS = Metric("errors", Proportion("bad", "total"))
POLICY = Policy((ERRORS,))
HARM, SAFE = Question(POLICY, ERRORS, Side.HARM), Question(POLICY, ERRORS, Side.SAFE)
START = datetime(2026, 3, 1, tzinfo=UTC)
POWER = float(ndtri(0.8))


def at(rps: float, weight: float) -> Flow:
    return Flow(60 * rps * weight, 60 * rps * (1 - weight))


@pytest.mark.parametrize(
    ("truth", "minutes"),
    [
        pytest.param(Truth(0.02, 0.01), (52, 11, 5.8, 2.8, 2.2), id="1 % to 2 %"),
        pytest.param(Truth(0.01, 0.001), (15, 3.3, 1.8, 0.9, 0.8), id="0.1 % to 1 %"),
        pytest.param(Truth(0.002, 0.001), (859, 179, 94, 45, 34), id="0.1 % to 0.2 %"),
        pytest.param(Truth(0.05, 0.01), (4.7, 1.0, 0.5, 0.3, 0.2), id="1 % to 5 %"),
    ],
)
def test_minutes_agree_with_walds_approximation_of_one_known_stake(
    truth: Truth, minutes: tuple[float, ...]
) -> None:
    """The figures are of the closed form with 1.1 for the mixture, at 100 requests a second."""
    planned = [minutes_needed(HARM, at(100, w), truth, POWER) for w in (0.01, 0.05, 0.1, 0.25, 0.5)]
    assert planned == [pytest.approx(one, rel=0.1, abs=0.06) for one in minutes]


@pytest.mark.parametrize("weight", [0.05, 0.5])
@pytest.mark.parametrize(
    ("metric", "truth"),
    [
        pytest.param(ERRORS, Truth(0.02, 0.01), id="rare"),
        pytest.param(ERRORS, Truth(0.01, 0.01), id="rare and good"),
        pytest.param(ERRORS, Truth(0.3, 0.2), id="frequent"),
        pytest.param(ERRORS, Truth(0.2, 0.2), id="frequent and good"),
        pytest.param(replace(ERRORS, direction=Direction.DECREASE), Truth(0.01, 0.02), id="fewer is worse"),
        pytest.param(replace(ERRORS, dispersion=Dispersion(phi=3.0)), Truth(0.03, 0.01), id="noisy"),
        pytest.param(
            replace(ERRORS, against=Against.LIMIT, tolerate=Margin(0, 0.01), unacceptable=Margin(0, 0.03)),
            Truth(0.04, 0.0),
            id="without a control",
        ),
    ],
)
def test_expected_evidence_is_what_the_judge_makes_of_the_expected_counts(
    metric: Metric, truth: Truth, weight: float
) -> None:
    policy = Policy((metric,), late_share=0.0)
    total = 400_000.0
    canary, stable = total * weight, total * (1 - weight)
    checkpoint = begin_step(begin(policy, START), "0", START)
    for look, part in enumerate((0.002, 0.998)):  # so that nearly all is bet on with the true rates
        counts = Pair(
            Counts(part * truth.canary * canary, part * canary),
            Counts(part * truth.stable * stable, part * stable),
        )
        since = START + look * timedelta(minutes=1)
        reading = Reading(since, since + timedelta(minutes=1), Status.OK, (counts,))
        checkpoint = fold(policy, checkpoint, metric.name, reading)
    (test,) = checkpoint.metrics[metric.name].tests
    assert test.harm is not None
    bet = test.harm if test.harm.log_e(HARM.stakes) > 0 else test.safe
    question = Question(policy, metric, Side.HARM if bet is test.harm else Side.SAFE)
    planned = log_e(question, [Stretch(Flow(canary, stable), 1.0)], truth)
    assert planned == pytest.approx(bet.log_e(question.stakes), rel=0.02)
    assert planned > question.threshold


def achieved(question: Question, flow: Flow, truth: Truth, minutes: float, runs: int = 500) -> int:
    """How many of `runs` rollouts had the answer within `minutes`, looked at 40 times, all at once."""
    rng, looks, policy = np.random.default_rng(20260301), 40, question.policy
    line, stakes = question.line((1, 1)), question.stakes
    canary, stable = (max(round(each * minutes / looks), 1) for each in (flow.canary, flow.stable))
    late = policy.late_share if question.side is Side.HARM else 0.0
    share = late * (minutes / looks) * (timedelta(minutes=1) / policy.horizon)
    logs, left = np.full((20, runs), math.log1p(-late)), late
    bad, past, requests = np.zeros(runs), np.zeros(runs), 0
    there = np.zeros(runs, dtype=bool)
    for _ in range(looks):
        put = min(share, left)
        if put > 0:
            logs, left = np.logaddexp(logs, math.log(put)), left - put
        seen, others = rng.binomial(canary, truth.canary, runs), rng.binomial(stable, truth.stable, runs)
        guess = (past + PRIOR_EVENTS) / (requests + PRIOR_EVENTS / PRIOR_SHARE)
        form = frequent if is_frequent(line, truth.stable) else rare
        logs = logs + form(stakes.kappas[:, None], line, seen, canary, others, stable, guess)
        past, requests, bad = past + others, requests + stable, bad + seen
        worth = logsumexp(stakes.log_weights[:, None] + logs, axis=0)
        worth = np.logaddexp(worth, math.log(left)) if left > 0 else worth
        enough = bad >= policy.min_events if question.side is Side.HARM else True
        there |= (worth >= question.threshold) & enough
    return int(there.sum())


@pytest.mark.parametrize(
    ("question", "weight", "truth"),
    [
        pytest.param(HARM, 0.05, Truth(0.02, 0.01), id="1 % to 2 % at 5 %"),
        pytest.param(HARM, 0.5, Truth(0.02, 0.01), id="1 % to 2 % at 50 %"),
        pytest.param(HARM, 0.25, Truth(0.01, 0.001), id="0.1 % to 1 %"),
        pytest.param(HARM, 0.05, Truth(0.01, 0.0001), id="0.01 % to 1 %"),
        pytest.param(HARM, 0.1, Truth(0.3, 0.2), id="20 % to 30 %"),
        pytest.param(HARM, 0.1, Truth(0.01, 0.0), id="none to 1 %"),
        pytest.param(SAFE, 0.05, Truth(0.01, 0.01), id="1 % is proved good at 5 %"),
        pytest.param(SAFE, 0.5, Truth(0.01, 0.01), id="1 % is proved good at 50 %"),
        pytest.param(SAFE, 0.25, Truth(0.001, 0.001), id="0.1 % is proved good"),
        pytest.param(SAFE, 0.1, Truth(0.2, 0.2), id="20 % is proved good"),
        pytest.param(SAFE, 0.1, Truth(0.012, 0.01), id="a little worse is proved good enough"),
        pytest.param(SAFE, 0.1, Truth(0.005, 0.01), id="better is proved good"),
    ],
)
def test_planned_power_is_achieved(question: Question, weight: float, truth: Truth) -> None:
    """Neither less than 0.76 nor more than 0.92 where 0.8 is planned, by Clopper-Pearson bounds at 1 %."""
    runs, flow = 500, at(100, weight)
    minutes = minutes_needed(question, flow, truth, POWER)
    found = achieved(question, flow, truth, minutes, runs)
    assert stats.binomtest(found, runs, 0.76, alternative="less").pvalue > 0.01
    assert stats.binomtest(found, runs, 0.92, alternative="greater").pvalue > 0.01


def test_what_is_planned_without_luck_is_not_achieved_as_surely() -> None:
    """The oracle above can fail: even odds are no power of 0.8."""
    minutes = minutes_needed(HARM, at(100, 0.05), Truth(0.02, 0.01), 0.0)
    found = achieved(HARM, at(100, 0.05), Truth(0.02, 0.01), minutes)
    assert stats.binomtest(found, 500, 0.76, alternative="less").pvalue < 0.01


def test_a_canary_without_errors_is_passed_by_the_rule_of_three() -> None:
    """About 1.35 ln(1 / beta) / delta canary requests; no luck is needed where nothing can happen."""
    minutes = minutes_needed(SAFE, at(100, 0.1), Truth(0.0, 0.0), POWER)
    assert minutes * 600 == pytest.approx(1.3 * math.log(20) / 0.0025, rel=0.1)
    assert minutes == minutes_needed(SAFE, at(100, 0.1), Truth(0.0, 0.0), 0.0)


def test_rare_events_wait_for_the_least_number_of_them() -> None:
    """P(Poisson(4.28) >= 3) is 0.8."""
    minutes = minutes_needed(HARM, at(100, 0.1), Truth(0.999, 0.0), POWER)
    assert minutes * 600 == pytest.approx(4.28, rel=0.01)


@pytest.mark.parametrize(
    ("question", "flow", "truth"),
    [
        pytest.param(HARM, at(100, 0.1), Truth(0.01, 0.01), id="a canary within what is tolerated"),
        pytest.param(SAFE, at(100, 0.1), Truth(0.02, 0.01), id="a canary beyond what is unacceptable"),
        pytest.param(HARM, Flow(600.0, 0.0), Truth(0.5, 0.01), id="no stable beside it"),
        pytest.param(SAFE, Flow(0.0, 600.0), Truth(0.0, 0.0), id="no canary"),
    ],
)
def test_what_can_never_be_proved_takes_for_ever(question: Question, flow: Flow, truth: Truth) -> None:
    assert minutes_needed(question, flow, truth, POWER) == math.inf


@given(
    weight=st.sampled_from([0.01, 0.05, 0.25, 0.5]),
    rate=st.sampled_from([0.0, 0.001, 0.01, 0.1]),
    rps=st.sampled_from([1.0, 30.0, 1000.0]),
)
@settings(max_examples=15, derandomize=True, deadline=None)
def test_what_is_detectable_in_a_time_takes_that_time(weight: float, rate: float, rps: float) -> None:
    flow = at(rps, weight)
    worst = detectable(HARM, Stretch(flow, 10.0), rate, POWER)
    if worst is not None and worst < 0.5:
        assert minutes_needed(HARM, flow, Truth(worst, rate), POWER) == pytest.approx(10.0, rel=0.02)
        assert worst > rate_at(ERRORS, ERRORS.acceptable, rate)


def test_more_traffic_a_wider_margin_and_less_power_are_faster() -> None:
    truth, flow = Truth(0.02, 0.01), at(10, 0.1)
    usual = minutes_needed(HARM, flow, truth, POWER)
    wide = replace(ERRORS, tolerate=Margin(0.5, 0.0))
    assert minutes_needed(HARM, at(20, 0.1), truth, POWER) == pytest.approx(usual / 2, rel=0.05)
    assert minutes_needed(Question(Policy((wide,)), wide, Side.HARM), flow, truth, POWER) > usual
    assert minutes_needed(HARM, flow, truth, 0.0) < usual


def test_evidence_of_harm_goes_on_from_before() -> None:
    flow, truth = at(100, 0.05), Truth(0.02, 0.01)
    whole = minutes_needed(HARM, flow, truth, POWER)
    rest = minutes_needed(HARM, flow, truth, POWER, before=[Stretch(flow, whole / 2)])
    assert rest == pytest.approx(whole / 2, rel=0.05)


def test_each_metric_that_shares_alpha_needs_a_little_longer() -> None:
    pair = Policy((ERRORS, replace(ERRORS, name="other")))
    alone = minutes_needed(HARM, at(100, 0.1), Truth(0.02, 0.01), POWER)
    shared = minutes_needed(Question(pair, ERRORS, Side.HARM), at(100, 0.1), Truth(0.02, 0.01), POWER)
    assert 1.05 * alone < shared < 1.3 * alone


def test_events_by_pod_hours_and_edges_are_planned_like_requests() -> None:
    restarts, slow = Metric("restarts", Rate("restarts_total")), Metric("slow", Slo("b", (0.3, 1.0)))
    two = Policy((restarts, slow))
    by_pods = minutes_needed(
        Question(two, restarts, Side.HARM), Flow(2 / 60, 8 / 60), Truth(12.0, 0.1), POWER
    )
    assert 5 < by_pods < 30  # a dozen an hour by two pods: two in five minutes
    one_edge = Policy((restarts, Metric("slow", Slo("b", (0.3,)))))
    slow_one = one_edge.metric("slow")
    truth, flow = Truth(0.05, 0.01), at(100, 0.1)
    assert minutes_needed(Question(two, slow, Side.HARM), flow, truth, POWER) > minutes_needed(
        Question(one_edge, slow_one, Side.HARM), flow, truth, POWER
    )


def test_pods_that_differ_raise_the_line() -> None:
    noisy = replace(ERRORS, dispersion=Dispersion(tau=0.15, pods=20))
    question = Question(Policy((noisy,)), noisy, Side.HARM)
    flow, truth = at(100, 0.1), Truth(0.02, 0.01)
    few = minutes_needed(question, flow, truth, POWER, pods=(1, 20))
    many = minutes_needed(question, flow, truth, POWER, pods=(10, 20))
    assert few > many > minutes_needed(HARM, flow, truth, POWER)

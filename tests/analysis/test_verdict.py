from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import (
    Checkpoint,
    Counts,
    Direction,
    Judgement,
    Margin,
    Metric,
    Outcome,
    Pair,
    Policy,
    Proportion,
    Rate,
    Reading,
    Role,
    Slo,
    Status,
    begin,
    begin_step,
    compatible,
    fold,
    judge,
)
from analysis.harm import blamed_by, log_mean

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KIND = Proportion("bad", "total")
ERRORS, LATENCY = Metric("errors", KIND), Metric("latency", Slo("buckets", (0.3,)))

Looks = dict[str, Any]


def pair(x_c: float, n_c: float, x_s: float, n_s: float) -> Pair:
    return Pair(Counts(x_c, n_c), Counts(x_s, n_s))


GOOD, BAD, LITTLE = pair(0, 4000, 0, 36_000), pair(240, 4000, 360, 36_000), pair(1, 100, 9, 900)
FEW, MORE = pair(2, 100, 0, 1900), pair(3, 100, 0, 1900)


def second(k: float) -> datetime:
    return START + timedelta(seconds=k)


def after(policy: Policy, **looks: Pair | Status) -> Checkpoint:
    """One look of 15 s at each metric named, in a step that began with the rollout."""
    cp = begin_step(begin(policy, START), "1", START)
    for name, seen in looks.items():
        match seen:
            case Pair():
                edges = len(policy.metric(name).edges)
                reading = Reading(START, second(15), Status.OK, (seen,) * edges)
            case status:
                reading = Reading(START, START, status, cause=f"cause {status}")
        cp = fold(policy, cp, name, reading)
    return cp


def judged(policy: Policy, *, at: float = 20, **looks: Pair | Status) -> Judgement:
    return judge(policy, after(policy, **looks), second(at))


ONE, TWO = Policy(metrics=(ERRORS,)), Policy(metrics=(ERRORS, LATENCY))
HASTY = Policy(metrics=(ERRORS,), alpha=0.15)
WARNED = Policy(metrics=(ERRORS, Metric("memory", KIND, role=Role.WARN)))
SUCCESS = Policy(
    metrics=(ERRORS, Metric("conversion", KIND, role=Role.SUCCESS, direction=Direction.INCREASE))
)


@pytest.mark.parametrize(
    ("policy", "looks", "outcome", "said"),
    [
        pytest.param(ONE, {"errors": BAD}, Outcome.WORSE, "errors: canary 6 %", id="a bad canary is worse"),
        pytest.param(ONE, {"errors": GOOD}, Outcome.NOT_WORSE, "not worse", id="a good one may pass"),
        pytest.param(
            ONE, {"errors": LITTLE}, Outcome.UNDECIDED, "not enough evidence", id="little says little"
        ),
        pytest.param(ONE, {}, Outcome.UNDECIDED, "not looked at yet", id="nothing says nothing"),
        pytest.param(
            HASTY, {"errors": FEW}, Outcome.UNDECIDED, "not enough", id="two bad events are too few"
        ),
        pytest.param(HASTY, {"errors": MORE}, Outcome.WORSE, "worse", id="three bad events are enough"),
        pytest.param(
            ONE, {"errors": Status.NO_DATA}, Outcome.NO_DATA, "cause no_data", id="no data is no pass"
        ),
        pytest.param(
            ONE, {"errors": Status.OUTAGE}, Outcome.NO_DATA, "cause outage", id="an outage is no failure"
        ),
        pytest.param(
            ONE, {"errors": Status.ERROR}, Outcome.ERROR, "cause error", id="a refused query is an error"
        ),
        pytest.param(
            ONE, {"errors": Status.WAITING}, Outcome.UNDECIDED, "cause waiting", id="waiting is no evidence"
        ),
        pytest.param(
            TWO, {"errors": GOOD}, Outcome.UNDECIDED, "latency", id="one guardrail does not vouch for two"
        ),
        pytest.param(
            TWO, {"errors": GOOD, "latency": GOOD}, Outcome.NOT_WORSE, "latency", id="all must pass"
        ),
        pytest.param(TWO, {"errors": GOOD, "latency": BAD}, Outcome.WORSE, "latency", id="any may fail"),
        pytest.param(
            TWO, {"errors": GOOD, "latency": Status.NO_DATA}, Outcome.NO_DATA, "latency", id="one is blind"
        ),
        pytest.param(
            TWO, {"errors": BAD, "latency": Status.ERROR}, Outcome.WORSE, "errors", id="harm outweighs error"
        ),
        pytest.param(
            WARNED, {"errors": GOOD, "memory": BAD}, Outcome.NOT_WORSE, "errors", id="a warning only warns"
        ),
        pytest.param(
            WARNED, {"errors": GOOD, "memory": Status.ERROR}, Outcome.NOT_WORSE, "", id="or is not read"
        ),
        pytest.param(
            SUCCESS, {"errors": GOOD, "conversion": BAD}, Outcome.UNDECIDED, "conversion", id="success gates"
        ),
        pytest.param(
            Policy(metrics=()), {}, Outcome.UNDECIDED, "no guardrail", id="a policy without metrics"
        ),
    ],
)
def test_the_outcome_follows_from_the_metrics(
    policy: Policy, looks: Looks, outcome: Outcome, said: str
) -> None:
    judgement = judged(policy, **looks)
    assert judgement.outcome is outcome
    assert said in judgement.reason


@pytest.mark.parametrize("status", [Status.NO_DATA, Status.OUTAGE, Status.ERROR, Status.WAITING])
def test_no_data_is_never_a_pass_even_after_evidence_that_was(status: Status) -> None:
    cp = after(ONE, errors=GOOD)
    assert judge(ONE, cp, second(20)).outcome is Outcome.NOT_WORSE
    cp = fold(ONE, cp, "errors", Reading(second(15), second(15), status, cause="gone"))
    assert judge(ONE, cp, second(20)).outcome is (
        Outcome.NOT_WORSE
        if status is Status.WAITING
        else Outcome.ERROR
        if status is Status.ERROR
        else Outcome.NO_DATA
    )
    assert judge(ONE, cp, second(15 + 121)).outcome in (Outcome.NO_DATA, Outcome.ERROR)


@given(st.sampled_from([Status.NO_DATA, Status.OUTAGE, Status.ERROR]), st.integers(0, 500))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_metric_without_data_neither_passes_nor_fails(status: Status, at: int) -> None:
    judgement = judged(ONE, at=at, errors=status)
    assert judgement.blind
    assert judgement.log_e_harm == pytest.approx(0, abs=1e-12)


def test_harm_that_was_proved_stays_proved_when_the_source_is_lost() -> None:
    cp = fold(ONE, after(ONE, errors=BAD), "errors", Reading(second(15), second(15), Status.OUTAGE))
    assert judge(ONE, cp, second(500)).outcome is Outcome.WORSE


def test_evidence_of_a_former_step_does_not_pass_this_one() -> None:
    cp = begin_step(after(ONE, errors=GOOD), "2", second(15))
    judgement = judge(ONE, cp, second(20))
    assert judgement.outcome is Outcome.UNDECIDED
    assert "nothing counted in this step" in judgement.reason


def test_a_step_passes_no_sooner_than_its_minimum() -> None:
    cp = after(ONE, errors=GOOD)
    young = judge(ONE, cp, second(20), min_duration=timedelta(minutes=1))
    assert young.outcome is Outcome.UNDECIDED
    assert "20 s old of at least 60 s" in young.reason
    assert judge(ONE, cp, second(60), min_duration=timedelta(minutes=1)).outcome is Outcome.NOT_WORSE


def test_the_minimum_delays_no_rollback() -> None:
    cp = after(ONE, errors=BAD)
    assert judge(ONE, cp, second(20), min_duration=timedelta(hours=1)).outcome is Outcome.WORSE


def test_only_active_guardrails_gate_but_all_may_fail() -> None:
    active = frozenset({"errors"})
    passing = after(TWO, errors=GOOD, latency=Status.NO_DATA)
    assert judge(TWO, passing, second(20), active=active).outcome is Outcome.NOT_WORSE
    failing = after(TWO, errors=GOOD, latency=BAD)
    assert judge(TWO, failing, second(20), active=active).outcome is Outcome.WORSE
    assert judge(TWO, passing, second(20), active=frozenset()).outcome is Outcome.UNDECIDED


def test_a_metric_with_nothing_new_is_blind() -> None:
    judgement = judged(ONE, at=15 + 120 + 1, errors=GOOD)
    assert judgement.outcome is Outcome.NO_DATA
    assert "nothing new since 12:00:15 UTC" in judgement.reason


def test_a_metric_that_waits_for_traffic_is_not_blind() -> None:
    cp = after(ONE, errors=LITTLE)
    waiting = Reading(second(15), second(15), Status.WAITING, cause="no events of canary", seen=second(150))
    judgement = judge(ONE, fold(ONE, cp, "errors", waiting), second(160))
    assert judgement.outcome is Outcome.UNDECIDED
    assert "no events of canary" in judgement.reason


def test_one_metric_of_two_needs_twice_the_evidence() -> None:
    """alpha is one for the whole rollout: a weight of one half costs log 2."""
    alone, both = judged(ONE, errors=BAD), judged(TWO, errors=BAD)
    assert both.log_e_harm == pytest.approx(alone.log_e_harm - math.log(2), abs=1e-6)


def test_blame_names_those_that_are_worse_alone() -> None:
    assert judged(TWO, errors=BAD, latency=GOOD).blamed == ("errors",)
    assert judged(TWO, errors=BAD, latency=BAD).blamed == ("errors", "latency")
    assert judged(TWO, errors=GOOD, latency=GOOD).blamed == ()


@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(-6, 12)), min_size=1, max_size=5),
    st.sampled_from([0.01, 0.05, 0.2]),
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_blame_is_the_closed_test_of_the_weighted_mean(
    drawn: list[tuple[float, float]], alpha: float
) -> None:
    """Brute force: every set of metrics that holds the blamed one has a sum of v (E - 1/alpha) >= 0."""
    whole = sum(weight for weight, _ in drawn)
    weights = {str(k): weight / whole for k, (weight, _) in enumerate(drawn)}
    logs = {str(k): log_e for k, (_, log_e) in enumerate(drawn)}
    excess = {name: weights[name] * (math.exp(logs[name]) - 1 / alpha) for name in weights}
    blamed = tuple(
        name
        for name in weights
        if all(
            excess[name] + sum(excess[other] for other in others) >= 0
            for size in range(len(weights))
            for others in itertools.combinations([o for o in weights if o != name], size)
        )
    )
    assert blamed_by(weights, logs, alpha) == blamed


def test_a_mean_over_enormous_evidence_does_not_overflow() -> None:
    assert log_mean({"a": 0.5, "b": 0.5}, {"a": 5000.0, "b": -5000.0}) == pytest.approx(5000 - math.log(2))
    assert blamed_by({"a": 0.5, "b": 0.5}, {"a": 5000.0, "b": -5000.0}, 0.01) == ("a",)


def test_a_metric_verdict_says_what_was_counted_and_how_far_it_got() -> None:
    (errors,) = judged(ONE, errors=LITTLE).metrics
    assert errors.counted == errors.in_step == LITTLE
    assert errors.estimate == pytest.approx(1.0)
    assert errors.low < 1 < errors.high
    assert (
        errors.reason
        == "errors: canary 1 % (1 of 100), stable 1 % (9 of 900), ratio 0 to 9.7: not enough evidence"
    )
    assert 0 <= errors.harm_progress < 1
    assert 0 <= errors.safe_progress < 1


def test_progress_ends_where_the_decision_does() -> None:
    assert judged(ONE, errors=BAD).metrics[0].harm_progress == 1
    assert judged(ONE, errors=GOOD).metrics[0].safe_progress == 1


def test_an_slo_shows_the_edge_that_stands_worst() -> None:
    policy = Policy(metrics=(Metric("latency", Slo("buckets", (0.1, 0.3))),))
    cp = fold(policy, begin_step(begin(policy, START), "1", START), "latency",
              Reading(START, second(15), Status.OK, (GOOD, BAD)))  # fmt: skip
    judgement = judge(policy, cp, second(20))
    assert judgement.outcome is Outcome.WORSE
    assert judgement.metrics[0].edge == 0.3
    assert judgement.metrics[0].counted == BAD


def test_an_slo_passes_only_with_all_its_edges() -> None:
    policy = Policy(metrics=(Metric("latency", Slo("buckets", (0.1, 0.3))),))
    cp = fold(policy, begin_step(begin(policy, START), "1", START), "latency",
              Reading(START, second(15), Status.OK, (GOOD, LITTLE)))  # fmt: skip
    assert judge(policy, cp, second(20)).outcome is Outcome.UNDECIDED


def test_rates_are_told_by_the_pod_hour() -> None:
    policy = Policy(metrics=(Metric("restarts", Rate("restarts_total")),))
    judgement = judged(policy, restarts=pair(4, 0.25, 0, 2.5))
    assert judgement.outcome is Outcome.WORSE
    assert "canary 4 in 0.25 pod-hours, stable 0 in 2.50 pod-hours" in judgement.reason


def test_a_warning_tells_harm_without_causing_it() -> None:
    judgement = judged(WARNED, errors=GOOD, memory=BAD)
    assert [verdict.outcome for verdict in judgement.metrics] == [Outcome.NOT_WORSE, Outcome.WORSE]
    assert judgement.blamed == ()


DETERIORATION = Policy(metrics=(ERRORS, Metric("restarts", Rate("r"), role=Role.DETERIORATION)))


def test_deterioration_rolls_back_but_no_step_waits_for_it() -> None:
    """Restarts hardly ever prove safety; that they got no worse is enough."""
    crashing = pair(6, 0.25, 0, 2.5)
    assert judged(DETERIORATION, errors=GOOD).outcome is Outcome.NOT_WORSE
    assert judged(DETERIORATION, errors=GOOD, restarts=Status.NO_DATA).outcome is Outcome.NOT_WORSE
    worse = judged(DETERIORATION, errors=GOOD, restarts=crashing)
    assert (worse.outcome, worse.blamed) == (Outcome.WORSE, ("restarts",))
    assert DETERIORATION.weights == {"errors": 0.5, "restarts": 0.5}
    reasons = compatible(DETERIORATION, after(DETERIORATION, errors=COMPATIBLE), second(20), min_requests=500)
    assert reasons == ()
    suspicious = after(DETERIORATION, errors=COMPATIBLE, restarts=crashing)
    assert "restarts" in compatible(DETERIORATION, suspicious, second(20), min_requests=500)[0]


COMPATIBLE = pair(8, 700, 62, 6300)


@pytest.mark.parametrize(
    ("policy", "looks", "least", "why"),
    [
        pytest.param(ONE, {"errors": COMPATIBLE}, 500, None, id="measured, within the margin"),
        pytest.param(ONE, {"errors": COMPATIBLE}, 800, "700 canary events", id="too few for the asker"),
        pytest.param(ONE, {"errors": COMPATIBLE}, None, "needed", id="too few for power one half"),
        pytest.param(
            ONE, {"errors": pair(96, 9000, 810, 81_000)}, None, None, id="enough for power one half"
        ),
        pytest.param(ONE, {"errors": Status.NO_DATA}, 0, "cause no_data", id="blind"),
        pytest.param(ONE, {"errors": Status.ERROR}, 0, "cause error", id="in error"),
        pytest.param(ONE, {}, 0, "0 canary events", id="never looked at"),
        pytest.param(ONE, {"errors": pair(20, 700, 63, 6300)}, 500, "harm e-value", id="suspicious"),
        pytest.param(
            ONE, {"errors": pair(3, 100, 0, 900)}, 50, "not inside", id="an estimate beyond the margin"
        ),
        pytest.param(TWO, {"errors": COMPATIBLE}, 500, "latency", id="one of two measured"),
        pytest.param(WARNED, {"errors": COMPATIBLE}, 500, None, id="a warning need not be measured"),
        pytest.param(Policy(metrics=()), {}, 0, "no guardrail", id="nothing that could be compatible"),
    ],
)
def test_compatible_means_measured_and_unsuspicious(
    policy: Policy, looks: Looks, least: float | None, why: str | None
) -> None:
    reasons = compatible(policy, after(policy, **looks), second(20), min_requests=least)
    if why is None:
        assert reasons == ()
    else:
        assert why in " ".join(reasons)


def test_a_guardrail_of_another_step_need_not_be_compatible() -> None:
    cp = after(TWO, errors=COMPATIBLE)
    assert compatible(TWO, cp, second(20), active=frozenset({"errors"}), min_requests=500) == ()


def test_margins_are_shown_with_the_verdict() -> None:
    policy = Policy(
        metrics=(Metric("errors", KIND, tolerate=Margin(0.1, 0), unacceptable=Margin(1.0, 0.01)),)
    )
    (errors,) = judged(policy, errors=LITTLE).metrics
    assert (errors.tolerate, errors.unacceptable) == (Margin(0.1, 0), Margin(1.0, 0.01))


def test_outcomes_are_ordered_from_good_to_bad() -> None:
    assert max(Outcome, key=lambda outcome: outcome.severity) is Outcome.WORSE
    assert min(Outcome, key=lambda outcome: outcome.severity) is Outcome.NOT_WORSE

"""Between the API's words and the judge's."""

from datetime import UTC, datetime, timedelta
from typing import Any

from analysis.evidence import Counts, Pair
from analysis.reading import Reading, Status
from analysis.sequential import Checkpoint, begin, begin_step, fold
from analysis.verdict import judge
from rollout.api.analysisrun import AnalysisRunSpec, parse_analysis_run
from rollout.measure.policy import active_in, hear, measured_in, policy_of
from rollout.plan.evidence import Outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARMS = {"stable": 'pod=~"a-.*"', "canary": 'pod=~"b-.*"'}
PROMETHEUS = {"prometheus": {"address": "http://prometheus:9090"}}


def metric(name: str, **compare: Any) -> dict[str, Any]:
    question = compare or {"proportion": {"bad": 'r{code="500"}', "total": "r"}}
    return {"name": name, "compare": {**question, "arms": ARMS}, "provider": PROMETHEUS}


def run(*metrics: dict[str, Any]) -> AnalysisRunSpec:
    return parse_analysis_run(
        {
            "apiVersion": "progressive.delivery/v1alpha1",
            "kind": "AnalysisRun",
            "metadata": {"name": "x"},
            "spec": {"metrics": list(metrics), "falseRollback": "2%", "falsePromotion": "10%"},
        }
    ).spec


def looked(spec: AnalysisRunSpec, name: str, *readings: Reading) -> Checkpoint:
    policy = policy_of(spec)
    checkpoint = begin_step(begin(policy, NOW), "0", NOW)
    for reading in readings:
        checkpoint = fold(policy, checkpoint, name, reading)
    return checkpoint


def counted(canary: Counts, stable: Counts, seconds: int = 10) -> Reading:
    until = NOW + timedelta(seconds=seconds)
    return Reading(NOW, until, Status.OK, (Pair(canary, stable),), interval=timedelta(seconds=1))


def heard(spec: AnalysisRunSpec, checkpoint: Checkpoint, seconds: int = 10) -> Any:
    at = NOW + timedelta(seconds=seconds)
    policy, active = policy_of(spec, checkpoint), active_in(spec, "0")
    return hear(judge(policy, checkpoint, at, active=active), policy, checkpoint, active, spec, at)


def test_margins_and_rates_reach_the_judge_in_its_units() -> None:
    spec = run(
        metric(
            "slow",
            histogram={"buckets": "d_bucket", "slo": ["300ms", "1s"]},
            tolerate={"relative": "5%", "absolute": "0.02pp"},
            unacceptable={"relative": "50%", "absolute": "1pp"},
        )
    )
    policy = policy_of(spec)
    assert (policy.alpha, policy.beta) == (0.02, 0.1)
    asked = policy.metric("slow")
    assert asked.edges == (0.3, 1.0)
    assert (asked.acceptable.relative, asked.acceptable.absolute) == (0.05, 0.0002)
    assert (asked.refusable.relative, asked.refusable.absolute) == (0.5, 0.01)


def test_an_inline_step_is_gated_by_its_own_metrics_and_the_rest_by_the_backgrounds() -> None:
    spec = run(metric("errors"), metric("deep@3"))
    assert (active_in(spec, "3"), active_in(spec, "1")) == ({"deep@3"}, {"errors"})
    assert [each.name for each in measured_in(spec, "3")] == ["errors", "deep@3"]
    assert [each.name for each in measured_in(spec, "1")] == ["errors"]


def test_harm_is_heard_as_worse_with_the_numbers_that_show_it() -> None:
    spec = run(metric("errors"))
    evidence = heard(spec, looked(spec, "errors", counted(Counts(60, 1000), Counts(100, 10_000))))
    assert (evidence.outcome, evidence.step_key) == (Outcome.WORSE, "0")
    shown = evidence.metrics[0]
    assert shown.canary is not None
    assert (shown.canary.bad, shown.canary.total, shown.ratio, shown.worse_progress) == (60, 1000, 6.0, 1.0)


def test_a_good_canary_is_heard_as_not_worse() -> None:
    spec = run(metric("errors"))
    evidence = heard(spec, looked(spec, "errors", counted(Counts(100, 20_000), Counts(200, 40_000))))
    assert evidence.outcome is Outcome.NOT_WORSE


def test_no_data_is_never_a_pass_and_blinds_once_the_first_samples_are_overdue() -> None:
    spec = run(metric("errors"))
    checkpoint = looked(spec, "errors", Reading(NOW, NOW, Status.NO_DATA, cause="no series"))
    assert heard(spec, checkpoint, seconds=5).outcome is Outcome.UNDECIDED
    late = heard(spec, checkpoint, seconds=60)
    assert (late.outcome, late.compatible) == (Outcome.BLIND, False)
    assert "no series" in late.reason


def test_an_outage_blinds_at_once_though_nothing_was_seen_yet() -> None:
    spec = run(metric("errors"))
    evidence = heard(
        spec, looked(spec, "errors", Reading(NOW, NOW, Status.OUTAGE, cause="can't be reached")), 5
    )
    assert evidence.outcome is Outcome.BLIND
    assert "can't be reached" in evidence.reason


def test_a_refused_query_is_a_problem_to_mend() -> None:
    spec = run(metric("errors"))
    evidence = heard(spec, looked(spec, "errors", Reading(NOW, NOW, Status.ERROR, cause="bad_data: no")))
    assert evidence.outcome is Outcome.BLIND
    assert evidence.problems == (
        "spec.strategy.canary.analysis: metric errors: bad_data: no (mend it in its AnalysisTemplate)",
    )


def test_metrics_that_only_warn_hold_nobody_up() -> None:
    spec = run(metric("errors", proportion={"bad": "b", "total": "t"}, role="warn"))
    evidence = heard(spec, looked(spec, "errors", Reading(NOW, NOW, Status.WAITING, cause="nothing yet")))
    assert evidence.outcome is Outcome.NOT_WORSE

"""Whatever goes into a status, it is within its cap, and what the planner decides by is untouched."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api import caps
from rollout.api.analysisrun import AnalysisRunStatus
from rollout.api.base import Model
from rollout.api.intents import VALUE_LIMIT_BYTES, recorded
from rollout.api.status import (
    ArmSamples,
    CanaryStatus,
    Condition,
    ConditionType,
    Drift,
    HistoryEntry,
    MetricEvidence,
    PauseCondition,
    PauseReason,
    Phase,
    RefusedAttempt,
    RolloutStatus,
    RunStatus,
    SourceStatus,
    Stage,
    TakenIntent,
    Verdict,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
FOR_PEOPLE = {
    "message",
    "verdictReason",
    "exception",
    "conditions",
    "evidence",
    "history",
    "source",
    "selector",
}
"""What may be cut. All else is memory."""

# Control characters take six bytes in JSON, others up to four in UTF-8.
letters = st.sampled_from(("a", "ü", "…", "💥", "\x01", '"', "\\", "<"))
sizes = st.sampled_from((0, 1, 63, 300, 1023, 1024, 1025, 5000, 100_000))
texts = st.builds(lambda letter, count: letter * count, letters, sizes)
names = st.builds(lambda letter, count: letter * count, st.sampled_from(("a", "b")), st.integers(0, 63))


def many(each: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[tuple[Any, ...]]:
    """A tuple of up to `most` equal entries, or of a few different ones: lists of texts are slow to draw."""
    repeated = st.builds(lambda value, count: (value,) * count, each, st.integers(0, most))
    return repeated | st.lists(each, max_size=3).map(tuple)


def drawn(model: type[Model], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a model: hypothesis would ask it for its fields by their names in manifests."""
    return st.fixed_dictionaries(fields).map(lambda chosen: model(**chosen))


samples = st.just(ArmSamples(bad=1.0, total=123456.789))
evidence = drawn(
    MetricEvidence, metric=texts, verdict=names, reason=texts, query=texts, tolerate=texts, canary=samples
)
conditions = drawn(
    Condition,
    type=st.sampled_from(ConditionType),
    status=st.just("True"),
    reason=texts,
    message=texts,
    last_transition_time=st.just(AT),
)
entries = drawn(
    HistoryEntry,
    revision=st.integers(0, 9),
    hash=names,
    attempt=names,
    verdict=st.sampled_from(Verdict),
    reason=texts,
    version=texts,
    at=st.just(AT),
)
refusals = drawn(
    RefusedAttempt, attempt=names, hash=names, verdict=st.sampled_from(Verdict), reason=texts, at=st.just(AT)
)
taken = drawn(
    TakenIntent,
    action=st.sampled_from(("abort", "promote")),
    value=texts.map(recorded),
    reason=texts,
    by=texts,
    set_at=st.just(AT),
)
runs = st.none() | drawn(RunStatus, name=names, status=names, message=texts)
statuses = drawn(
    RolloutStatus,
    phase=st.sampled_from(Phase),
    message=texts,
    conditions=many(conditions, 50),
    stage=st.sampled_from(Stage),
    turn=st.integers(0, 10**9),
    attempt=names,
    current_pod_hash=names,
    stable_rs=names,
    current_step_index=st.none() | st.integers(0, 99),
    verdict=st.none() | st.sampled_from(Verdict),
    verdict_reason=texts,
    exception=texts,
    pause_conditions=st.lists(
        drawn(PauseCondition, reason=st.sampled_from(PauseReason), start_time=st.just(AT)), max_size=3
    ).map(tuple),
    intent=st.none() | taken,
    canary=drawn(
        CanaryStatus,
        desired_weight=st.integers(0, 100),
        current_step_analysis_run_status=runs,
        current_background_analysis_run_status=runs,
    ),
    evidence=many(evidence, 100),
    history=many(entries, 30),
    refused=many(refusals, 40),
    source=st.none()
    | drawn(SourceStatus, git_source=texts, commit=names, path=texts, branch=texts, subject=texts),
    drift=st.just((Drift(reason="WeightDrift", seen_at=AT, told_at=AT),)),
    selector=texts,
)


def memory(status: RolloutStatus) -> dict[str, Any]:
    """What the planner decides by; of what has words for people, all but the words."""
    found = {key: value for key, value in status.manifest().items() if key not in FOR_PEOPLE}
    found["refused"] = [(each.attempt, each.hash, each.verdict, each.at) for each in status.refused[-20:]]
    if status.intent:
        intent = status.intent
        found["intent"] = (intent.action, intent.value, intent.set_at, intent.state, intent.outcome)
    canary = status.canary
    runs = (canary.current_step_analysis_run_status, canary.current_background_analysis_run_status)
    found["canary"] = (
        canary.desired_weight,
        canary.weights,
        *((run.name, run.status) if run else None for run in runs),
    )
    return found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(statuses)
def test_a_rollouts_status_is_within_64_kb_and_its_memory_untouched(status: RolloutStatus) -> None:
    found = caps.capped(status)
    assert caps.size(found) <= 64 * 1024
    assert memory(found) == memory(status)
    assert len(found.evidence) <= 32
    assert len(found.history) <= 10
    assert all(len(each.query.encode()) <= 1024 for each in found.evidence)
    assert len(found.message.encode()) <= 1024
    assert found.history == () or found.history[-1].at == status.history[-1].at
    assert caps.capped(found) == found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(statuses)
def test_the_minimal_form_is_small_and_its_memory_untouched(status: RolloutStatus) -> None:
    found = caps.minimal(status)
    assert memory(found) == memory(status)
    intent = 4 * 6 * 1024 if status.intent else 0
    runs = 2 * 6 * 64
    selector = 6 * len(found.selector)
    assert caps.size(found) - intent - runs - selector <= 12 * 1024
    assert (found.evidence, found.conditions) == ((), ())
    assert len(found.history) == min(len(status.history), 1)
    assert caps.minimal(found) == found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(many(evidence, 100), texts, st.integers(0, 32 * 4096))
def test_a_runs_status_is_within_256_kb_and_its_checkpoint_untouched(
    evidence: tuple[MetricEvidence, ...], message: str, checkpoint: int
) -> None:
    status = AnalysisRunStatus.model_construct(
        message=message, evidence=evidence, checkpoint={"state": "x" * checkpoint}
    )
    found = caps.capped_run(status)
    assert caps.size(found) <= 256 * 1024
    assert found.checkpoint == status.checkpoint
    assert len(found.evidence) <= 32
    assert caps.capped_run(found) == found


def test_what_fits_is_not_touched() -> None:
    status = RolloutStatus(
        message="m" * 1024,
        evidence=(MetricEvidence(metric="errors", verdict="worse", query="q" * 1024),) * 32,
        history=(HistoryEntry(revision=1, hash="a", verdict=Verdict.PROMOTED, reason="r" * 100, at=AT),) * 10,
    )
    assert caps.capped(status) is status or caps.capped(status) == status


def test_words_are_cut_before_evidence_is_left_out() -> None:
    wordy = MetricEvidence(metric="errors", verdict="worse", reason="r" * 1024, query="q" * 1024)
    history = HistoryEntry(revision=1, hash="a", verdict=Verdict.PROMOTED, reason="r" * 1024, at=AT)
    found = caps.capped(RolloutStatus(evidence=(wordy,) * 32, history=(history,) * 10))
    assert (len(found.evidence), len(found.history)) == (32, 10)
    assert {len(each.query.encode()) for each in found.evidence} == {512}


def test_the_last_refusals_are_kept() -> None:
    refused = tuple(
        RefusedAttempt(attempt=str(number), verdict=Verdict.ABORTED, at=AT) for number in range(25)
    )
    assert [each.attempt for each in caps.capped(RolloutStatus(refused=refused)).refused] == [
        str(number) for number in range(5, 25)
    ]


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        pytest.param("short", 16, "short", id="what is short enough stays"),
        pytest.param("a" * 20, 16, "a" * 13 + "…", id="a cut shows"),
        pytest.param("ü" * 10, 16, "üüüüüü…", id="no character is cut in two"),
        pytest.param("abc", 0, "", id="no room for anything"),
    ],
)
def test_a_text_is_cut_by_bytes(text: str, limit: int, cut: str) -> None:
    assert caps.short(text, limit) == cut


def test_two_long_values_that_differ_only_at_their_end_are_two_intents() -> None:
    one, other = "x" * 5000 + "1", "x" * 5000 + "2"
    assert recorded(one) != recorded(other)
    assert len(recorded(one).encode()) <= VALUE_LIMIT_BYTES
    assert recorded(recorded(one)) == recorded(one)


@pytest.mark.parametrize(
    ("later", "whole"),
    [
        pytest.param(timedelta(minutes=4), False, id="for some minutes it stays minimal"),
        pytest.param(timedelta(minutes=5), True, id="then the whole is tried again"),
    ],
)
def test_a_status_that_was_refused_whole_is_written_minimal_for_a_while(
    later: timedelta, whole: bool
) -> None:
    status = RolloutStatus(evidence=(MetricEvidence(metric="errors", verdict="worse"),))
    refused = caps.reduced(status, AT).model_copy(update={"evidence": status.evidence})
    found = caps.fitting(refused, AT + later)
    assert bool(found.evidence) is whole
    assert (found.reduced_since is None) is whole

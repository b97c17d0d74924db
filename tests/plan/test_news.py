"""Numbers alone cause no write a look."""

from datetime import UTC, datetime, timedelta

import pytest

from rollout.api.status import (
    ArmSamples,
    MetricEvidence,
    PauseCondition,
    PauseReason,
    RolloutStatus,
    Stage,
)
from rollout.plan.evidence import NO_EVIDENCE
from rollout.plan.facts import Facts
from rollout.plan.news import without_mere_numbers
from rollout.plan.observed import Observed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = (MetricEvidence(metric="errors", verdict="Undecided", reason="1 of 10"),)
NEW = (MetricEvidence(metric="errors", verdict="Undecided", reason="2 of 20"),)
PAUSED = (PauseCondition(reason=PauseReason.STEP, start_time=NOW),)


@pytest.mark.parametrize(
    ("paused", "age", "changes", "recorded"),
    [
        pytest.param(False, 1, {}, OLD, id="a second later, the old numbers stay"),
        pytest.param(False, 2, {}, NEW, id="two seconds later they are recorded"),
        pytest.param(True, 60, {}, OLD, id="while somebody is waited for, they stay for a minute and more"),
        pytest.param(True, 300, {}, NEW, id="and are recorded after five minutes"),
        pytest.param(True, 1, {"message": "x"}, NEW, id="any other change takes them along"),
    ],
)
def test_when_numbers_are_recorded(
    paused: bool, age: int, changes: dict[str, str], recorded: tuple[MetricEvidence, ...]
) -> None:
    before = RolloutStatus(
        stage=Stage.STEPPING,
        evidence=OLD,
        evidence_since=NOW,
        pause_conditions=PAUSED if paused else (),
    )
    observed = Observed("n", "x", "u", 1, "1", before)
    facts = Facts(observed, NO_EVIDENCE, NOW + timedelta(seconds=age))
    after = without_mere_numbers(facts, before.model_copy(update={"evidence": NEW, **changes}))
    assert after.evidence == recorded


def test_the_first_numbers_of_a_canary_are_news_even_while_somebody_is_waited_for() -> None:
    nothing = (MetricEvidence(metric="errors", verdict="NoData"),)
    first = (MetricEvidence(metric="errors", verdict="Undecided", canary=ArmSamples(bad=0, total=31)),)
    before = RolloutStatus(
        stage=Stage.STEPPING, evidence=nothing, evidence_since=NOW, pause_conditions=PAUSED
    )
    observed = Observed("n", "x", "u", 1, "1", before)
    facts = Facts(observed, NO_EVIDENCE, NOW + timedelta(seconds=1))
    assert without_mere_numbers(facts, before.model_copy(update={"evidence": first})).evidence == first

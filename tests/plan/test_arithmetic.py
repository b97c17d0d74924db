"""Pods for a weight, times of a step, names of a run: rows of numbers."""

from datetime import timedelta

import pytest
from world import START, spec

from rollout.api.status import RolloutStatus
from rollout.plan import replicas, runs, schedule

STEPS = spec(
    {"setWeight": 5},
    {"judge": {"minDuration": "1m", "maxDuration": "10m"}},
    {"setWeight": 25},
    {"pause": {"duration": "30s"}},
    {"analysis": {"templates": [{"templateName": "errors"}]}},
    {"pause": {}},
    analysis=True,
).strategy.canary.steps


@pytest.mark.parametrize(
    ("weight", "count", "least", "pods"),
    [
        pytest.param(0, 10, 1, 1, id="weight 0 is prepared by one pod"),
        pytest.param(1, 10, 1, 1, id="a trace needs one pod"),
        pytest.param(5, 10, 1, 1, id="5 % of 10 is rounded up to 1"),
        pytest.param(25, 4, 1, 1, id="25 % of 4 is exactly 1"),
        pytest.param(26, 4, 1, 2, id="26 % of 4 is rounded up to 2"),
        pytest.param(50, 5, 1, 3, id="half of 5 is rounded up to 3"),
        pytest.param(99, 10, 1, 10, id="99 % of 10 needs all"),
        pytest.param(100, 7, 1, 7, id="all of 7"),
        pytest.param(95, 1, 1, 1, id="one pod carries what one pod can"),
        pytest.param(5, 10, 2, 2, id="minPodsPerReplicaSet is a floor"),
        pytest.param(5, 1, 2, 1, id="but never more than replicas"),
        pytest.param(50, 0, 1, 0, id="nothing of nothing"),
    ],
)
def test_canary_pods(weight: int, count: int, least: int, pods: int) -> None:
    assert replicas.canary(weight, count, least) == pods


@pytest.mark.parametrize(
    ("index", "level", "key"),
    [
        pytest.param(0, 5, "0", id="a setWeight"),
        pytest.param(1, 5, "0", id="a judge belongs to the weight before it"),
        pytest.param(2, 25, "2", id="the next setWeight asks for fresh evidence"),
        pytest.param(3, 25, "2", id="a pause changes nothing"),
        pytest.param(4, 25, "4", id="an inline analysis asks for evidence of its own"),
        pytest.param(6, 25, "4", id="past the last step"),
    ],
)
def test_the_weight_and_the_evidence_of_a_step(index: int, level: int, key: str) -> None:
    assert schedule.level(STEPS, index) == level
    assert schedule.evidence_key(STEPS, index) == key


def test_before_the_first_weight_there_is_no_weight_and_no_evidence() -> None:
    waits = spec({"pause": {}}, {"setWeight": 5}).strategy.canary.steps
    assert (schedule.level(waits, 0), schedule.evidence_key(waits, 0)) == (0, "start")


@pytest.mark.parametrize(
    ("status", "seconds", "judged_for"),
    [
        pytest.param({}, 60, 0, id="before its effect nothing is judged"),
        pytest.param({"step_effect_since": START}, 60, 60, id="since its effect"),
        pytest.param({"step_effect_since": START, "blind_seconds": 20}, 60, 40, id="without its blind time"),
        pytest.param(
            {"step_effect_since": START, "blind_since": START + timedelta(seconds=10)},
            60,
            10,
            id="blind now: it stands still",
        ),
    ],
)
def test_how_long_a_step_was_judged(status: dict[str, object], seconds: int, judged_for: int) -> None:
    now = START + timedelta(seconds=seconds)
    assert schedule.judged_for(RolloutStatus.model_validate(status), now) == timedelta(seconds=judged_for)


def test_a_deadline_counts_what_was_spent_before_the_clock_stood_still() -> None:
    status = RolloutStatus(progress_since=START, progress_spent_seconds=45)
    assert schedule.deadline(status, 60) == START + timedelta(seconds=15)
    assert schedule.deadline(status.model_copy(update={"progress_since": None}), 60) is None


def test_equal_steps_have_one_hash_and_others_another() -> None:
    again = spec({"setWeight": 5}, {"pause": {"duration": 60}}).strategy.canary.steps
    same = spec({"setWeight": 5}, {"pause": {"duration": "1m"}}).strategy.canary.steps
    assert schedule.step_hash(again) == schedule.step_hash(same)
    assert schedule.step_hash(again) != schedule.step_hash(STEPS)


@pytest.mark.parametrize(
    ("attempt", "role", "name"),
    [
        pytest.param("bcdfghjklmnpqrst", "background", "shop-6c9f7d-bcdfghjk-background", id="first"),
        pytest.param("bcdfghjklmnpqrst.2", "3", "shop-6c9f7d-bcdfghjk.2-3", id="a retry, at step 3"),
    ],
)
def test_run_names(attempt: str, role: str, name: str) -> None:
    assert runs.run_name("shop", "6c9f7d", attempt, role) == name

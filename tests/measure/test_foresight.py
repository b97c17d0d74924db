"""What a rollout that begins is told of its steps, by what a source counted in the last hour."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from measured_shop import manifest

from analysis.evidence import Labels, Series
from analysis.sources import QueryRefusedError, SourceDownError
from rollout.api.rollout import parse_rollout
from rollout.api.status import RolloutStatus
from rollout.measure.foresight import Foresight
from rollout.plan.observed import Observed, Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = 240
SPEC = parse_rollout(manifest(weight=5)).spec


def run(uid: str = "run-1", **status: Any) -> dict[str, Any]:
    arms = {"stable": 'pod=~"a-.*"', "canary": 'pod=~"b-.*"'}
    question = {"proportion": {"bad": 'r{code="500"}', "total": "r"}, "arms": arms}
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": "run", "uid": uid},
        "spec": {"metrics": [{"name": "errors", "compare": question}]},
        "status": status,
    }


def observed(name: str = "shop", uid: str = "run-1", phase: str = "Running") -> Observed:
    runs = (Run("run", uid, "1", phase, role="background"),)
    return Observed("default", name, "u", 1, "1", RolloutStatus(), SPEC, runs=runs)


class Hour:
    """A source that counted so many requests a second, 1 % of them bad, for a share of the hour."""

    def __init__(self, rps: float, *, watched: float = 1.0, fault: Exception | None = None) -> None:
        self.rps, self.watched, self.fault = rps, watched, fault
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        raise AssertionError("plans need no samples")

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        self.asked.append(expression)
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
        if expression.startswith("sum_over_time"):
            return (({}, MOMENTS * self.watched),)
        if 'pod=~"b-' in expression:
            return ()
        share = 0.01 if 'code="500"' in expression else 1.0
        return (({}, 3600 * self.watched * self.rps * share),)


def of(source: Hour) -> Foresight:
    return Foresight(lambda _: source)


async def test_too_little_traffic_is_told_with_its_step_and_a_remedy() -> None:
    (line,) = await of(Hour(10)).told(observed(), run(), NOW) or ()
    assert line.startswith("step 1 (judge at 5 %) has 10 min: to prove a good canary takes ")
    assert "by errors" in line
    assert "raise maxDuration" in line


async def test_enough_traffic_is_known_to_be_enough() -> None:
    assert await of(Hour(3000)).told(observed(), run(), NOW) == ()


async def test_an_hour_that_was_watched_in_part_says_the_same_of_the_traffic() -> None:
    whole = await of(Hour(10)).told(observed(), run(), NOW)
    assert await of(Hour(10, watched=0.1)).told(observed(), run(), NOW) == whole


async def test_it_is_asked_once_and_remembered_while_its_run_is_under_way() -> None:
    source = Hour(10)
    ahead = of(source)
    first = await ahead.told(observed(), run(), NOW)
    asked = len(source.asked)
    assert await ahead.told(observed(), None, NOW + timedelta(seconds=5)) == first
    assert len(source.asked) == asked
    assert await ahead.told(observed(phase="Successful"), None, NOW) is None
    assert await ahead.told(observed(), None, NOW) is None


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: Hour(0), id="no traffic"),
        pytest.param(lambda: Hour(10, watched=0.01), id="hardly any history"),
        pytest.param(lambda: Hour(10, fault=SourceDownError("away")), id="nobody answers"),
        pytest.param(lambda: Hour(10, fault=QueryRefusedError("no")), id="the question is refused"),
    ],
)
async def test_without_an_answer_nothing_is_said(source: Callable[[], Hour]) -> None:
    assert await of(source()).told(observed(), run(), NOW) is None


async def test_a_run_that_counted_already_began_before_this_operator() -> None:
    source = Hour(10)
    assert await of(source).told(observed(), run(checkpoint={"some": "state"}), NOW) is None
    assert source.asked == []


async def test_whoever_finds_it_busy_asks_in_a_later_turn() -> None:
    source = Hour(10)
    ahead = of(source)
    source.answers.clear()
    first = asyncio.create_task(ahead.told(observed("first"), run(), NOW))
    while not source.asked:
        await asyncio.sleep(0)
    assert await ahead.told(observed("second"), run(), NOW) is None
    source.answers.set()
    assert await first
    assert await ahead.told(observed("second"), None, NOW) is None, "too soon after the first"
    assert await ahead.told(observed("second"), None, NOW + timedelta(seconds=1)) == await first

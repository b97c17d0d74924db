"""A result and conditions give a measurement: good, bad, neither, or what somebody has to mend."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analysis.evidence import Labels, Series
from analysis.sources import PartialAnswerError, QueryRefusedError, SourceDownError
from analysis.sources.evaluating import Answer, Window, parse_result
from analysis.threshold import Phase
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.measurements import MetricResult
from rollout.api.status import Counted
from rollout.api.threshold import Threshold
from rollout.measure.held import Held
from rollout.measure.measurements import judged, measured
from rollout.plan.evidence import Evidence, Outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAN, INF = math.nan, math.inf


def metric(success: str | None = None, failure: str | None = None, **words: Any) -> Threshold:
    body = {"name": "m", "provider": {"prometheus": {"query": "q"}}, **words}
    conditions = {"successCondition": success, "failureCondition": failure}
    return Threshold.model_validate({**body, **{k: v for k, v in conditions.items() if v is not None}})


@pytest.mark.parametrize(
    ("success", "failure", "answer", "phase", "message"),
    [
        pytest.param("result[0] > 1", None, (2.0,), Phase.SUCCESSFUL, "", id="good"),
        pytest.param(
            "result[0] > 1", None, (0.0,), Phase.FAILED, "result[0] > 1 is false", id="not good is bad"
        ),
        pytest.param(None, "result[0] > 1", (2.0,), Phase.FAILED, "result[0] > 1 is true", id="bad"),
        pytest.param(None, "result[0] > 1", (0.0,), Phase.SUCCESSFUL, "", id="not bad is good"),
        pytest.param("result > 2", "result < 1", 1.5, Phase.INCONCLUSIVE, "neither", id="between the two"),
        pytest.param("result > 1", "result > 1", 2.0, Phase.FAILED, "is true", id="good and bad is bad"),
        pytest.param(None, None, 1.0, Phase.INCONCLUSIVE, "give successCondition", id="no conditions"),
        pytest.param("len(result) == 0", None, (), Phase.INCONCLUSIVE, "no data", id="no series"),
        pytest.param(
            None, "len(result) == 0", (), Phase.INCONCLUSIVE, "no data", id="no series is no failure"
        ),
        pytest.param(
            "isNaN(result)", None, NAN, Phase.INCONCLUSIVE, "no number: the query gives nan", id="NaN"
        ),
        pytest.param(None, "result[0] > 1", (INF,), Phase.INCONCLUSIVE, "gives inf", id="Inf"),
        pytest.param(
            "all(result, {# > 1})",
            None,
            (2.0, NAN),
            Phase.INCONCLUSIVE,
            "nan among the values",
            id="NaN among them",
        ),
        pytest.param(
            "all(result, {isNaN(#) || # > 1})",
            None,
            (2.0, NAN),
            Phase.SUCCESSFUL,
            "",
            id="NaN that is asked about",
        ),
        pytest.param(
            "result[0] > 1", None, (2.0, 2.0), Phase.ERROR, "2 series where successCondition", id="two"
        ),
        pytest.param("result[1] > 1", None, (2.0,), Phase.ERROR, "[1] of a list of 1", id="one too few"),
        pytest.param("result[0] > 1", None, 2.0, Phase.ERROR, "a list is needed", id="a scalar as a list"),
    ],
)
def test_a_measurement(
    success: str | None, failure: str | None, answer: Answer, phase: Phase, message: str
) -> None:
    found = judged(metric(success, failure), answer, NOW)
    assert found.phase is phase
    assert message in found.message
    assert found.refused == (phase is Phase.ERROR), "what is refused is mended by somebody, not by waiting"


class Answering:
    """A source that answers one thing."""

    def __init__(self, answer: Answer | Exception) -> None:
        self.answer = answer

    async def query(self, *_: object) -> Any:
        raise NotImplementedError

    instant = query

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        pytest.param(SourceDownError("away"), False, id="away: it mends itself"),
        pytest.param(QueryRefusedError("parse error"), True, id="refused: somebody mends it"),
        pytest.param(PartialAnswerError("one of two stores"), True, id="in part"),
    ],
)
async def test_a_source_without_an_answer_is_an_error(answer: Exception, refused: bool) -> None:
    found = await measured(Answering(answer), metric("true"), NOW, NOW)
    assert (found.phase, found.refused, found.message) == (Phase.ERROR, refused, str(answer))


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        pytest.param({"resultType": "scalar", "result": [1, "0.5"]}, 0.5, id="a scalar"),
        pytest.param(
            {"resultType": "vector", "result": [{"metric": {}, "value": [1, "NaN"]}]}, (NAN,), id="a vector"
        ),
        pytest.param({"resultType": "vector", "result": []}, (), id="nothing"),
    ],
)
def test_what_prometheus_answers(data: dict[str, Any], answer: Answer) -> None:
    assert parse_result(data) == pytest.approx(answer, nan_ok=True)


@pytest.mark.parametrize(
    "data",
    [
        {"resultType": "matrix", "result": []},
        {"resultType": "string", "result": [1, "a"]},
        {"resultType": "vector", "result": [{"histogram": []}]},
        {"resultType": "vector", "result": [{}]},
        {"resultType": "scalar", "result": None},
        {},
    ],
)
def test_anything_else_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(QueryRefusedError):
        parse_result(data)


RUN = AnalysisRunSpec.model_validate(
    {
        "metrics": [
            {
                "name": name,
                "interval": "10s",
                "count": 3,
                "failureLimit": 1,
                "successCondition": "result > 0.9",
                "provider": {"prometheus": {"query": name}},
            }
            for name in ("a", "b@1")
        ],
        "measurementRetention": [{"metricName": "^a$", "limit": 2}],
    }
)


async def watched(held: Held, answer: Answer | Exception, seconds: int, step: str = "0") -> None:
    at = NOW + timedelta(seconds=seconds)
    await held.measure(step, lambda _: Answering(answer), at, at)


async def test_a_restart_between_any_two_measurements_changes_nothing() -> None:
    answers: list[Answer | Exception] = [0.95, SourceDownError("away"), 0.5, 0.95]
    whole, broken = Held.read(RUN, {}), Held.read(RUN, {})
    for held in (whole, broken):
        held.begin_step("0", "0", NOW)
    for place, answer in enumerate(answers):
        await watched(whole, answer, 10 * place)
        await watched(broken, answer, 10 * place)
        broken = Held.read(RUN, {"metricResults": [each.manifest() for each in broken.results()]})
        assert broken.states == whole.states
        assert not broken.unsaved
    result = whole.results()[0]
    assert (result.count, result.successful, result.failed, result.error) == (3, 2, 1, 1)
    assert (result.phase, len(result.measurements)) == ("Successful", 2), "no more than is retained"
    assert MetricResult.model_validate(result.manifest()) == result


async def test_nothing_is_asked_before_it_is_due_nor_of_a_step_that_is_not_under_way() -> None:
    held = Held.read(RUN, {})
    assert held.look_at("0", NOW) is None
    held.begin_step("0", "0", NOW)
    await watched(held, 0.95, 0)
    await watched(held, 0.95, 9)
    assert held.states.keys() == {"a"}
    assert held.states["a"].total.count == 1
    assert held.look_at("0", NOW) == NOW + timedelta(seconds=10)
    late = NOW + timedelta(minutes=1)
    assert held.look_at("0", late) == late + timedelta(seconds=1), (
        "what can't be asked now is no reason to hurry"
    )


@pytest.mark.parametrize(
    ("answers", "compared", "outcome"),
    [
        pytest.param([0.95], Outcome.NOT_WORSE, Outcome.UNDECIDED, id="one of three: waits"),
        pytest.param([0.95] * 3, Outcome.NOT_WORSE, Outcome.NOT_WORSE, id="both proved"),
        pytest.param([0.95] * 3, Outcome.UNDECIDED, Outcome.UNDECIDED, id="the comparison waits"),
        pytest.param([0.95] * 3, Outcome.WORSE, Outcome.WORSE, id="the comparison rolls back"),
        pytest.param([0.5] * 2, Outcome.NOT_WORSE, Outcome.FAILED, id="the threshold rolls back"),
        pytest.param([0.5] * 2, Outcome.BLIND, Outcome.FAILED, id="though the comparison is blind"),
        pytest.param([NAN], Outcome.NOT_WORSE, Outcome.INCONCLUSIVE, id="no number: somebody decides"),
        pytest.param([0.95] * 3, Outcome.BLIND, Outcome.BLIND, id="the comparison is blind"),
    ],
)
async def test_the_evidence_of_both_kinds_is_joined(
    answers: list[float], compared: Outcome, outcome: Outcome
) -> None:
    held = Held.read(RUN, {})
    held.begin_step("0", "0", NOW)
    for place, answer in enumerate(answers):
        await watched(held, answer, 10 * place)
    found = held.joined(Evidence(compared, "because", "0"), frozenset({"a", "errors"}), "0")
    assert found.outcome is outcome
    assert found.metrics[-1].counted is Counted.MEASUREMENTS
    assert ("because" in found.reason) == (compared is outcome)
    assert ("a: " in found.reason) == (outcome is not compared or outcome is Outcome.NOT_WORSE)


async def test_a_refused_query_is_a_problem_with_its_path() -> None:
    held = Held.read(RUN, {})
    held.begin_step("1", "1", NOW)
    await watched(held, QueryRefusedError("parse error"), 0, "1")
    found = held.joined(Evidence(Outcome.NOT_WORSE, step_key="1"), frozenset({"b@1"}), "1")
    assert found.outcome is Outcome.BLIND
    assert found.problems == (
        "spec.strategy.canary.steps[1].analysis: metric b@1: parse error (mend it in its AnalysisTemplate)",
    )


@dataclass
class Ranged:
    """Answers ranges, and remembers which."""

    answer: Answer
    asked: list[Window] = field(default_factory=list)

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        raise AssertionError("no samples are asked")

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        raise AssertionError("no instant is asked")

    async def evaluate_range(self, expression: str, window: Window) -> Answer:
        self.asked.append(window)
        return self.answer


RANGE = {"start": 'now() - duration("{{args.back}}")', "end": "now()", "step": "{{args.step}}"}


def ranged(condition: str) -> Threshold:
    provider = {"prometheus": {"query": "q", "rangeQuery": RANGE}}
    return metric(condition, provider=provider).resolved({"args.back": "5m", "args.step": "30"})


async def test_a_range_is_asked_back_from_the_instant_of_the_measurement() -> None:
    source = Ranged((1.0, 2.0, 3.0))
    found = await measured(source, ranged("all(result, # < 4)"), NOW, NOW)
    assert source.asked == [Window(NOW - timedelta(minutes=5), NOW, timedelta(seconds=30))]
    assert (found.phase, found.value) == (Phase.SUCCESSFUL, "[1,2,3]")


async def test_the_first_value_of_a_range_is_the_first_in_time_so_it_may_be_asked_of() -> None:
    found = await measured(Ranged((1.0, 2.0)), ranged("result[0] < 2"), NOW, NOW)
    assert found.phase is Phase.SUCCESSFUL


async def test_a_range_with_one_bad_value_is_bad_where_all_must_be_good() -> None:
    found = await measured(Ranged((1.0, 9.0)), ranged("all(result, # < 4)"), NOW, NOW)
    assert found.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"start": "yesterday"}, "write now\\(\\)", id="another way to write a time"),
        pytest.param({"start": 'now() + duration("1m")'}, "lies after the end", id="back to front"),
        pytest.param({"step": "100ms"}, "more than 500 values", id="too fine"),
        pytest.param({"step": "0s"}, "longer than 0s", id="no step"),
    ],
)
def test_a_range_that_cant_be_asked_is_refused(changed: dict[str, str], says: str) -> None:
    window = {"start": 'now() - duration("5m")', "end": "now()", "step": "30s"} | changed
    with pytest.raises(ValueError, match=says):
        metric("result > 1", provider={"prometheus": {"query": "q", "rangeQuery": window}})

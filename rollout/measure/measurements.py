"""One measurement of a threshold metric: a query is asked, its result held against the conditions."""

import math
from collections.abc import Mapping
from datetime import datetime

from analysis.sources import QueryRefusedError, Source, SourceDownError
from analysis.sources.evaluating import Answer, Evaluating, Ranging, Window
from analysis.threshold import Measurement, Phase
from rollout.api.base import parse_duration
from rollout.api.caps import short
from rollout.api.providers import QueriedPrometheus, offset
from rollout.api.threshold import Threshold
from rollout.conditions import Condition, ConditionError, condition

VALUE_LIMIT_BYTES = 120
MESSAGE_LIMIT_BYTES = 240
_SUCCESS, _FAILURE = ".successCondition", ".failureCondition"


async def measured(source: Source, metric: Threshold, at: datetime, now: datetime) -> Measurement:
    """What the metric says at `at`. A source that is away, or refuses, is an error and no answer."""
    try:
        answer = await _answer(source, metric.provider.prometheus, at)
    except QueryRefusedError as refusal:
        return _said(Phase.ERROR, now, message=str(refusal), refused=True)
    except SourceDownError as outage:
        return _said(Phase.ERROR, now, message=str(outage))
    return judged(metric, answer, now)


async def _answer(source: Source, asked: QueriedPrometheus, at: datetime) -> Answer:
    """Raises what a Source raises."""
    if asked.range_query is not None:
        if not isinstance(source, Ranging):
            raise QueryRefusedError("this source evaluates no ranges")
        window = asked.range_query
        first, last = at + offset(window.start), at + offset(window.end)
        return await source.evaluate_range(asked.query, Window(first, last, parse_duration(window.step)))
    if not isinstance(source, Evaluating):
        raise QueryRefusedError("this source evaluates no expressions")
    return await source.evaluate(asked.query, at)


def judged(metric: Threshold, answer: Answer, now: datetime) -> Measurement:
    """The answer held against the conditions."""
    shown = value_text(answer)
    try:
        asked = {path: condition(text, metric.language) for path, text in metric.conditions}
        ranged = metric.provider.prometheus.range_query is not None
        wrong = "" if ranged else _miscounted(asked, answer)
        if wrong:
            return _said(Phase.ERROR, now, shown, wrong, refused=True)
        missing = _missing(asked, answer)
        phase, why = (Phase.INCONCLUSIVE, missing) if missing else _phase(asked, answer)
    except ConditionError as error:
        remedy = f" ({error.remedy})" if error.remedy else ""
        return _said(Phase.ERROR, now, shown, f"{error}{remedy}", refused=True)
    return _said(phase, now, shown, why)


def _said(
    phase: Phase, now: datetime, value: str = "", message: str = "", *, refused: bool = False
) -> Measurement:
    return Measurement(
        phase, now, now, short(value, VALUE_LIMIT_BYTES), short(message, MESSAGE_LIMIT_BYTES), refused
    )


def _phase(asked: Mapping[str, Condition], answer: Answer) -> tuple[Phase, str]:
    """(phase, why), as Argo Rollouts answers; but without conditions nothing is proved (D1)."""
    success = asked[_SUCCESS].holds(answer) if _SUCCESS in asked else None
    failure = asked[_FAILURE].holds(answer) if _FAILURE in asked else None
    match success, failure:
        case _, True:
            return Phase.FAILED, f"failureCondition {asked[_FAILURE].text} is true"
        case False, None:
            return Phase.FAILED, f"successCondition {asked[_SUCCESS].text} is false"
        case (True, _) | (None, False):
            return Phase.SUCCESSFUL, ""
        case None, None:
            return Phase.INCONCLUSIVE, "no condition says what is good: give successCondition"
    return Phase.INCONCLUSIVE, "neither successCondition nor failureCondition is true"


def _miscounted(asked: Mapping[str, Condition], answer: Answer) -> str:
    """Why the answer is not what the conditions speak of: which of several series comes first is chance."""
    series = len(answer) if isinstance(answer, tuple) else 1
    for path, each in asked.items():
        if each.series is not None and series > each.series:
            meant = f"{series} series where {path.removeprefix('.')} speaks of {each.series}"
            return f"{meant}: sum() them in the query, or judge all of them (all(result, {{# > 0.95}}))"
    return ""


def _missing(asked: Mapping[str, Condition], answer: Answer) -> str:
    """Why there is nothing to judge by; '' where there is. No number is no evidence, for either side (D1)."""
    values = answer if isinstance(answer, tuple) else (answer,)
    if not values:
        return "no data: the query gives no series (where that means 0, add `or vector(0)` to it)"
    strange = sorted({f"{value:g}" for value in values if not math.isfinite(value)})
    if not strange:
        return ""
    if all(not math.isfinite(value) for value in values):
        return f"no number: the query gives {', '.join(strange)}"
    if any(each.asks_for_no_number for each in asked.values()):
        return ""
    return f"{', '.join(strange)} among the values: leave it out in the query, or ask isNaN() of it"


def value_text(answer: Answer) -> str:
    """As Argo Rollouts writes a value: `0.95`, or `[0.95,1]`."""
    if not isinstance(answer, tuple):
        return f"{answer:g}"
    return f"[{','.join(f'{value:g}' for value in answer)}]"

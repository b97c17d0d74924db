"""Threshold metrics: a query, conditions on its result, and limits, named and meant as in Argo Rollouts.

Any of them may hold arguments (`count: "{{args.count}}"`); a metric with open placeholders is looked at as
far as it can be, and wholly when they are filled in (`resolved`).
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from rollout.api.base import DURATION_PATTERN, Model, duration_text, parse_duration
from rollout.api.errors import Problem
from rollout.api.providers import QueryProvider
from rollout.api.rules import WrongFieldsError
from rollout.api.selectors import filled, is_open
from rollout.conditions import ConditionError, Language, condition

_PLACEHOLDER = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_OPEN_PATTERN = r"\{\{.+\}\}"


def _duration(value: object) -> timedelta | str:
    return value if isinstance(value, str) and is_open(value) else parse_duration(value)


def _duration_text(value: timedelta | str) -> str:
    return value if isinstance(value, str) else duration_text(value)


def _whole(least: int) -> Callable[[object], int | str]:
    def check(value: object) -> int | str:
        if isinstance(value, str) and is_open(value):
            return value
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or int(text) < least:
            allowed = "write a whole number" + (", or -1 for no limit" if least < 0 else ", not negative")
            raise ValueError(f"{allowed}, or {{{{args.NAME}}}} in quotes")
        return int(text)

    return check


_SCALAR = WithJsonSchema({"x-kubernetes-int-or-string": True})
DurationOrArg = Annotated[
    timedelta | str,
    BeforeValidator(_duration),
    PlainSerializer(_duration_text, return_type=str, when_used="json"),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "pattern": f"{DURATION_PATTERN}|{_OPEN_PATTERN}", "minimum": 0}
    ),
]
"""A duration, or a text with a placeholder."""
CountOrArg = Annotated[int | str, BeforeValidator(_whole(0)), _SCALAR]
LimitOrArg = Annotated[int | str, BeforeValidator(_whole(-1)), _SCALAR]
"""A number of measurements; -1 switches the limit off."""
Text = Annotated[str, Field(min_length=1, max_length=1024)]


class Threshold(Model):
    """One thing to measure, again and again, and to hold against conditions."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """A name, unique in the template."""
    interval: DurationOrArg | None = None
    """How often to look. Default: the scrape interval; of a metric with conditions: once."""
    count: CountOrArg | None = None
    """How many measurements. Default: 1 without an interval, else no end. Not beside compare."""
    initial_delay: DurationOrArg | None = None
    """How long to wait before the first measurement. Default: 0s. Not beside compare."""
    success_condition: Text | None = None
    """What is true of a good result: result[0] >= 0.95. Not beside compare."""
    failure_condition: Text | None = None
    """What is true of a bad result. Not beside compare."""
    condition_language: Language | None = None
    """What the conditions are written in (ours): expr, as in Argo Rollouts, or cel. Default: expr. Not beside
    compare."""
    failure_limit: LimitOrArg | None = None
    """How many measurements may fail; -1: any number. Default: 0. Not beside compare."""
    inconclusive_limit: LimitOrArg | None = None
    """How many measurements may be inconclusive; -1: any number. Default: 0. Not beside compare."""
    consecutive_error_limit: LimitOrArg | None = None
    """How many queries in a row may fail before the metric is blind. Default: 4. Not beside compare."""
    consecutive_success_limit: CountOrArg | None = None
    """How many successful measurements in a row suffice. Default: no such rule. Not beside compare."""
    provider: QueryProvider = QueryProvider()
    """Where the numbers come from. Default: the operator's own Prometheus."""

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of everything that holds placeholders."""
        named = {
            ".interval": self.interval,
            ".count": self.count,
            ".initialDelay": self.initial_delay,
            ".successCondition": self.success_condition,
            ".failureCondition": self.failure_condition,
            ".failureLimit": self.failure_limit,
            ".inconclusiveLimit": self.inconclusive_limit,
            ".consecutiveErrorLimit": self.consecutive_error_limit,
            ".consecutiveSuccessLimit": self.consecutive_success_limit,
            ".provider.prometheus.query": self.provider.prometheus.query,
        }
        window = self.provider.prometheus.range_query
        if window is not None:
            where = ".provider.prometheus.rangeQuery"
            named |= {
                f"{where}.start": window.start,
                f"{where}.end": window.end,
                f"{where}.step": window.step,
            }
        return tuple((path, text) for path, text in named.items() if isinstance(text, str) and is_open(text))

    @property
    def credentials(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of what secret arguments may stand in."""
        return tuple(
            (f".provider.prometheus{path}", text) for path, text in self.provider.prometheus.credentials
        )

    def resolved(self, values: Mapping[str, str]) -> Self:
        """With every placeholder filled in.

        Raises:
            WrongFieldsError: with these values a field is none; paths are relative to the metric.
        """
        bare = self.provider.prometheus.model_copy(update={"headers": (), "authentication": None})
        shown = self.model_copy(update={"provider": QueryProvider(prometheus=bare)})
        try:
            found = type(self).model_validate(_filled(shown.manifest(), values))
            told = self.provider.prometheus.with_credentials(values)
            known = {"headers": told.headers, "authentication": told.authentication}
            asked = found.provider.prometheus.model_copy(update=known)
            return found.model_copy(update={"provider": QueryProvider(prometheus=asked)})
        except ValidationError as error:
            problems = [
                Problem(
                    "." + ".".join(map(str, details["loc"])), details["msg"].removeprefix("Value error, ")
                )
                for details in error.errors(include_url=False)
            ]
            raise WrongFieldsError(*problems) from None

    @property
    def language(self) -> Language:
        """What the conditions are written in."""
        return self.condition_language or Language.EXPR

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of the conditions."""
        both = ((".successCondition", self.success_condition), (".failureCondition", self.failure_condition))
        return tuple((path, text) for path, text in both if text is not None)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        found = (_amiss(path, text, self.language) for path, text in self.conditions)
        problems = [problem for problem in found if problem is not None]
        if not self.provider.prometheus.query.strip():
            problems.append(Problem(".provider.prometheus.query", "is required", "give a query in PromQL"))
        if self.interval is None and isinstance(self.count, int) and self.count > 1:
            problems.append(Problem(".count", "more than one measurement needs an interval", "give interval"))
        if isinstance(self.interval, timedelta) and self.interval <= timedelta(0):
            problems.append(Problem(".interval", "must be longer than 0s"))
        if problems:
            raise WrongFieldsError(*problems)
        return self


OWN = (
    *("count", "initialDelay", "successCondition", "failureCondition", "conditionLanguage", "failureLimit"),
    *("inconclusiveLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit"),
)
"""Fields of a threshold metric that one by `compare` has not."""


def kind_of_metric(value: object) -> str:
    """`tag:threshold` for a metric with a query or conditions, else `tag:compare`."""
    if not isinstance(value, Mapping):
        return "tag:threshold" if isinstance(value, Threshold) else "tag:compare"
    return "tag:threshold" if "compare" not in value and (_query(value) or _given(value)) else "tag:compare"


def one_kind(value: object) -> object:
    """A metric is compared, or held against conditions."""
    if not isinstance(value, Mapping) or "compare" not in value:
        return value
    given = [*_given(value), *(["provider.prometheus.query"] if _query(value) else [])]
    if given:
        raise WrongFieldsError(
            *(
                Problem(f".{name}", "goes with a query, not with compare", "make it two metrics")
                for name in given
            )
        )
    return value


def _given(value: Mapping[str, Any]) -> list[str]:
    return [name for name in OWN if name in value]


def _query(value: Mapping[str, Any]) -> bool:
    provider = value.get("provider")
    prometheus = provider.get("prometheus") if isinstance(provider, Mapping) else None
    return isinstance(prometheus, Mapping) and bool(prometheus.keys() & {"query", "rangeQuery"})


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return filled(value, values) if isinstance(value, str) else value


def _amiss(path: str, text: str, language: Language) -> Problem | None:
    """What is wrong with a condition; a number stands in for a placeholder, in as many columns."""
    try:
        condition(_PLACEHOLDER.sub(lambda found: "1".ljust(len(found[0])), text), language)
    except ConditionError as error:
        return Problem(path, error.message, error.remedy)
    return None

"""What a query in PromQL gives at one instant: threshold metrics ask expressions, not samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from analysis.sources.taking import QueryRefusedError

Answer = float | tuple[float, ...]
"""A scalar, or the value of each series."""


@dataclass(frozen=True, slots=True)
class Window:
    """The instants of a range: from `start` to `end`, `step` apart."""

    start: datetime
    end: datetime
    step: timedelta


@runtime_checkable
class Ranging(Protocol):
    """A source that evaluates expressions at several instants; it raises what a Source raises."""

    async def evaluate_range(self, expression: str, window: Window) -> Answer:
        """All results of `expression`, series after series, each by time."""


@runtime_checkable
class Evaluating(Protocol):
    """A source that evaluates expressions; it raises what a Source raises."""

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        """The result of `expression` at one instant."""


def parse_range(data: Mapping[str, Any]) -> Answer:
    """The values of a matrix, series after series. Raises QueryRefusedError for anything else."""
    kind, result = data.get("resultType"), data.get("result")
    if kind != "matrix" or not isinstance(result, list):
        raise QueryRefusedError(f"the query gives a {kind} where a matrix is needed")
    try:
        if any("histograms" in one for one in result):
            raise QueryRefusedError("the query gives histograms: take histogram_quantile() of them")
        return tuple(float(value) for one in result for _, value in one["values"])
    except (KeyError, TypeError, ValueError) as damage:
        raise QueryRefusedError(f"the answer is not one of Prometheus: {damage!r}") from damage


def parse_result(data: Mapping[str, Any]) -> Answer:
    """A scalar or an instant vector, its labels dropped. Raises QueryRefusedError for anything else."""
    kind, result = data.get("resultType"), data.get("result")
    if kind in ("matrix", "string"):
        raise QueryRefusedError(f"the query gives a {kind} where numbers of one instant are needed")
    try:
        if kind == "scalar" and isinstance(result, list):
            return float(result[1])
        if kind == "vector" and isinstance(result, list):
            if any("histogram" in one for one in result):
                raise QueryRefusedError("the query gives histograms: take histogram_quantile() of them")
            return tuple(float(one["value"][1]) for one in result)
    except (KeyError, TypeError, ValueError, IndexError) as damage:
        raise QueryRefusedError(f"the answer is not one of Prometheus: {damage!r}") from damage
    raise QueryRefusedError("the answer is not one of Prometheus")

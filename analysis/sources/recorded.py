"""Recorded samples, selected as Prometheus selects them: what was scraped once can be judged again.

A record is JSON lines, one sample a line:

    {"labels": {"__name__": "up", "pod": "shop-7d4b9c-x2x4z"}, "at": 1767225600.25, "value": 1}
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from analysis.evidence import Labels, Series, to_ms
from analysis.sources.selector import Matcher, Selector, parse_selector
from analysis.sources.taking import QueryRefusedError, Source

LOOKBACK = timedelta(minutes=5)
"""How old the last sample of a series may be for an instant query to see it, as in Prometheus."""

_COUNT = re.compile(r"count(?: by \((?P<by>\w+)\) ?)?\((?P<of>.*)\)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}
_KEYS = {"labels", "at", "value"}
_EXAMPLE = '{"labels": {"__name__": "http_requests_total"}, "at": 1767225600.25, "value": 12}'


class RecordError(ValueError):
    """A line that is no sample; `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"{text}; a line is {_EXAMPLE}")
        self.line = line


class RecordedSource:
    """A source of what is in memory; what is no plain selector is asked of `live`, if there is one."""

    def __init__(self, series: Iterable[Series], live: Source | None = None) -> None:
        self._series = joined(series)
        self._live = live
        self._known: dict[str, tuple[Series, ...]] = {}

    @property
    def series(self) -> tuple[Series, ...]:
        """All of it."""
        return self._series

    @property
    def span(self) -> tuple[int, int] | None:
        """Milliseconds of the first and the last sample; None where there is none."""
        ends = [(one.samples[0][0], one.samples[-1][0]) for one in self._series if one.samples]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """Raw samples of all matching series in `(at - span, at]`."""
        return within(self._matching(selector), at, span)

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """An instant vector: of counts of series from memory, of anything else from `live`.

        Raises:
            QueryRefusedError: an expression without anybody to ask.
        """
        if self._live is not None:
            return await self._live.instant(expression, at)
        found = _COUNT.fullmatch(expression)
        if found is None:
            raise QueryRefusedError(
                f"{expression}: a record holds samples, and no answers to expressions: ask a Prometheus"
            )
        seen = await self.query(found["of"], at, LOOKBACK)
        if found["by"] is None:
            return (({}, float(len(seen))),) if seen else ()
        counts = Counter(one.labels.get(found["by"], "") for one in seen)
        return tuple(({found["by"]: value}, float(count)) for value, count in counts.items())

    def _matching(self, selector: str) -> tuple[Series, ...]:
        if selector not in self._known:
            holds = _matcher_of(parse_selector(selector))
            self._known[selector] = tuple(one for one in self._series if holds(one.labels))
        return self._known[selector]


def joined(series: Iterable[Series]) -> tuple[Series, ...]:
    """Each series once, its samples in order of time, each once."""
    samples: dict[frozenset[tuple[str, str]], set[tuple[int, float]]] = {}
    for one in series:
        samples.setdefault(frozenset(one.labels.items()), set()).update(one.samples)
    return tuple(Series(dict(labels), tuple(sorted(held))) for labels, held in samples.items())


def within(series: Iterable[Series], at: datetime, span: timedelta) -> tuple[Series, ...]:
    """Their samples in `(at - span, at]`, as a range selector gives them; those without one are left out."""
    until = to_ms(at)
    since = until - max(span // timedelta(milliseconds=1), 1)
    cut = (Series(one.labels, _between(one.samples, since, until)) for one in series)
    return tuple(one for one in cut if one.samples)


def _between(samples: tuple[tuple[int, float], ...], since: int, until: int) -> tuple[tuple[int, float], ...]:
    first = bisect_right(samples, (since, math.inf))
    return samples[first : bisect_right(samples, (until, math.inf))]


def _matcher_of(selector: Selector) -> Callable[[Labels], bool]:
    wanted = [_test(each) for each in selector.matchers]
    if selector.name:
        wanted.append(("__name__", lambda value: value == selector.name))
    return lambda labels: all(holds(labels.get(label, "")) for label, holds in wanted)


def _test(matcher: Matcher) -> tuple[str, Callable[[str], bool]]:
    label = _plain(matcher.label) if matcher.label[:1] in "\"'`" else matcher.label
    text = _plain(matcher.value)
    match matcher.op:
        case "=":
            return label, lambda value: value == text
        case "!=":
            return label, lambda value: value != text
        case "=~":
            return label, lambda value: _pattern(text).fullmatch(value) is not None
        case _:
            return label, lambda value: _pattern(text).fullmatch(value) is None


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.ASCII)
    except re.error as error:
        raise QueryRefusedError(f"the regular expression {text!r}: {error}") from error


def _plain(literal: str) -> str:
    """What a PromQL string literal says."""
    body = literal[1:-1]
    return body if literal[0] == "`" else _ESCAPED.sub(lambda m: _CONTROL.get(m[1], m[1]), body)


def to_lines(series: Iterable[Series]) -> Iterator[str]:
    """A record of these samples, a line each."""
    for one in series:
        labels = json.dumps(dict(sorted(one.labels.items())), ensure_ascii=False)
        for at, value in one.samples:
            yield f'{{"labels": {labels}, "at": {at / 1000:.3f}, "value": {_number(value)}}}\n'


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 2**63 else json.dumps(_spelled(value))


def _spelled(value: float) -> float | str:
    return value if math.isfinite(value) else f"{value:g}"


def from_lines(lines: Iterable[str]) -> tuple[Series, ...]:
    """The series of a record; lines may come in any order, empty ones are left out.

    Raises:
        RecordError: a line is no sample.
    """
    held: dict[str, tuple[Mapping[str, str], list[tuple[int, float]]]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        labels, at, value = _sample(number, line)
        held.setdefault(json.dumps(labels, sort_keys=True), (labels, []))[1].append((at, value))
    return tuple(Series(labels, tuple(samples)) for labels, samples in held.values())


def _sample(number: int, line: str) -> tuple[dict[str, str], int, float]:
    try:
        body = json.loads(line)
    except ValueError as error:
        raise RecordError(number, f"not JSON: {error}") from error
    if not isinstance(body, dict) or body.keys() != _KEYS:
        found = ", ".join(sorted(map(str, body))) if isinstance(body, dict) else type(body).__name__
        raise RecordError(number, f"labels, at and value are needed, there is: {found or 'nothing'}")
    return _labels(number, body["labels"]), _instant(number, body["at"]), _value(number, body["value"])


def _labels(number: int, labels: Any) -> dict[str, str]:
    whole = isinstance(labels, dict) and all(isinstance(text, str) for text in labels.values())
    if not whole or not labels.get("__name__"):
        raise RecordError(number, "labels: names and texts are needed, __name__ among them")
    return dict(labels)


def _instant(number: int, at: Any) -> int:
    if isinstance(at, str):
        try:
            return to_ms(datetime.fromisoformat(at))
        except ValueError as error:
            raise RecordError(number, f"at: {at!r} is no time with its zone: {error}") from error
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 1e11:
        raise RecordError(number, f"at: {at!r} are no seconds since 1970")
    return round(at * 1000)


def _value(number: int, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RecordError(number, f"value: {value!r} is no number")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise RecordError(number, f"value: {value!r} is no number") from error

"""One query for many: who asks the same metric of the same source at about the same time shares an answer.

A thousand rollouts that ask `http_requests_total` differ by nothing but the label matchers of their arms.
While one such query is under way the next askers gather, and go together: their arms are merged to one
selector that covers them all, and each is given its own series and its own span of them, exactly as if it had
asked alone. Only matchers that Prometheus and this module read alike are merged; any other goes alone.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from analysis.evidence import Labels, Series, to_datetime, to_ms
from analysis.sources.evaluating import Answer, Evaluating, Ranging, Window
from analysis.sources.selector import Matcher, Selector, literal
from analysis.sources.taking import PartialAnswerError, QueryRefusedError, Source, SourceDownError

TOGETHER_S = 0.005
"""How long the first asker waits for those who ask in the same breath."""
APART_S = 0.1
"""The least time between two queries for the same metric."""
MOST_ARMS = 200
"""In one query: its regular expressions must stay small enough to compile."""
KNOWN_S = 2.0
"""How long the answer to an instant query is told again: it says whether a metric is known at all."""
MILLISECOND = timedelta(milliseconds=1)

# What RE2 and Python's `re` read alike: plain characters, `.`, escaped punctuation and simple classes, each
# with at most one repeat.
_ALIKE = re.compile(r"(?:(?:[\w :/@%&=,;~<>!#'\"-]|\.|\\[^\w\s]|\[[\w-]+\])(?:\{\d+\}|[*+?])?)*", re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\[\\"])*)"')
_ESCAPED = re.compile(r'\\([\\"])')

Key = tuple[str, tuple[str, ...]]
"""A selector's text and the labels by which its arms are told apart."""
Pattern = tuple[str, str, bool]
"""A label, what its value must be, and whether that is a regular expression."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    """One arm's question and who waits for it."""

    selector: Selector
    arm: tuple[Matcher, ...]
    patterns: tuple[Pattern, ...]
    at: int
    span: int
    answer: asyncio.Future[tuple[Series, ...]]


@dataclass(slots=True)
class _Group:
    """Those who ask alike."""

    waiting: list[_Ask] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None
    asked_at: float = float("-inf")


class BatchingSource:
    """A source that asks `source` for many at once; from one event loop."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._groups: dict[Key, _Group] = {}
        self._known: dict[str, tuple[float, asyncio.Task[tuple[tuple[Labels, float], ...]]]] = {}

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """Raw samples of all matching series in `(at - span, at]`."""
        return await self._source.query(selector, at, span)

    async def query_arm(
        self, selector: Selector, arm: tuple[Matcher, ...], at: datetime, span: timedelta
    ) -> tuple[Series, ...]:
        """The same, of `selector` narrowed to an arm; others' arms may be asked along."""
        patterns = _patterns(arm)
        if patterns is None:
            return await self._source.query(str(selector.narrowed(*arm)), at, span)
        loop = asyncio.get_running_loop()
        ask = _Ask(selector, arm, patterns, to_ms(at), max(span // MILLISECOND, 1), loop.create_future())
        key = (str(selector), tuple(label for label, _, _ in patterns))
        group = self._groups.setdefault(key, _Group())
        group.waiting.append(ask)
        if group.worker is None:
            group.worker = loop.create_task(self._work(key, group))
        return await ask.answer

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """An instant vector, which may be some seconds old."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._known = {text: held for text, held in self._known.items() if held[0] > now}
        if expression not in self._known:
            task = loop.create_task(_asked(self._source, expression, at))
            self._known[expression] = (now + KNOWN_S, task)
        return await asyncio.shield(self._known[expression][1])

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        """The result of an expression, never an older one: a step is judged by what came after its effect."""
        if not isinstance(self._source, Evaluating):
            raise QueryRefusedError("this source evaluates no expressions")
        return await self._source.evaluate(expression, at)

    async def evaluate_range(self, expression: str, window: Window) -> Answer:
        """The results of an expression at several instants."""
        if not isinstance(self._source, Ranging):
            raise QueryRefusedError("this source evaluates no ranges")
        return await self._source.evaluate_range(expression, window)

    async def _work(self, key: Key, group: _Group) -> None:
        """Ask for who waits until nobody does."""
        loop = asyncio.get_running_loop()
        while group.waiting:
            await asyncio.sleep(max(TOGETHER_S, group.asked_at + APART_S - loop.time()))
            group.asked_at = loop.time()
            asks, group.waiting = [ask for ask in group.waiting if not ask.answer.done()], []
            parts = [asks[first : first + MOST_ARMS] for first in range(0, len(asks), MOST_ARMS)]
            await asyncio.gather(*map(self._answer, parts))
        group.worker = None
        loop.call_later(APART_S, self._forget, key)

    def _forget(self, key: Key) -> None:
        """Selectors come and go with their rollouts: what nobody asks is not kept."""
        group = self._groups.get(key)
        if group is not None and group.worker is None:
            del self._groups[key]

    async def _answer(self, asks: Sequence[_Ask]) -> None:
        try:
            found = await self._ask(asks)
        except QueryRefusedError as refusal:
            if len(asks) == 1 or isinstance(refusal, PartialAnswerError):
                _refuse(asks, refusal)
            elif refusal.too_much:
                await self._answer(asks[: len(asks) // 2])
                await self._answer(asks[len(asks) // 2 :])
            else:
                await self._apart(asks)
        except SourceDownError as outage:
            _refuse(asks, outage)
        except Exception as error:  # noqa: BLE001 -- whoever waits must hear of it, whatever it was
            _refuse(asks, error)
        else:
            _hand_out(asks, found)

    async def _apart(self, asks: Sequence[_Ask]) -> None:
        """A question that was refused: of all askers alike, or of some among them?"""
        ends = (asks[0], asks[-1])
        for ask in ends:
            await self._answer([ask])
        refusals = [refusal for refusal in map(_refusal, ends) if refusal is not None]
        rest = asks[1:-1]
        if len(refusals) == len(ends):
            for ask in rest:
                own, why = str(ask.selector.narrowed(*ask.arm)), refusals[0].why
                _refuse([ask], QueryRefusedError(f"Prometheus refused {own}: {why}", why=why))
            return
        for part in (rest[: len(rest) // 2], rest[len(rest) // 2 :]):
            if part:
                await self._answer(part)

    async def _ask(self, asks: Sequence[_Ask]) -> tuple[Series, ...]:
        until = max(ask.at for ask in asks)
        since = min(ask.at - ask.span for ask in asks)
        merged = asks[0].arm if len(asks) == 1 else covering([ask.patterns for ask in asks])
        query = str(asks[0].selector.narrowed(*merged))
        return await self._source.query(query, to_datetime(until), (until - since) * MILLISECOND)


async def _asked(source: Source, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
    return await source.instant(expression, at)


def _refuse(asks: Sequence[_Ask], error: Exception) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)


def _refusal(ask: _Ask) -> QueryRefusedError | None:
    told = ask.answer.exception() if ask.answer.done() and not ask.answer.cancelled() else None
    return told if isinstance(told, QueryRefusedError) else None


def _hand_out(asks: Sequence[_Ask], found: Sequence[Series]) -> None:
    """To each what it would have got alone."""
    labels = tuple(label for label, _, _ in asks[0].patterns)
    by_values: dict[tuple[str, ...], list[Series]] = defaultdict(list)
    for one in found:
        by_values[tuple(one.labels.get(label, "") for label in labels)].append(one)
    place = next((at for at in range(len(labels)) if not any(ask.patterns[at][2] for ask in asks)), None)
    places: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for values in by_values:
        places["" if place is None else values[place]].append(values)
    for ask in asks:
        near = places.get("" if place is None else ask.patterns[place][1], ())
        own = [one for values in near if _holds(ask.patterns, values) for one in by_values[values]]
        if not ask.answer.done():
            ask.answer.set_result(_within(own, ask.at - ask.span, ask.at))


def _holds(patterns: Sequence[Pattern], values: Sequence[str]) -> bool:
    return all(
        _compiled(text).fullmatch(value) is not None if regular else text == value
        for (_, text, regular), value in zip(patterns, values, strict=True)
    )


def _within(series: Sequence[Series], since: int, until: int) -> tuple[Series, ...]:
    """Their samples in `(since, until]`; those without one are left out."""
    found = []
    for one in series:
        samples = one.samples
        first = bisect_right(samples, (since, float("inf")))
        end = bisect_right(samples, (until, float("inf")))
        if first < end:
            found.append(one if end - first == len(samples) else Series(one.labels, samples[first:end]))
    return tuple(found)


def _patterns(arm: Sequence[Matcher]) -> tuple[Pattern, ...] | None:
    """An arm's matchers as patterns; None where one of them can't be merged safely."""
    found = [_pattern(matcher) for matcher in arm]
    kept = tuple(one for one in found if one is not None)
    distinct = len({label for label, _, _ in kept})
    return kept if len(kept) == len(found) == distinct and kept else None


@lru_cache(maxsize=8192)
def _pattern(matcher: Matcher) -> Pattern | None:
    quoted = _QUOTED.fullmatch(matcher.value)
    if quoted is None or matcher.op not in ("=", "=~") or matcher.label.startswith('"'):
        return None
    text = _ESCAPED.sub(r"\1", quoted[1])
    if matcher.op == "=":
        return matcher.label, text, False
    return (matcher.label, text, True) if _ALIKE.fullmatch(text) else None


@lru_cache(maxsize=8192)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def covering(arms: Sequence[Sequence[Pattern]]) -> tuple[Matcher, ...]:
    """Matchers for all that any of the arms (of the same labels) matches, and maybe more."""
    merged = []
    for alike in zip(*arms, strict=True):
        label = alike[0][0]
        plain = {text for _, text, regular in alike if not regular}
        regular = {text for _, text, regular in alike if regular}
        if len(plain) == 1 and not regular:
            merged.append(Matcher(label, "=", literal(plain.pop())))
        else:
            each = sorted({re.escape(text) for text in plain} | regular)
            merged.append(Matcher(label, "=~", literal("|".join(each))))
    return tuple(merged)

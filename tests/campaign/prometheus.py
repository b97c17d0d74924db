"""A Prometheus that scrapes the cluster's pods: counters of the requests that the real weights sent them.

It stands where the measurer asks its source. What it does instead of answering well is one of `Mode`.
"""

import asyncio
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from analysis.evidence import Labels, Series, to_ms
from analysis.sources import PartialAnswerError, QueryRefusedError, SourceDownError, parse_selector
from analysis.sources.selector import Matcher

RATE = 2000.0
"""Requests a second that users send."""
SCRAPE_MS = 5000
LOOKBACK_MS = 300_000
DEADLINE_S = 10.0
SKEW_MS = 3000


class Mode(StrEnum):
    """What it does instead of answering well."""

    DOWN = "down"
    SLOW = "slow"  # no answer for as long as anybody waits
    NAN = "NaN"
    EMPTY = "empty"
    PARTIAL = "partial"
    REFUSING = "refusing"
    SEVERAL = "several"  # each series twice, by different instances
    WRONG = "wrong types"  # values that no counter has
    BEHIND = "behind"  # its clock is behind ours
    AHEAD = "ahead"


@dataclass(slots=True)
class _Pod:
    """How many requests one pod had, as lines between the instants at which its share changed."""

    began: int
    errors: float
    image: str
    times: list[int] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    ended: int | None = None

    def total(self, at: int) -> float:
        place = bisect_right(self.times, at) - 1
        if place < 0:
            return 0.0
        return self.totals[place] + self.rates[place] * (at - self.times[place]) / 1000

    def turn(self, at: int, rate: float) -> None:
        if self.rates and self.rates[-1] == rate:
            return
        self.totals.append(self.total(at))
        self.times.append(at)
        self.rates.append(rate)


class Prometheus:
    """The source; `mode` is what ails it now. `errors` gives the share of requests that an image fails."""

    def __init__(self, now: Callable[[], datetime], errors: Callable[[str], float]) -> None:
        self._now = now
        self._errors = errors
        self._pods: dict[str, _Pod] = {}
        self._resets: list[int] = []
        self.mode: Mode | None = None

    # What happens in the cluster

    def appeared(self, pod: str, image: str) -> None:
        """A pod answers its first probe: from now on it is scraped."""
        if pod not in self._pods:
            self._pods[pod] = _Pod(to_ms(self._now()), self._errors(image), image)

    def left(self, pod: str) -> None:
        """A pod is gone."""
        if pod in self._pods:
            self._pods[pod].turn(to_ms(self._now()), 0.0)
            self._pods[pod].ended = to_ms(self._now())

    def shared(self, shares: Mapping[str, float]) -> None:
        """From now on each pod gets this share of all requests, 0 to 1; others get none."""
        at = to_ms(self._now())
        for name, pod in self._pods.items():
            if pod.ended is None:
                pod.turn(at, RATE * shares.get(name, 0.0))

    def reset(self) -> None:
        """Every container was restarted: its counters begin at 0."""
        self._resets.append(to_ms(self._now()))

    def requests(self, image: str) -> float:
        """How many requests a version ever had."""
        at = to_ms(self._now())
        return sum(pod.total(at) for pod in self._pods.values() if pod.image == image)

    # What is asked

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """As `analysis.sources.Source`."""
        await self._ail()
        if self.mode is Mode.EMPTY:
            return ()
        return tuple(self._select(selector, to_ms(at), span // timedelta(milliseconds=1)))

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """As `analysis.sources.Source`; it knows `count(selector)`."""
        await self._ail()
        found = re.fullmatch(r"count\((.*)\)", expression, re.DOTALL)
        if found is None:
            raise QueryRefusedError(f"1:1: parse error: {expression!r}")
        if self.mode is Mode.EMPTY:
            return ()
        count = sum(1 for _ in self._select(found[1], to_ms(at), LOOKBACK_MS))
        return (({}, float(count)),) if count else ()

    async def _ail(self) -> None:
        match self.mode:
            case Mode.DOWN:
                raise SourceDownError("connection refused")
            case Mode.SLOW:
                await asyncio.sleep(DEADLINE_S)
                raise SourceDownError(f"no answer within {DEADLINE_S:g} s")
            case Mode.PARTIAL:
                raise PartialAnswerError("one of two stores did not answer")
            case Mode.REFUSING:
                raise QueryRefusedError("too many samples were asked for")

    def _select(self, selector: str, at: int, span: int) -> Iterator[Series]:
        matchers = _matchers(selector)
        skew = {Mode.BEHIND: -SKEW_MS, Mode.AHEAD: SKEW_MS}.get(self.mode, 0) if self.mode else 0
        for name, pod in self._pods.items():
            first = max((at - span - skew) // SCRAPE_MS + 1, pod.began // SCRAPE_MS + 1)
            last = (min(at - skew, pod.ended or at) if pod.ended else at - skew) // SCRAPE_MS
            times = range(first * SCRAPE_MS, last * SCRAPE_MS + 1, SCRAPE_MS)
            if not times:
                continue
            for labels, value in self._series(name, pod):
                if all(_matches(labels, each) for each in matchers):
                    yield Series(labels, tuple((time + skew, value(time)) for time in times))

    def _series(self, name: str, pod: _Pod) -> Iterator[tuple[Labels, Callable[[int], float]]]:
        for instance in ("a", "b") if self.mode is Mode.SEVERAL else ("a",):
            labels = {"namespace": "shop", "pod": name, "job": "shop", "instance": f"{name}:{instance}"}
            yield {**labels, "__name__": "up"}, lambda _: 1.0
            yield {**labels, "__name__": "process_start_time_seconds"}, lambda at: self._began(pod, at) / 1000
            for code, share in (("200", 1 - pod.errors), ("500", pod.errors)):
                yield {**labels, "__name__": "http_requests_total", "code": code}, self._counter(pod, share)

    def _began(self, pod: _Pod, at: int) -> int:
        return max([pod.began, *(reset for reset in self._resets if pod.began < reset <= at)])

    def _counter(self, pod: _Pod, share: float) -> Callable[[int], float]:
        if self.mode is Mode.NAN:
            return lambda _: math.nan
        odd = 0.5 if self.mode is Mode.WRONG else 0.0

        def value(at: int) -> float:
            before = pod.total(self._began(pod, at))
            return float(math.floor(share * (pod.total(at) - before) + 1e-6)) + odd

        return value


@lru_cache(maxsize=1000)
def _matchers(selector: str) -> tuple[tuple[Matcher, str], ...]:
    parsed = parse_selector(selector)
    named = [(Matcher("__name__", "=", ""), parsed.name)] if parsed.name else []
    return (*named, *((each, _unquoted(each.value)) for each in parsed.matchers))


def _unquoted(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def _matches(labels: Labels, told: tuple[Matcher, str]) -> bool:
    matcher, value = told
    has = labels.get(matcher.label, "")
    match matcher.op:
        case "=":
            return has == value
        case "!=":
            return has != value
        case "=~":
            return re.fullmatch(value, has) is not None
        case _:
            return re.fullmatch(value, has) is None

"""A Prometheus at the border: samples in memory, selected as Prometheus selects them."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from analysis.evidence import Series, to_ms
from analysis.sources import QueryRefusedError
from analysis.sources.selector import Matcher, parse_selector


class Store:
    """What Prometheus holds: it reads selectors as Prometheus does, and notes what it was asked."""

    def __init__(self, series: Sequence[Series], refuses: str = "", most: int = 10**6) -> None:
        self._series = series
        self._named = any("__name__" in one.labels for one in series)
        self._refuses = refuses
        self._most = most
        self.asked: list[str] = []
        self.spans: list[tuple[str, timedelta]] = []
        self.error: Exception | None = None

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        self.asked.append(selector)
        self.spans.append((selector, span))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self._refuses and self._refuses in selector:
            raise QueryRefusedError(f"Prometheus refused {selector}: no, never", why="no, never")
        parsed = parse_selector(selector)
        until = to_ms(at)
        since = until - span // timedelta(milliseconds=1)
        wanted = [
            *parsed.matchers,
            *([Matcher("__name__", "=", f'"{parsed.name}"')] if self._named and parsed.name else ()),
        ]
        found = [one for one in self._series if all(_holds(each, one) for each in wanted)]
        if len(found) > self._most:
            raise QueryRefusedError("too many series", too_much=True)
        cut = [
            Series(one.labels, tuple(sample for sample in one.samples if since < sample[0] <= until))
            for one in found
        ]
        return tuple(one for one in cut if one.samples)

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[dict[str, str], float], ...]:
        self.asked.append(expression)
        await asyncio.sleep(0)
        return (({}, 1.0),)


def _holds(matcher: Matcher, one: Series) -> bool:
    value, text = one.labels.get(matcher.label, ""), matcher.value[1:-1].replace("\\\\", "\\")
    match matcher.op:
        case "=":
            return value == text
        case "=~":
            return re.fullmatch(text, value) is not None
        case "!=":
            return value != text
        case _:
            return re.fullmatch(text, value) is None

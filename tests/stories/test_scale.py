"""What grows with a fleet, and what must not: counted, not timed."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from fleet import Fleet, fleet, played
from stage import Shop

FEW, MANY = 3, 150
Trace = Callable[[FrameType, str, Any], Any]
LOOK = timedelta(seconds=1.6)
"""After the first turns: every Rollout's next look is due, and numbers that moved are not written yet."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one Rollout's look costs."""

    lines: int
    """Of code, in a turn that is taken alone."""
    queries: int
    """In the same turn."""
    requests: list[str]
    """In the same turn, to the API server."""
    queries_of_all: int
    """When all the others look at once."""
    requests_of_all: int


async def cost(fleet: Fleet) -> Cost:
    everybody = range(fleet.size)
    await asyncio.gather(*map(fleet.turn, everybody))
    fleet.time.now += LOOK
    asked, requested = len(fleet.prometheus.asked), len(fleet.requests)
    lines = await _lines(fleet.turn(0))
    queries = len(fleet.prometheus.asked) - asked
    requests = [f"{each.method} {each.path}" for each in fleet.requests[requested:]]
    asked, requested = len(fleet.prometheus.asked), len(fleet.requests)
    await asyncio.gather(*map(fleet.turn, everybody[1:]))
    return Cost(
        lines,
        queries,
        requests,
        len(fleet.prometheus.asked) - asked,
        len(fleet.requests) - requested,
    )


async def _lines(turn: Coroutine[None, None, None]) -> int:
    """Lines of our own code that are run while a turn is taken, each round of a loop counted."""
    count = 0

    def line(_frame: FrameType, event: str, _argument: object) -> Trace:
        nonlocal count
        count += event == "line"
        return line

    def entered(frame: FrameType, _event: str, _argument: object) -> Trace | None:
        name = frame.f_code.co_filename
        ours = ("/rollout/" in name or "/analysis/" in name) and "/sandbox/" not in name
        return line if ours else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        await turn
    finally:
        sys.settrace(before)
    return count


async def test_a_rollout_among_many_costs_what_it_costs_among_few(shop: Shop, tmp_path: Path) -> None:
    mother = await played(shop)
    async with fleet(mother, shop.prometheus.url, FEW, tmp_path) as small:
        few = await cost(small)
    async with fleet(mother, shop.prometheus.url, MANY, tmp_path) as large:
        many = await cost(large)
    print(few, many)
    assert few.queries > 0, "nobody looked"
    assert few.queries_of_all > 0, "nobody looked"
    assert many.requests == few.requests
    assert many.queries == few.queries
    assert many.lines < 1.05 * few.lines, "something scans all Rollouts in each turn"
    assert many.requests_of_all == MANY - 1, "a look is one read, and no write"
    assert many.queries_of_all < MANY / 2, "each asks for itself"

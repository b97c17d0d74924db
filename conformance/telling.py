"""The stories: what each needs, how they are played side by side, and what became of them."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from conformance.installing import Ledger
from conformance.needs import Found, Need
from conformance.operators import Crew
from conformance.prometheus import Prometheus
from conformance.shop import Given, Shop, opened

STORY_S = 300.0


@dataclass(slots=True)
class Stage:
    """What all stories of a run play on."""

    given: Given
    ledger: Ledger
    found: Found
    prometheus: Prometheus
    crew: Crew | None
    shops: dict[str, Shop] = field(default_factory=dict)
    """Those that are open, by namespace."""

    @asynccontextmanager
    async def shop(self) -> AsyncIterator[Shop]:
        """A shop in a new namespace, which goes when the context ends."""
        namespace = await self.ledger.namespace()
        try:
            async with opened(self.given, namespace, bare=not self.found.controllers) as shop:
                self.shops[namespace] = shop
                yield shop
        finally:
            self.shops.pop(namespace, None)
            await self.ledger.empty(namespace)


Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Story:
    """One story."""

    name: str
    title: str
    play: Play
    needs: Collection[Need]


STORIES: dict[str, Story] = {}


def story(*needs: Need) -> Callable[[Play], Play]:
    """Register a story: its name is the function's, its title the docstring's first line."""

    def register(play: Play) -> Play:
        name = getattr(play, "__name__", "").replace("_", "-")
        title = (play.__doc__ or "").strip().splitlines()[0].rstrip(".")
        STORIES[name] = Story(name, title, play, needs)
        return play

    return register


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one story: `passed`, `failed` or `left out`, and why."""

    story: Story
    result: str
    why: str = ""
    seconds: float = 0.0


async def tell(
    stage: Stage, stories: Mapping[str, Story], at_once: int, report: Callable[[Outcome], None]
) -> list[Outcome]:
    """Play all stories that can be played here; `report` is called as each ends."""
    outcomes: dict[str, Outcome] = {}
    turns = asyncio.Semaphore(at_once)

    async def one(each: Story) -> None:
        missing = [stage.found.lacking[need] for need in each.needs if need in stage.found.lacking]
        if missing:
            outcomes[each.name] = Outcome(each, "left out", "; ".join(missing))
        else:
            async with turns:
                outcomes[each.name] = await _play(stage, each)
        report(outcomes[each.name])

    async with asyncio.TaskGroup() as group:
        for each in stories.values():
            group.create_task(one(each))
    return [outcomes[name] for name in stories]


async def _play(stage: Stage, each: Story) -> Outcome:
    began = time.monotonic()
    try:
        async with asyncio.timeout(STORY_S):
            await each.play(stage)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the others go on and it is told
        return Outcome(each, "failed", _why(error), time.monotonic() - began)
    return Outcome(each, "passed", "", time.monotonic() - began)


def _why(error: BaseException) -> str:
    """The first real error, and where in the story it was."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/stories/" in f.filename]
    where = (
        f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}: {frames[-1].line}: " if frames else ""
    )
    return f"{where}{type(error).__name__}: {error}"

"""What one namespace holds, followed by watches, and every write to it that they told of."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from conformance import api
from conformance.api import Api, Object, Refused, Resource, Unreachable

FOLLOWED = (
    *(api.ROLLOUTS, api.RUNS, api.ROUTES, api.SERVICES, api.REPLICA_SETS, api.SLICES, api.PODS, api.EVENTS),
)
AGAIN_S = 0.5
T = TypeVar("T")


class Never(AssertionError):  # noqa: N818 -- it reads as what it says
    """Something that was waited for did not come."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as it stood after one write; `at` is the monotonic time at which it was seen."""

    version: int
    kind: str
    object: Object
    gone: bool = False
    at: float = 0.0


@dataclass(slots=True)
class Mirror:
    """A namespace; what `look`s at it is woken by its events."""

    api: Api
    namespace: str
    journal: list[Entry] = field(default_factory=list)
    changes: int = 0
    """How often something was told."""
    _objects: dict[str, dict[str, Object]] = field(default_factory=lambda: {r.plural: {} for r in FOLLOWED})
    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def get(self, resource: Resource, name: str) -> Object | None:
        """One object, as last told."""
        return self._objects[resource.plural].get(name)

    def every(self, resource: Resource) -> list[Object]:
        """All objects of a kind, by name."""
        return [found for _, found in sorted(self._objects[resource.plural].items())]

    async def change(self, since: int) -> None:
        """Wait until there are more changes than `since`."""
        while self.changes <= since:
            await self._event.wait()

    async def until(self, what: str, look: Callable[[], T], seconds: float) -> T:
        """Wait until `look` gives something true; that. Raises Never."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := look()):
                    with suppress(TimeoutError):  # times pass without an event, too
                        async with asyncio.timeout(AGAIN_S):
                            await self._event.wait()
                return found
        except TimeoutError:
            raise Never(f"{what}: not within {seconds:g} s") from None

    async def run(self) -> None:
        """Follow all kinds until cancelled."""
        async with asyncio.TaskGroup() as following:
            for resource in FOLLOWED:
                following.create_task(self._follow(resource))

    async def _follow(self, resource: Resource) -> None:
        since = ""
        while True:
            try:
                since = since or await self._list(resource)
                async for event in self.api.watch(resource, self.namespace, since):
                    since = event["object"]["metadata"]["resourceVersion"]
                    self._take(resource, event["type"], event["object"])
            except Unreachable:
                await asyncio.sleep(AGAIN_S)
            except Refused as refused:
                if refused.status == 410:
                    since = ""
                await asyncio.sleep(AGAIN_S)

    async def _list(self, resource: Resource) -> str:
        items, version = await self.api.list(resource, self.namespace)
        held = self._objects[resource.plural]
        listed = {item["metadata"]["name"] for item in items}
        for name in held.keys() - listed:
            self._take(resource, "DELETED", held[name])
        for item in items:
            before = held.get(item["metadata"]["name"])
            if before is None or _version(before) != _version(item):
                self._take(resource, "MODIFIED", item)
        return version

    def _take(self, resource: Resource, kind: str, found: Object) -> None:
        if kind == "BOOKMARK":
            return
        name, gone = found["metadata"]["name"], kind == "DELETED"
        held = self._objects[resource.plural]
        held.pop(name, None) if gone else held.__setitem__(name, found)
        self.journal.append(Entry(_version(found), resource.plural, found, gone, time.monotonic()))
        self.wake()

    def wake(self) -> None:
        """Let everybody look again."""
        self.changes += 1
        event, self._event = self._event, asyncio.Event()
        event.set()


def _version(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])


def at(found: Any, *keys: Any) -> Any:
    """What lies at a path of keys; None where something on the way is missing."""
    for key in keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return None
    return found

"""A cache that follows the API server: list once, then watch, and list again after a gap.

It keeps a projection of each object, made by a function of its owner, so its memory is bounded by what is
read. After every list it prunes itself, so that an object which vanished during a gap does not live on
here.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from rollout.api.base import Manifest
from rollout.api.errors import Retry, Stalled
from rollout.kube.client import Kube, WatchEvent
from rollout.kube.errors import Gone, Unavailable
from rollout.kube.kinds import Resource

T = TypeVar("T")

FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object as it was here and as it is now; None is absence. Nobody hears of a change that a
    projection hides.
    """

    resource: Resource
    namespace: str
    name: str
    before: T | None
    after: T | None


class Reflector(Generic[T]):
    """The objects of one kind: of one namespace or of all, those with `labels` only.

    `run` never returns; cancel it to stop. `on_change` is called after the cache holds the change; it must
    not block. `on_trouble` hears of each failure before the next try.
    """

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        project: Callable[[Manifest], T],
        *,
        namespace: str | None = None,
        labels: str = "",
        on_change: Callable[[Change[T]], None] = lambda _change: None,
        on_trouble: Callable[[Resource, Exception], None] = lambda _resource, _error: None,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        """Set by the first complete list."""
        self.trouble: Retry | Stalled | None = None
        """Why it does not follow at present; None while it does."""
        self._kube = kube
        self._project = project
        self._namespace = namespace
        self._labels = labels
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._held: dict[str, dict[str, T]] = {}
        self._version = ""
        self._failures = 0

    def get(self, namespace: str, name: str) -> T | None:
        """One object, or None."""
        return self._held.get(namespace, {}).get(name)

    def list(self, namespace: str | None = None) -> tuple[T, ...]:
        """The objects of a namespace, or all."""
        if namespace is not None:
            return tuple(self._held.get(namespace, {}).values())
        return tuple(each for held in self._held.values() for each in held.values())

    async def ready(self, seconds: float) -> None:
        """Wait for the first complete list, at most so long.

        Raises:
            Retry, Stalled: what keeps it from being listed.
        """
        try:
            async with asyncio.timeout(seconds):
                await self.synced.wait()
        except TimeoutError:
            raise self.trouble or Unavailable(f"list {self.resource}: no answer in {seconds:g} s") from None

    async def run(self) -> None:
        """Follow the API server until cancelled; every failure is waited out, longer each time, and tried
        again.
        """
        while True:
            try:
                await self._round()
            except (Retry, Stalled) as error:
                self.trouble = error
                self._on_trouble(self.resource, error)
                asked = error.after.total_seconds() if isinstance(error, Retry) else 0.0
                await asyncio.sleep(max(asked, self._backoff()))

    async def _round(self) -> None:
        """A list where one is needed, then one watch to its end."""
        if not self._version:
            await self._relist()
        began = asyncio.get_running_loop().time()
        try:
            await self._follow()
        except Gone:
            self._version = ""
            raise
        if asyncio.get_running_loop().time() - began < FIRST_WAIT:
            await asyncio.sleep(FIRST_WAIT)  # a server that ends every watch at once must not be hammered

    def _backoff(self) -> float:
        """Seconds to wait: none after the first failure, then doubling, with jitter."""
        wait = min(FIRST_WAIT * 2.0**self._failures, LONGEST_WAIT) if self._failures else 0.0
        self._failures += 1
        return wait * random.uniform(0.5, 1.0)

    async def _relist(self) -> None:
        seen: set[tuple[str, str]] = set()
        version = ""
        async for page in self._kube.pages(self.resource, self._namespace, labels=self._labels):
            version = page.resource_version
            for item in page.items:
                seen.add(_key(item))
                self._hold(item)
        for namespace, name in [(space, name) for space, held in self._held.items() for name in held]:
            if (namespace, name) not in seen:
                self._drop(namespace, name)
        self._version = version
        self.trouble = None
        self.synced.set()

    async def _follow(self) -> None:
        events = self._kube.watch(self.resource, self._namespace, self._version, labels=self._labels)
        async with aclosing(events):
            async for event in events:
                self._take(event)

    def _take(self, event: WatchEvent) -> None:
        match event.type:
            case "ADDED" | "MODIFIED":
                self._hold(event.object)
            case "DELETED":
                self._drop(*_key(event.object))
            case "BOOKMARK":
                pass
        self._version = event.object["metadata"]["resourceVersion"]
        self.trouble = None
        self._failures = 0

    def _hold(self, item: Manifest) -> None:
        namespace, name = _key(item)
        after = self._project(item)
        before = self.get(namespace, name)
        self._held.setdefault(namespace, {})[name] = after
        if before != after:
            self._on_change(Change(self.resource, namespace, name, before, after))

    def _drop(self, namespace: str, name: str) -> None:
        held = self._held.get(namespace, {})
        before = held.pop(name, None)
        if not held:
            self._held.pop(namespace, None)
        if before is not None:
            self._on_change(Change(self.resource, namespace, name, before, None))


def _key(item: Manifest) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]

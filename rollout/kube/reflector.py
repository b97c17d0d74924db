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
    """The objects of one kind: of one namespace or of all, those with `labels` only. With `chosen` it follows
    all namespaces and keeps nothing but of those that were included.

    `run` never returns; cancel it to stop. `on_object` hears of each object that is there, whole; then
    `on_change` is told what changed of the projection. Both must not block. `on_trouble` hears of each
    failure before the next try.
    """

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        project: Callable[[Manifest], T],
        *,
        namespace: str | None = None,
        labels: str = "",
        index: Callable[[T], str] | None = None,
        chosen: bool = False,
        on_object: Callable[[Manifest], None] = lambda _object: None,
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
        self._on_object = on_object
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._held: dict[str, dict[str, T]] = {}
        self._index = index
        self._found: dict[tuple[str, str], dict[str, T]] = {}
        self._included: dict[str, asyncio.Task[None]] | None = {} if chosen else None
        self._told: dict[str, set[str]] = {}
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

    def find(self, namespace: str, word: str) -> tuple[T, ...]:
        """The objects of a namespace that the index has under `word`."""
        return tuple(self._found.get((namespace, word), {}).values())

    async def ready(self, seconds: float) -> None:
        """Wait for the first complete list, at most so long.

        Raises:
            Retry, Stalled: what keeps it from being listed.
        """
        if self.synced.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self.synced.wait()
        except TimeoutError:
            raise self.trouble or Unavailable(f"list {self.resource}: no answer in {seconds:g} s") from None

    async def include(self, namespace: str) -> None:
        """Keep the objects of a namespace from now on, those that are there already among them.

        Raises:
            Retry, Stalled: they can't be listed.
        """
        if self._included is None:
            return
        if namespace not in self._included:
            self._included[namespace] = asyncio.create_task(self._fill(namespace))
        filling = self._included[namespace]
        if filling.done() and not filling.cancelled() and filling.exception() is None:
            return
        try:
            await asyncio.shield(filling)
        except (Retry, Stalled):
            self.leave(namespace)
            raise

    def leave(self, namespace: str) -> None:
        """Keep the objects of a namespace no longer; nobody hears of it."""
        if self._included is not None:
            self._included.pop(namespace, None)
        for name, held in self._held.pop(namespace, {}).items():
            self._reindex(namespace, name, held, None)

    async def _fill(self, namespace: str) -> None:
        """List what is there; of what the watch tells of meanwhile, the list may be older."""
        told = self._told[namespace] = set()
        try:
            await self.synced.wait()
            async for page in self._kube.pages(self.resource, namespace, labels=self._labels):
                for item in page.items:
                    if _key(item)[1] not in told:
                        self._hold(item)
        finally:
            self._told.pop(namespace, None)

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
        if event.type != "BOOKMARK":
            namespace, name = _key(event.object)
            self._told.get(namespace, set()).add(name)
            if event.type == "DELETED":
                self._drop(namespace, name)
            else:
                self._hold(event.object)
        self._version = event.object["metadata"]["resourceVersion"]
        self.trouble = None
        self._failures = 0

    def _hold(self, item: Manifest) -> None:
        namespace, name = _key(item)
        if self._included is not None and namespace not in self._included:
            return
        self._on_object(item)
        after = self._project(item)
        before = self.get(namespace, name)
        self._held.setdefault(namespace, {})[name] = after
        self._reindex(namespace, name, before, after)
        if before != after:
            self._on_change(Change(self.resource, namespace, name, before, after))

    def _drop(self, namespace: str, name: str) -> None:
        held = self._held.get(namespace, {})
        before = held.pop(name, None)
        if not held:
            self._held.pop(namespace, None)
        if before is not None:
            self._reindex(namespace, name, before, None)
            self._on_change(Change(self.resource, namespace, name, before, None))

    def _reindex(self, namespace: str, name: str, before: T | None, after: T | None) -> None:
        if self._index is None:
            return
        old = None if before is None else (namespace, self._index(before))
        new = None if after is None else (namespace, self._index(after))
        if old is not None and old != new:
            held = self._found[old]
            del held[name]
            if not held:
                del self._found[old]
        if new is not None and after is not None:
            self._found.setdefault(new, {})[name] = after


def _key(item: Manifest) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]

"""The objects, their versions and who watches them. Nothing here knows what a kind means."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import orjson

from rollout.sandbox.apiserver.errors import ApiError, gone
from rollout.sandbox.apiserver.resource import Object

Storage = tuple[str, str]
Key = tuple[str, str]
HISTORY = 4096
"""Events kept for each resource: a watch from before them must list again."""
BACKLOG = 20000
"""Events a slow watcher may be behind before it is cut off."""


class Stored:
    """One version of one object. The object must not be changed; its JSON is made once."""

    __slots__ = ("_bare", "_json", "obj", "version")

    def __init__(self, obj: Object, version: int) -> None:
        self.obj = obj
        self.version = version
        self._json: bytes | None = None
        self._bare: bytes | None = None

    @property
    def json(self) -> bytes:
        """The object as JSON."""
        if self._json is None:
            self._json = orjson.dumps(self.obj)
        return self._json

    @property
    def bare(self) -> bytes:
        """Without apiVersion and kind, as lists of built-in kinds hold it."""
        if self._bare is None:
            rest = {key: value for key, value in self.obj.items() if key not in {"apiVersion", "kind"}}
            self._bare = orjson.dumps(rest)
        return self._bare


@dataclass(frozen=True, slots=True)
class Event:
    """A change: `before` is None for a creation; `after` of a deletion is the last state with the version
    it went at."""

    version: int
    key: Key
    before: Stored | None
    after: Stored
    deleted: bool = False


Filter = Callable[[Event], "Change | None"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a watcher sees of an event."""

    type: str
    stored: Stored


@dataclass(slots=True, eq=False)
class Watcher:
    """A queue of changes, filled by the store and read in one event loop."""

    accepts: Filter
    loop: asyncio.AbstractEventLoop
    queue: deque[Change] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    overrun: bool = False

    def offer(self, event: Event) -> None:
        """Queue what it sees of the event."""
        if self.closed or (change := self.accepts(event)) is None:
            return
        if len(self.queue) >= BACKLOG:
            self.overrun = True
            self.close()
            return
        self.queue.append(change)
        self.wake()

    def wake(self) -> None:
        """Wake the reader, from whichever thread."""
        if self.loop.is_closed():
            self.closed = True
        elif _running_loop() is self.loop:
            self.ready.set()
        else:
            self.loop.call_soon_threadsafe(self.ready.set)

    def close(self) -> None:
        """End the watch once the queue is read."""
        self.closed = True
        self.wake()

    async def take(self, within: float | None) -> list[Change]:
        """What has come, after at most `within` seconds; empty when closed or nothing came."""
        if not self.queue and not self.closed:
            try:
                async with asyncio.timeout(within):
                    await self.ready.wait()
            except TimeoutError:
                return []
        self.ready.clear()
        taken = list(self.queue)
        for _ in taken:
            self.queue.popleft()
        return taken


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Store:
    """Objects by storage (group, plural) and key (namespace, name); every write has the next version.

    Versions begin at the epoch in milliseconds, so that they grow over restarts too and clients that
    remember an
    older one are told to list again.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.first = self.version = int(time.time() * 1000)
        self.objects: dict[Storage, dict[Key, Stored]] = {}
        self.history: dict[Storage, deque[Event]] = {}
        self.dropped: dict[Storage, int] = {}
        self.watchers: dict[Storage, set[Watcher]] = {}

    def get(self, storage: Storage, key: Key) -> Stored | None:
        """The present version of an object."""
        return self.objects.get(storage, {}).get(key)

    def list(self, storage: Storage, namespace: str | None) -> list[Stored]:
        """The objects of a namespace, or of all, in the order of their keys."""
        held = self.objects.get(storage, {})
        keys = held if namespace is None else [key for key in held if key[0] == namespace]
        return [held[key] for key in sorted(keys)]

    def put(self, storage: Storage, key: Key, obj: Object) -> Stored:
        """Store `obj` (which must not be changed afterwards) as the next version; its resourceVersion is
        set."""
        before = self.get(storage, key)
        stored = self._next(obj)
        self.objects.setdefault(storage, {})[key] = stored
        self._record(storage, Event(stored.version, key, before, stored))
        return stored

    def remove(self, storage: Storage, key: Key, last: Object) -> Stored:
        """Remove an object; watchers see `last` with the version of its removal."""
        before = self.objects[storage].pop(key)
        stored = self._next(last)
        self._record(storage, Event(stored.version, key, before, stored, deleted=True))
        return stored

    def _next(self, obj: Object) -> Stored:
        self.version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        return Stored(obj, self.version)

    def _record(self, storage: Storage, event: Event) -> None:
        history = self.history.setdefault(storage, deque())
        history.append(event)
        if len(history) > HISTORY:
            self.dropped[storage] = history.popleft().version
        for watcher in tuple(self.watchers.get(storage, ())):
            watcher.offer(event)

    def since(self, storage: Storage, version: int) -> Iterator[Event]:
        """The events after a version; raises 410 where they are no longer kept."""
        oldest = max(self.first, self.dropped.get(storage, 0))
        if version < oldest:
            raise gone(f"too old resource version: {version} ({oldest})")
        for event in self.history.get(storage, ()):
            if event.version > version:
                yield event

    def check_future(self, version: int) -> None:
        """Raise the timeout that a version from the future gives."""
        if version > self.version:
            details = {
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            }
            text = f"Timeout: Too large resource version: {version}, current: {self.version}"
            raise ApiError(504, "Timeout", text, details)

    def subscribe(self, storage: Storage, watcher: Watcher) -> None:
        """Send later events to the watcher."""
        self.watchers.setdefault(storage, set()).add(watcher)

    def unsubscribe(self, storage: Storage, watcher: Watcher) -> None:
        """Send it no more."""
        self.watchers.get(storage, set()).discard(watcher)

    def close_watchers(self, storage: Storage | None = None) -> None:
        """End the watches of one resource, or all."""
        for key, watchers in self.watchers.items():
            if storage is None or key == storage:
                for watcher in tuple(watchers):
                    watcher.close()

    def forget(self, storage: Storage) -> None:
        """Drop a resource that is no longer served."""
        self.close_watchers(storage)
        for held in (self.objects, self.history):
            held.pop(storage, None)
        self.dropped[storage] = self.version

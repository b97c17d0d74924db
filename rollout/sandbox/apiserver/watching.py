"""A watch over HTTP: a stream of JSON lines."""

import random
import time
from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from rollout.sandbox.apiserver import table
from rollout.sandbox.apiserver.negotiation import Wanted
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.store import Change, Store
from rollout.sandbox.apiserver.watches import Watch

BOOKMARK_SECONDS = 30.0
LAST_BOOKMARK_SECONDS = 2.0
_random = random.Random()
"""Of its own: the server may run in a thread beside tests that seed the module's and watch over it."""


def seconds_open(query: Mapping[str, str]) -> float:
    """How long a watch stays open."""
    asked = int(query.get("timeoutSeconds") or 0)
    return float(asked) if asked else _random.uniform(1800, 3600)


class Stream:
    """Writes the changes of a watch until it times out, is cut, or the server stops."""

    def __init__(self, store: Store, watch: Watch, wanted: Wanted, query: Mapping[str, str]) -> None:
        self.store = store
        self.watch = watch
        self.wanted = wanted
        self.bookmarks = query.get("allowWatchBookmarks") in {"true", "1"}
        self.include = query.get("includeObject", "Metadata")
        self.until = time.monotonic() + seconds_open(query)
        self.short = int(query.get("timeoutSeconds") or 0)
        self.headed = False

    async def run(self, response: web.StreamResponse) -> None:
        """Write until the end."""
        watch = self.watch
        await self._write(response, watch.initial)
        if watch.initial_end and self.bookmarks:
            await response.write(self._bookmark(watch.version, initial_end=True))
        await self._follow(response)

    async def _follow(self, response: web.StreamResponse) -> None:
        watcher = self.watch.watcher
        next_bookmark = self._next_bookmark()
        while not (watcher.closed and not watcher.queue):
            left = self.until - time.monotonic()
            if left <= 0:
                return
            wait = min(left, max(next_bookmark - time.monotonic(), 0.0)) if self.bookmarks else left
            changes = await watcher.take(wait)
            await self._write(response, changes)
            if self.bookmarks and time.monotonic() >= next_bookmark:
                if (version := self._quiet_version()) is not None:
                    await response.write(self._bookmark(version))
                next_bookmark = self._next_bookmark()

    def _quiet_version(self) -> int | None:
        """The store's version, unless changes up to it still wait to be written."""
        with self.store.lock:
            return None if self.watch.watcher.queue else self.store.version

    def _next_bookmark(self) -> float:
        """In half a minute, or shortly before the end where that is sooner and yet to come."""
        now = time.monotonic()
        last = self.until - LAST_BOOKMARK_SECONDS
        regular = now + BOOKMARK_SECONDS
        return min(regular, last) if last > now else regular

    async def _write(self, response: web.StreamResponse, changes: list[Change]) -> None:
        if changes:
            await response.write(b"".join(self._line(change) for change in changes))

    def _line(self, change: Change) -> bytes:
        served = self.watch.selection.served
        obj = served.outward(change.stored.obj)
        if not self.wanted.form:
            body = change.stored.json if obj is change.stored.obj else orjson.dumps(obj)
        else:
            body = orjson.dumps(self._formed(obj))
        return b'{"type":"' + change.type.encode() + b'","object":' + body + b"}\n"

    def _formed(self, obj: Object) -> Object:
        if self.wanted.form == "Table":
            return self._rows([obj], obj["metadata"]["resourceVersion"])
        return table.partial(obj, self.wanted.version)

    def _rows(self, objects: list[Object], version: str) -> Object:
        found = table.table(self.watch.selection.served, objects, {"resourceVersion": version}, self.include)
        if self.headed:
            found["columnDefinitions"] = None
        self.headed = True
        return found

    def _bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        served = self.watch.selection.served
        meta: Object = {"resourceVersion": str(version)}
        if served.custom is None:
            meta["creationTimestamp"] = None
        if initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: Object = {"kind": served.kind, "apiVersion": served.api_version, "metadata": meta}
        if self.wanted.form == "PartialObjectMetadata":
            obj = table.partial(obj, self.wanted.version)
        elif self.wanted.form == "Table":
            obj = self._rows([], str(version))
        return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"


Opened = Callable[[web.StreamResponse], None]


async def send(request: web.BaseRequest, stream: Stream, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer a watch request."""
    response = web.StreamResponse(headers={"Content-Type": stream.wanted.raw, **headers})
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        await stream.run(response)
        await response.write_eof()
    finally:
        stream.store.unsubscribe(stream.watch.selection.served.storage, stream.watch.watcher)
    return response

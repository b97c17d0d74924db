"""The way between an operator and the API server: where requests are counted, and come to grief."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import orjson
from aiohttp import web
from multidict import CIMultiDict

from rollout.kube.errors import Asked, Unavailable, refusal
from rollout.kube.transport import Request
from rollout.sandbox import clock
from rollout.sandbox.apiserver import paths, reads, watches
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.replies import refuse
from rollout.sandbox.apiserver.store import Change
from rollout.sandbox.apiserver.target import Target

from .cluster import OPERATOR, Cluster
from .faults import ERRORS, FREEZES, Kind
from .holding import Tenure, guard

LATENCY_S = (0.0005, 0.004)
WATCH_LATENCY_S = (0.001, 0.03)
"""From, to: who hears of what first is drawn anew for each seed."""
PATIENCE_S = 10.0
"""How long the operator waits for an answer."""
MANY_S = 1e9


@dataclass(slots=True)
class _Incoming:
    """What the API server's handler reads of an HTTP request."""

    method: str
    path: str
    query: dict[str, str]
    headers: CIMultiDict[str]
    body: bytes

    async def read(self) -> bytes:
        """The body."""
        return self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: HTTP status, headers, and what was told."""

    status: int
    headers: Any
    told: Any


Do = Callable[[float], Awaitable[Answer]]
"""Send it; it is done so many seconds later."""


class Wire:
    """One operator's connection; `Kube.over` takes it.

    `ails` is asked about each call before it is sent: what befalls it, and for how many seconds.
    """

    def __init__(
        self, cluster: Cluster, name: str, ails: Callable[["Wire", Asked], tuple[Kind, float] | None]
    ) -> None:
        self._cluster = cluster
        self.name = name
        self._ails = ails
        self._open: list[watches.Watch] = []
        self._going = asyncio.Event()
        self._going.set()
        self.dead = False
        self.tenure: Tenure | None = None
        """What it writes by; without one nothing keeps it from writing."""
        self.late_s = 0.0
        """By how much later than they happen this operator hears of changes."""
        self.on_death: Callable[[], object] = lambda: None
        self.on_freeze: Callable[[float], object] = lambda _seconds: None

    # What may happen to the operator as a whole

    def kill(self) -> None:
        """Nothing of it gets through any more."""
        self.dead = True
        for watch in self._open:
            self._cluster.api.store.unsubscribe(watch.selection.served.storage, watch.watcher)
        self.on_death()

    def freeze(self, seconds: float) -> None:
        """As SIGSTOP, and SIGCONT later: nothing moves in between."""
        self._going.clear()
        asyncio.get_running_loop().call_later(seconds, self._going.set)
        self.on_freeze(seconds)

    def cut_watches(self, *, gone: bool = False) -> None:
        """End its watches; with `gone`, each by the 410 that tells it to list again."""
        for watch in self._open:
            watch.watcher.overrun = gone
            watch.watcher.close()

    # What the operator does

    async def close(self) -> None:
        """There is nothing to close."""

    async def call(self, asked: Asked, request: Request) -> Any:
        """The decoded answer."""
        writes = request.writes and self.tenure is not None
        patience = min(PATIENCE_S, guard()) if writes else PATIENCE_S

        async def send(late_s: float) -> Answer:
            if writes:
                guard()  # as its bytes go out: what is on its way already can't be held back
            if late_s:
                await asyncio.sleep(late_s)
            return await self._serve(request)

        return (await self._exchange(asked, send, patience)).told

    async def lines(self, asked: Asked, request: Request, silence: float) -> AsyncGenerator[bytes, None]:
        """A watch."""
        watch: watches.Watch = (await self._exchange(asked, lambda _late_s: self._watch(request))).told
        self._open.append(watch)
        try:
            changes = watch.initial
            while True:
                for change in changes:
                    yield _line(watch, change)
                if watch.watcher.closed and not watch.watcher.queue:
                    break
                changes = await watch.watcher.take(None)
                await asyncio.sleep(random.uniform(*WATCH_LATENCY_S) + self.late_s)
                await self.alive()
            if watch.watcher.overrun:
                body = ApiError(410, "Expired", "too old resource version").body()
                yield orjson.dumps({"type": "ERROR", "object": body})
        finally:
            self._open = [each for each in self._open if each is not watch]
            self._cluster.api.store.unsubscribe(watch.selection.served.storage, watch.watcher)

    async def alive(self) -> None:
        """Wait while it is frozen."""
        await self._going.wait()
        if self.dead:
            raise asyncio.CancelledError

    async def _exchange(self, asked: Asked, do: Do, patience: float = PATIENCE_S) -> Answer:
        await self.alive()
        ailment = self._ails(self, asked)
        await asyncio.sleep(random.uniform(*LATENCY_S))
        await self.alive()
        answer = await (do(0.0) if ailment is None else self._suffer(asked, do, *ailment, patience))
        await asyncio.sleep(random.uniform(*LATENCY_S))
        await self.alive()
        if answer.status >= 400:
            raise refusal(asked, answer.status, answer.told, answer.headers, clock.now())
        return answer

    async def _suffer(self, asked: Asked, do: Do, kind: Kind, seconds: float, patience: float) -> Answer:
        match kind:
            case Kind.KILL_BEFORE | Kind.KILL_AFTER:
                if kind is Kind.KILL_AFTER:
                    await do(0.0)
                self.kill()
            case _ if kind in FREEZES:
                return await self._stopped(do, kind, seconds, patience)
            case Kind.DELAY:
                return await do(min(seconds, patience))
            case Kind.CUT_BEFORE:
                raise Unavailable(f"{asked}: ServerDisconnectedError")
            case Kind.CUT_AFTER:
                await do(0.0)
                raise Unavailable(f"{asked}: ServerDisconnectedError")
            case Kind.HANG_BEFORE | Kind.HANG_AFTER:
                if kind is Kind.HANG_AFTER:
                    await do(0.0)
                await asyncio.sleep(patience)
                raise Unavailable(f"{asked}: TimeoutError")
            case Kind.TWICE:
                with suppress(ApiError):
                    await do(0.0)
            case _ if kind in ERRORS:
                return _refused(kind)
        await self.alive()
        return await do(0.0)

    async def _stopped(self, do: Do, kind: Kind, seconds: float, patience: float) -> Answer:
        if kind is Kind.FREEZE_AFTER:
            answer = await do(0.0)
            self.freeze(seconds)
            return answer
        self.freeze(seconds)
        if kind is Kind.FREEZE_SENT:
            return await do(random.random() * min(seconds, patience))
        await self.alive()
        return await do(0.0)

    async def _serve(self, request: Request) -> Answer:
        self._cluster.writer = self.name
        try:
            return await serve(self._cluster, request)
        finally:
            self._cluster.writer = ""

    async def _watch(self, request: Request) -> Answer:
        named = paths.parse(request.path)
        assert named is not None
        api = self._cluster.api
        served = api.registry.get(named.resource)
        assert served is not None
        try:
            api.authorize(OPERATOR, "watch", Target(served, named.namespace, ""))
            selection = reads.select(served, named.namespace, request.query.get("labelSelector", ""), "")
            return Answer(200, {}, watches.open_watch(api.store, selection, dict(request.query)))
        except ApiError as error:
            return Answer(error.status, error.headers, error.body())


def _refused(kind: Kind) -> Answer:
    status = ERRORS[kind]
    error = ApiError(status, kind.name.title(), f"the {kind.name.lower()} of this schedule")
    if kind is Kind.INVALID:
        error.details = {"causes": [{"reason": "FieldValueInvalid", "message": "no", "field": "status"}]}
    if kind is Kind.BUSY:
        error.headers["Retry-After"] = "1"
    return Answer(status, error.headers, error.body())


def _line(watch: watches.Watch, change: Change) -> bytes:
    obj = watch.selection.served.outward(change.stored.obj)
    body = change.stored.json if obj is change.stored.obj else orjson.dumps(obj)
    return b'{"type":"' + change.type.encode() + b'","object":' + body + b"}"


async def serve(cluster: Cluster, request: Request) -> Answer:
    """Do a request as the operator's ServiceAccount, with what its roles grant."""
    body = b"" if request.body is None else orjson.dumps(request.body)
    headers = CIMultiDict({"Accept": "application/json", "Content-Type": request.content_type})
    query = {key: value for key, value in request.query.items() if value}
    incoming = _Incoming(request.method, request.path, query, headers, body)
    try:
        if request.method == "GET" and (there := _there(cluster, request.path)) is not None:
            return Answer(200, {}, orjson.loads(there))
        response = await cluster.handler.serve(cast("web.BaseRequest", incoming), OPERATOR)
    except ApiError as error:
        response = refuse(error)
    assert isinstance(response, web.Response)
    raw = response.body
    assert isinstance(raw, bytes)
    return Answer(response.status, response.headers, orjson.loads(raw) if raw else None)


@lru_cache(maxsize=1000)
def _named(path: str) -> paths.Named | None:
    return paths.parse(path)


def _there(cluster: Cluster, path: str) -> bytes | None:
    """An object that is there and may be read, as the handler gives it: most requests ask for no more."""
    named = _named(path)
    served = cluster.api.registry.get(named.resource) if named is not None else None
    if named is None or served is None or not named.name or named.subresource:
        return None
    target = Target(served, named.namespace, named.name)
    cluster.api.authorize(OPERATOR, "get", target)
    stored = cluster.api.store.get(served.storage, target.key)
    return stored.json if stored is not None else None

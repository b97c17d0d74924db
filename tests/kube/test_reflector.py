"""A cache that follows: through events, gaps, cuts and refusals."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from faulty import Faulty, faulty, refused

from rollout.api.base import Manifest
from rollout.kube import reflector
from rollout.kube.errors import Forbidden, Unavailable
from rollout.kube.kinds import SERVICES, Resource
from rollout.kube.reflector import Change, Reflector


def service(name: str, version: str, color: str = "", namespace: str = "shop") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version}, "color": color}


@dataclass
class World:
    """Services as a server has them, and what it does to those who watch."""

    held: list[dict[str, Any]] = field(default_factory=list)
    version: str = "10"
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Answers to the next requests, of whatever kind, before anything works."""
    lists: int = 0
    since: list[str] = field(default_factory=list)
    """The resourceVersion of each watch."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a watch begins or the cache changes."""
    slow: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to let the lists of one namespace through, which were made before."""
    _lines: "asyncio.Queue[dict[str, Any] | None]" = field(default_factory=asyncio.Queue)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.refusals:
            status, body = self.refusals.pop(0)
            return web.json_response(body, status=status)
        if "watch" not in request.query:
            self.lists += 1
            _, _, within = request.path.partition("/namespaces/")
            items = [
                each for each in self.held if within.split("/")[0] in ("", each["metadata"]["namespace"])
            ]
            if within:
                self.moved.set()
                await self.slow.wait()
            return web.json_response({"items": items, "metadata": {"resourceVersion": self.version}})
        self.since.append(request.query["resourceVersion"])
        self.moved.set()
        response = web.StreamResponse()
        await response.prepare(request)
        while (line := await self._lines.get()) is not None:
            await response.write(json.dumps(line).encode() + b"\n")
        return response

    def tell(self, kind: str, what: dict[str, Any]) -> None:
        self._lines.put_nowait({"type": kind, "object": what})

    def end_the_watch(self) -> None:
        self._lines.put_nowait(None)


@dataclass
class Followed:
    """A reflector at work."""

    server: Faulty
    cache: "Reflector[str]"
    changes: list[tuple[str, str | None, str | None]]
    troubles: list[Exception]


def color(manifest: Manifest) -> str:
    return str(manifest["color"])


@asynccontextmanager
async def following(world: World, **words: Any) -> AsyncIterator[Followed]:
    changes: list[tuple[str, str | None, str | None]] = []
    troubles: list[Exception] = []

    def changed(change: Change[str]) -> None:
        changes.append((f"{change.namespace}/{change.name}", change.before, change.after))
        world.moved.set()

    def troubled(_resource: Resource, error: Exception) -> None:
        troubles.append(error)

    async with asyncio.timeout(20), faulty(world.answer) as server:
        cache = Reflector(server.kube, SERVICES, color, on_change=changed, on_trouble=troubled, **words)
        task = asyncio.create_task(cache.run())
        try:
            yield Followed(server, cache, changes, troubles)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(world: World, holds: Callable[[], object]) -> None:
    while not holds():
        world.moved.clear()
        await world.moved.wait()


async def test_a_list_fills_the_cache_and_says_so() -> None:
    world = World([service("a", "8", "red"), service("b", "9", "blue", "other")])
    async with following(world) as followed:
        await followed.cache.ready(5)
        assert followed.cache.get("shop", "a") == "red"
        assert followed.cache.get("shop", "b") is None
        assert followed.cache.list("other") == ("blue",)
        assert sorted(followed.cache.list()) == ["blue", "red"]
        assert followed.changes == [("shop/a", None, "red"), ("other/b", None, "blue")]


async def test_events_are_followed_and_a_change_that_the_projection_hides_wakes_nobody() -> None:
    world = World([service("a", "8", "red")])
    async with following(world) as followed:
        world.tell("ADDED", service("b", "11", "blue"))
        world.tell("MODIFIED", service("a", "12", "red"))
        world.tell("MODIFIED", service("a", "13", "green"))
        world.tell("DELETED", service("b", "14", "blue"))
        await until(world, lambda: followed.changes[-1:] == [("shop/b", "blue", None)])
        assert followed.changes[1:] == [
            ("shop/b", None, "blue"),
            ("shop/a", "red", "green"),
            ("shop/b", "blue", None),
        ]
        assert followed.cache.list() == ("green",)
        assert followed.cache.get("shop", "b") is None


async def test_a_watch_that_ends_is_taken_up_where_it_ended_and_bookmarks_move_that_on() -> None:
    world = World([])
    async with following(world) as followed:
        world.tell("ADDED", service("a", "11", "red"))
        world.tell("BOOKMARK", {"metadata": {"resourceVersion": "40"}})
        world.end_the_watch()
        await until(world, lambda: len(world.since) == 2)
        assert world.since == ["10", "40"]
        assert world.lists == 1
        assert followed.troubles == []


async def test_after_a_410_it_lists_again_and_forgets_what_vanished_in_the_gap() -> None:
    world = World([service("a", "8", "red"), service("b", "9", "blue")])
    async with following(world) as followed:
        await followed.cache.ready(5)
        world.held, world.version = [service("b", "19", "green"), service("c", "20", "grey")], "20"
        world.tell("ERROR", refused(410, "Expired"))
        await until(world, lambda: len(followed.changes) == 5)
        assert followed.changes[2:] == [
            ("shop/b", "blue", "green"),
            ("shop/c", None, "grey"),
            ("shop/a", "red", None),
        ]
        await until(world, lambda: len(world.since) == 2)
        assert world.since[-1] == "20"


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param((500, refused(500, "InternalError")), id="a broken server"),
        pytest.param((429, refused(429, "TooManyRequests", retryAfterSeconds=0)), id="a busy server"),
        pytest.param((403, refused(403, "Forbidden")), id="a right that comes later"),
        pytest.param((404, {"kind": "Status", "code": 404, "details": {}}), id="a CRD that comes later"),
    ],
)
async def test_a_refusal_is_waited_out(
    refusal: tuple[int, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "FIRST_WAIT", 0.01)
    world = World([service("a", "8", "red")], refusals=[refusal] * 3)
    async with following(world) as followed:
        await followed.cache.ready(15)
        assert followed.cache.list() == ("red",)
        assert len(followed.troubles) == 3
        assert followed.cache.trouble is None


async def test_who_waits_for_a_cache_that_can_not_be_filled_learns_why() -> None:
    world = World(refusals=[(403, refused(403, "Forbidden", "no"))] * 100)
    async with following(world) as followed:
        with pytest.raises(Forbidden, match=r"grant our .* 'list' on 'services' in the whole cluster"):
            await followed.cache.ready(0.5)


async def test_who_waits_for_a_server_that_says_nothing_learns_that() -> None:
    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with faulty(silent) as server:
        cache = Reflector(server.kube, SERVICES, color)
        task = asyncio.create_task(cache.run())
        with pytest.raises(Unavailable, match="no answer"):
            await cache.ready(0.1)
        task.cancel()


async def test_a_server_that_refuses_or_ends_every_watch_at_once_is_not_hammered() -> None:
    world = World([], refusals=[])

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return await world.answer(request)
        world.since.append(request.query["resourceVersion"])
        if len(world.since) % 2:
            return web.Response()
        return web.json_response(refused(410, "Expired"), status=410)

    async with faulty(answer) as server:
        cache = Reflector(server.kube, SERVICES, color)
        task = asyncio.create_task(cache.run())
        await cache.ready(5)
        await asyncio.wait([task], timeout=1.0)
        assert 1 <= len(world.since) < 12
        task.cancel()


async def test_an_index_finds_what_a_scan_would() -> None:
    world = World([service("a", "7", "red"), service("b", "8", "red"), service("c", "9", "red", "other")])
    async with following(world, index=str) as followed:
        await followed.cache.ready(5)
        assert followed.cache.find("shop", "red") == ("red", "red")
        world.tell("MODIFIED", service("a", "11", "blue"))
        world.tell("DELETED", service("b", "12", "red"))
        await until(world, lambda: len(followed.changes) == 5)
        assert followed.cache.find("shop", "red") == ()
        assert followed.cache.find("shop", "blue") == ("blue",)
        assert followed.cache.find("other", "red") == ("red",)


async def test_of_all_namespaces_it_keeps_those_that_were_included() -> None:
    world = World([service("a", "7", "red"), service("b", "8", "blue", "other")])
    world.slow.set()
    async with following(world, chosen=True) as followed:
        await followed.cache.ready(5)
        assert followed.cache.list() == ()
        await followed.cache.include("shop")
        assert followed.cache.list() == ("red",)
        world.tell("ADDED", service("c", "11", "green"))
        world.tell("ADDED", service("d", "12", "black", "other"))
        await until(world, lambda: followed.cache.get("shop", "c"))
        assert followed.cache.list("other") == ()
        followed.cache.leave("shop")
        assert followed.cache.list() == ()
        assert world.since == ["10"], "one watch is all it takes"


async def test_what_changed_while_a_namespace_was_listed_is_not_taken_back() -> None:
    world = World([service("a", "7", "red"), service("b", "8", "red"), service("c", "9", "red")])
    async with following(world, chosen=True) as followed:
        await followed.cache.ready(5)
        including = asyncio.create_task(followed.cache.include("shop"))
        await until(world, lambda: world.lists == 2)
        world.tell("MODIFIED", service("a", "11", "blue"))
        world.tell("DELETED", service("b", "12", "red"))
        world.tell("ADDED", service("d", "13", "green"))
        await until(world, lambda: followed.cache.get("shop", "d"))
        world.slow.set()
        await including
        held = {name: followed.cache.get("shop", name) for name in "abcd"}
        assert held == {"a": "blue", "b": None, "c": "red", "d": "green"}


async def test_a_namespace_that_could_not_be_listed_is_listed_when_it_is_asked_for_again() -> None:
    world = World([service("a", "7", "red")])
    world.slow.set()
    async with following(world, chosen=True) as followed:
        await followed.cache.ready(5)
        await until(world, lambda: world.since)
        world.refusals.append((503, refused(503, "ServiceUnavailable")))
        with pytest.raises(Unavailable):
            await followed.cache.include("shop")
        await followed.cache.include("shop")
        assert followed.cache.list() == ("red",)

"""No write goes out that the guard does not let pass: not at once, not late, and not a second time."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from faulty import Faulty, always, configuration, faulty

from rollout.kube.client import Kube
from rollout.kube.errors import NotLeading, Unavailable
from rollout.kube.kinds import ROLLOUTS, SERVICES

BODY = {"metadata": {"name": "a", "namespace": "shop", "resourceVersion": "1"}}
Write = Callable[[Kube], Coroutine[Any, Any, object]]
WRITES: dict[str, Write] = {
    "create": lambda kube: kube.create(SERVICES, BODY),
    "replace the status": lambda kube: kube.replace_status(ROLLOUTS, BODY),
    "patch by operations": lambda kube: kube.json_patch(SERVICES, "shop", "a", [{"op": "remove"}]),
    "patch by a merge": lambda kube: kube.merge_patch(SERVICES, "shop", "a", {}),
    "apply": lambda kube: kube.apply(SERVICES, BODY, manager="git"),
    "delete": lambda kube: kube.delete(SERVICES, "shop", "a"),
}


class Times:
    """A guard that lets a write pass so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> float:
        self.left -= 1
        if self.left < 0:
            raise NotLeading("somebody else leads")
        return 60.0


def written(server: Faulty) -> list[str]:
    return [each.method for each in server.sent if each.method != "GET"]


@pytest.mark.parametrize("name", sorted(WRITES))
@pytest.mark.parametrize(
    "times", [pytest.param(0, id="lost before"), pytest.param(1, id="lost on the way to the socket")]
)
async def test_who_does_not_lead_reads_and_writes_nothing(name: str, times: int) -> None:
    async with faulty(always(200, BODY), guard=Times(times)) as server:
        with pytest.raises(NotLeading):
            await WRITES[name](server.kube)
        await server.kube.get(SERVICES, "shop", "a")
        assert written(server) == []
        assert len(server.sent) == 1


@pytest.mark.parametrize("name", sorted(WRITES))
async def test_who_leads_writes(name: str) -> None:
    async with faulty(always(200, BODY), guard=Times(2)) as server:
        await WRITES[name](server.kube)
        assert len(written(server)) == 1


@pytest.mark.parametrize("name", ["replace the status", "delete"])
async def test_a_write_is_not_sent_again_on_a_new_connection_after_the_lead_is_lost(name: str) -> None:
    heard: list[bytes] = []
    connections: list[asyncio.Task[Any] | None] = []

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of a connection, and hang up at the next."""
        connections.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with Kube(configuration(port), seconds=5.0, guard=Times(2)) as kube:
            await kube.get(SERVICES, "shop", "a")
            with pytest.raises(NotLeading):
                await WRITES[name](kube)
        await asyncio.gather(*(each for each in connections if each is not None))
    methods = [each.split()[0] for each in heard]
    assert methods[0] == b"GET"
    assert len(methods) == 2


async def test_the_server_is_told_how_long_a_write_may_take() -> None:
    async with faulty(always(200, BODY), guard=lambda: 4.5) as server:
        await server.kube.delete(SERVICES, "shop", "a")
        await server.kube.get(SERVICES, "shop", "a")
        assert [each.query.get("timeout") for each in server.sent] == ["4500ms", None]


async def test_a_write_is_given_up_when_the_time_that_is_left_is_over() -> None:
    async def hangs(_request: Any) -> Any:
        await asyncio.sleep(60)

    async with faulty(hangs, seconds=60.0, guard=lambda: 0.05) as server:
        with pytest.raises(Unavailable):
            await WRITES["create"](server.kube)

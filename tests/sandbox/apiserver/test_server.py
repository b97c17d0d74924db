"""Starting, stopping and what is kept in between."""

import asyncio
import logging
import ssl

import aiohttp
import pytest

from rollout.sandbox.apiserver.core import EVENTS, MOST_EVENTS
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, NAMESPACES, Resource
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.apiserver.store import HISTORY


async def test_a_server_with_open_watches_stops_at_once():
    server = ApiServer()
    await server.start()
    client = server.client()

    async def follow():
        return [event async for event in client.watch(NAMESPACES)]

    watches = [asyncio.create_task(follow()) for _ in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await server.stop()
        seen = await asyncio.gather(*watches)
    assert {len(events) for events in seen} == {4}


async def test_history_is_a_window_and_a_watch_from_before_it_is_gone():
    server = ApiServer()
    client = server.client()
    first = await client.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}})
    for count in range(HISTORY + 1):
        await client.patch(CONFIG_MAPS, "default", "a", {"data": {"count": str(count)}})
    assert len(server.api.store.history["", "configmaps"]) == HISTORY
    stale = client.watch(CONFIG_MAPS, since=first["metadata"]["resourceVersion"])
    with pytest.raises(ApiError, match="too old resource version") as refused:
        await anext(aiter(stale))
    assert refused.value.status == 410


async def test_old_events_are_forgotten():
    server = ApiServer()
    client = server.client()
    about = {"kind": "ConfigMap", "name": "a", "namespace": "default"}
    for _ in range(MOST_EVENTS + 1):
        body = {"metadata": {"generateName": "e."}, "involvedObject": about, "reason": "R", "type": "Normal"}
        await client.create(Resource("", "v1", "events"), "default", body)
    assert len(server.api.store.objects[EVENTS]) <= MOST_EVENTS


WATCH = "/api/v1/namespaces/default/configmaps?watch=true"


def asking(server: ApiServer, path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.admin_token}\r\n\r\n"
    return head.encode()


async def test_a_client_that_goes_in_the_middle_of_a_watch_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ApiServer() as server:
        client = server.client()
        trust = ssl.create_default_context(cadata=server.ca_pem)
        for turn in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust)
            writer.write(asking(server, WATCH))
            await reader.readuntil(b"\r\n\r\n")
            writer.close()  # the server hears of it at some time during the following writes
            for count in range(20):
                await client.create(CONFIG_MAPS, "default", {"metadata": {"name": f"a{turn}-{count}"}})
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while server.api.store.watchers["", "configmaps"]:
                await asyncio.sleep(0.01)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_connection_that_is_cut_on_purpose_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def cut(_: Request) -> Fault:
        return Fault(cut=True)

    async with ApiServer() as server:
        server.fault = cut
        trust = ssl.create_default_context(cadata=server.ca_pem)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"{server.url}/api/v1/namespaces", json={})
        assert [entry.status for entry in server.requests.entries] == [0], "nobody was answered"
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []

"""Starting, stopping and what is kept in between."""

import asyncio

import pytest

from rollout.sandbox.apiserver.core import EVENTS, MOST_EVENTS
from rollout.sandbox.apiserver.errors import ApiError
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

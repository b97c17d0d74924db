"""What is followed where: a few namespaces one at a time, many by one watch a kind, others not at all."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rollout.api.crd import all_crds
from rollout.kube.client import Kube
from rollout.kube.login import login
from rollout.observe.caches import NARROW, Caches
from rollout.sandbox import dataplane, manifests
from rollout.sandbox.apiserver.resource import SERVICES
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.apiserver.threaded import ThreadedServer


class World:
    """A server with a Service in each of many namespaces, and how it is followed."""

    def __init__(self, server: ApiServer, caches: Caches) -> None:
        self.server = server
        self.caches = caches

    async def touch(self, namespace: str, **selector: str) -> None:
        body = {"spec": {"selector": selector}}
        await self.server.client().patch(SERVICES, namespace, "web", body)

    def watches(self) -> int:
        """Of Services, open now."""
        return len(self.server.api.store.watchers.get(("", "services"), ()))


@asynccontextmanager
async def following(home: Path, namespaces: int) -> AsyncIterator[World]:
    with ThreadedServer() as running:
        running.run(_filled(running.server, namespaces))
        (home / "kubeconfig").write_text(running.server.kubeconfig())
        async with asyncio.timeout(60), Kube(await login(str(home / "kubeconfig"))) as kube:
            caches = Caches(kube, None, lambda _change: None)
            task = asyncio.create_task(caches.run())
            await caches.synced()
            try:
                yield World(running.server, caches)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _filled(server: ApiServer, namespaces: int) -> None:
    objects: list[dict[str, Any]] = [*dataplane.crds(), *all_crds().values()]
    for number in range(namespaces):
        name = name_of(number)
        objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        meta = {"name": "web", "namespace": name}
        objects.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    await manifests.apply(server.client(), objects)


def name_of(number: int) -> str:
    return f"ns-{number:02}"


async def until(holds: Any) -> None:
    while not holds():
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("used", [1, NARROW], ids=str)
async def test_few_namespaces_are_followed_one_at_a_time(tmp_path: Path, used: int) -> None:
    async with following(tmp_path, NARROW + 1) as world:
        for number in range(used):
            around = await world.caches.of(name_of(number))
            assert around.services.get(name_of(number), "web") is not None
        await until(lambda: world.watches() == used)


async def test_many_namespaces_share_one_watch_and_nothing_else_is_kept(tmp_path: Path) -> None:
    used, strange = NARROW + 3, name_of(NARROW + 3)
    async with following(tmp_path, NARROW + 4) as world:
        for number in range(used):
            around = await world.caches.of(name_of(number))
            assert around.services.get(name_of(number), "web") is not None, "seen from the first turn on"
        await until(lambda: world.watches() == 1)
        for number in range(used):
            around = await world.caches.of(name_of(number))
            assert around.services.get(name_of(number), "web") is not None
        assert Counter(each["metadata"]["namespace"] for each in around.services.list())[strange] == 0
        await world.touch(strange, app="other")
        await world.touch(name_of(0), app="other")
        await until(lambda: _selector(around, name_of(0)) == {"app": "other"})
        assert around.services.list(strange) == ()


async def test_a_namespace_without_rollouts_is_let_go(tmp_path: Path) -> None:
    async with following(tmp_path, NARROW + 3) as world:
        await world.caches.of(name_of(0))
        await until(lambda: world.watches() == 1)
        world.caches.leave(name_of(0))
        await until(lambda: world.watches() == 0)
        for number in range(NARROW + 2):
            around = await world.caches.of(name_of(number))
        await until(lambda: world.watches() == 1)
        world.caches.leave(name_of(1))
        around = await world.caches.of(name_of(2))
        assert around.services.list(name_of(1)) == ()
        around = await world.caches.of(name_of(1))
        assert around.services.get(name_of(1), "web") is not None, "and is taken up again"


def _selector(around: Any, namespace: str) -> Any:
    return around.services.get(namespace, "web")["spec"]["selector"]

"""A cluster that holds a fleet, as a process of its own: `python -m benchmarks.fleet.world HOME N M URL`.

The embedded API server with N Rollouts under way and M healthy ones, multiplied from a namespace that was
played for real (`mother.json` in HOME); their metrics name the Prometheus at URL. Nothing moves but what the
operator writes. It prints a line when it is ready, and answers `stats`.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path

from benchmarks.fleet import shops
from benchmarks.fleet.mother import CAPTURED, NAMESPACE, ROLLOUTS, RUNS, SIZE, Mother, name_of, target_line
from benchmarks.fleet.shops import Manifest
from rollout.api.crd import all_crds
from rollout.demo.operator_process import SERVICE_ACCOUNT, rights
from rollout.sandbox import dataplane, manifests
from rollout.sandbox.apiserver.requests import Request
from rollout.sandbox.apiserver.resource import NAMESPACES
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.apiserver.tokens import service_account

_UID = re.compile(r'"[0-9a-f]{8}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"')


def multiplied(objects: list[Manifest], number: int, rollouts: int) -> list[Manifest]:
    """The first Rollouts of the mother's objects and what is theirs, as they are in namespace `number`."""
    names = tuple(name_of(index) for index in range(rollouts))
    chosen = [each for each in objects if each["metadata"]["name"].startswith((*names, shops.TEMPLATE))]
    text = json.dumps(chosen).replace(NAMESPACE, f"fleet-{number:05}")
    found: list[Manifest] = json.loads(_UID.sub(rf'"{number:08x}\1"', text))
    return found


class World:
    """The server and what was asked of it."""

    def __init__(self, server: ApiServer, prometheus: str) -> None:
        self.server = server
        self._prometheus = prometheus
        self.asked: Counter[str] = Counter()
        server.fault = self._count

    async def _count(self, request: Request) -> None:
        if request.query.get("watch"):
            kind = "watches"
        else:
            parts = request.path.split("/")
            named = next((part for part in ("analysisruns", "rollouts") if part in parts), "other")
            kind = f"{'writes' if request.writes else 'reads'} {named}"
        self.asked[kind] += 1

    async def fill(self, mother: Mother, under_way: int, healthy: int) -> list[str]:
        """Put the fleet there; the scraped pods."""
        targets: list[str] = []
        number = 0
        for played, count in ((mother.under_way, under_way), (mother.healthy, healthy)):
            text = json.dumps(played).replace(mother.prometheus, self._prometheus)
            source: dict[str, list[Manifest]] = json.loads(text)
            for first in range(0, count, SIZE):
                number += 1
                await self._namespace(number)
                pods = self._put(source, number, min(SIZE, count - first))
                targets += map(target_line, pods)
        return targets

    async def _namespace(self, number: int) -> None:
        client = self.server.client(manager="fleet")
        await client.create(NAMESPACES, None, shops.namespace(f"fleet-{number:05}"))

    def _put(self, source: dict[str, list[Manifest]], number: int, rollouts: int) -> list[Manifest]:
        api, pods = self.server.api, []
        for resource in CAPTURED:
            storage = api.served(resource).storage
            for each in multiplied(source[resource.plural], number, rollouts):
                meta = each["metadata"]
                api.store.put(storage, (meta["namespace"], meta["name"]), each)
                if resource.plural == "pods":
                    pods.append(each)
        return pods

    def stats(self) -> dict[str, int]:
        """Requests by kind, and the size of what is written most."""
        sizes = {}
        for resource, name in ((RUNS, "checkpoint bytes"), (ROLLOUTS, "status bytes")):
            held = self.server.api.store.objects.get(resource.storage, {})
            newest = max(held.values(), key=lambda stored: stored.version, default=None)
            sizes[name] = len(json.dumps(newest.obj.get("status") or {})) if newest else 0
        return {**self.asked, **sizes}


async def serve(home: Path, under_way: int, healthy: int, prometheus: str) -> None:
    """Serve until stdin ends."""
    async with ApiServer() as server:
        world = World(server, prometheus)
        client = server.client(manager="fleet")
        await manifests.apply(client, [*dataplane.crds(), *all_crds().values(), *rights()])
        targets = await world.fill(Mother.read(home / "mother.json"), under_way, healthy)
        (home / "targets").write_text("".join(targets))
        token = server.api.tokens.issue(service_account(*SERVICE_ACCOUNT))
        (home / "kubeconfig").write_text(server.kubeconfig(token))
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(world.stats()), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))

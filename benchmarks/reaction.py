"""How long users feel a bad version, on a real proxy and a real Prometheus; the operator is a process."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.fleet import shops
from benchmarks.fleet.processes import Operator, stopping
from rollout.api.crd import all_crds
from rollout.demo.operator_process import SERVICE_ACCOUNT, rights
from rollout.sandbox.apiserver.local import JSON_PATCH
from rollout.sandbox.apiserver.resource import Resource
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.shop.load import Load

RATE = 200.0
"""Requests a second to each shop."""
LONGEST_S = 3000.0
PATIENCE_S = 120.0
LOOK_S = 0.02
NAME = "shop"
BAD = ({"setWeight": 50}, {"judge": {"minDuration": "1s", "maxDuration": "5m"}})
PAUSED = ({"setWeight": 50}, {"pause": {}})
ROLLOUTS = Resource("progressive.delivery", "v1alpha1", "rollouts")
ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
SIDES = 2
"""Shops of each kind, side by side."""
Say = Callable[[str], None]
Row = dict[str, Any]


def rows(say: Say, home: Path, times: int) -> Iterator[Row]:
    """Rollbacks by evidence and aborts by hand, `times` each."""
    folder = home / "reaction"
    folder.mkdir()
    with Sandbox(folder=folder) as sandbox:
        sandbox.submit(sandbox.load([*all_crds().values(), *rights()])).result()
        account = sandbox.kubeconfig_for(*SERVICE_ACCOUNT)
        operator = Operator(home, account, sandbox.prometheus_url)
        with stopping(operator):
            operator.wait()
            found = sandbox.submit(_all(sandbox, say, times)).result()
    yield _row("from the deciding scrape to the canary's last answer at the proxy", found[0])
    yield _row("from the abort annotation to weight zero in the route", found[1])


async def _all(sandbox: Sandbox, say: Say, times: int) -> tuple[list[float], list[float]]:
    each = -(-times // SIDES)
    rollbacks = [_rollbacks(sandbox, f"bad-{side}", say, each) for side in range(SIDES)]
    aborts = [_aborts(sandbox, f"paused-{side}", say, each) for side in range(SIDES)]
    found = await asyncio.gather(*rollbacks, *aborts)
    return list(chain(*found[:SIDES])), list(chain(*found[SIDES:]))


async def _rollbacks(sandbox: Sandbox, namespace: str, say: Say, times: int) -> list[float]:
    shop = Shop(sandbox, namespace)
    await shop.open(BAD)
    found: list[float] = []
    async with Load(sandbox.proxy_url, host=f"{namespace}.local", rate=RATE, seconds=LONGEST_S) as load:
        await shop.until(lambda: load.report.requests("v1") > RATE)
        for number in range(times):
            tag = f"v{number + 2}-6pct"
            await shop.set_image(f"shop:{tag}")
            entry = await shop.verdict(f"shop:{tag}")
            assert entry["verdict"] == "RolledBack", entry
            await load.next_report()
            await load.next_report()
            decided = datetime.fromisoformat(entry["decidedAt"]).timestamp()
            found.append(load.report.last[tag] - decided)
            say(f"{namespace}: rollback {number + 1} of {times}: {found[-1]:.2f} s")
    return found


async def _aborts(sandbox: Sandbox, namespace: str, say: Say, times: int) -> list[float]:
    shop = Shop(sandbox, namespace)
    await shop.open(PAUSED)
    found: list[float] = []
    for number in range(times):
        image = f"shop:v{number + 2}"
        await shop.set_image(image)
        await shop.until(lambda: shop.paused)
        began = time.monotonic()
        await shop.abort()
        await shop.returned()
        found.append(time.monotonic() - began)
        await shop.verdict(image)
        say(f"{namespace}: abort {number + 1} of {times}: {found[-1]:.2f} s")
    return found


class Shop:
    """One Rollout in a namespace of its own; all of it in the sandbox's loop."""

    def __init__(self, sandbox: Sandbox, namespace: str) -> None:
        self._sandbox = sandbox
        self._client = sandbox.client
        self._namespace = namespace
        self._status: dict[str, Any] = {}

    async def open(self, steps: tuple[shops.Manifest, ...]) -> None:
        """The first version, healthy."""
        objects = [shops.namespace(self._namespace), shops.template(self._sandbox.prometheus_url, "1s")]
        for each in (*objects, *shops.shop(NAME, "shop:v1", steps)):
            if each["kind"] == "HTTPRoute":
                each["spec"]["hostnames"] = [f"{self._namespace}.local"]
            if each["kind"] == "AnalysisTemplate":
                del each["spec"]["metrics"][1:]  # the shop's users see errors; its buckets are others
            if each["kind"] != "Namespace":
                each["metadata"]["namespace"] = self._namespace
            await self._sandbox.load([each])
        await self.until(lambda: self._status.get("phase") == "Healthy")

    async def set_image(self, image: str) -> None:
        path = "/spec/template/spec/containers/0/image"
        patch = [{"op": "replace", "path": path, "value": image}]
        await self._client.patch(ROLLOUTS, self._namespace, NAME, patch, content_type=JSON_PATCH)

    async def abort(self) -> None:
        """What `kubectl annotate` does."""
        body = {"metadata": {"annotations": {"progressive.delivery/abort": "a benchmark"}}}
        await self._client.patch(ROLLOUTS, self._namespace, NAME, body)

    @property
    def paused(self) -> bool:
        return self._status.get("phase") == "Paused"

    async def returned(self) -> None:
        """Wait until the route gives the canary nothing."""
        refs: list[dict[str, Any]] = []
        while not any(ref["name"].endswith("-canary") and ref.get("weight") == 0 for ref in refs):
            await asyncio.sleep(LOOK_S / 2)
            route = await self._client.get(ROUTES, self._namespace, NAME)
            refs = route["spec"]["rules"][0]["backendRefs"]

    async def verdict(self, image: str) -> dict[str, Any]:
        """Wait for the end of a version; its entry in the history."""

        def ended() -> Any:
            entries = (each for each in self._status.get("history") or () if each.get("version") == image)
            return self._status.get("stage") in ("Stable", "Refused") and next(entries, None)

        found: dict[str, Any] = await self.until(ended)
        return found

    async def until(self, holds: Callable[[], Any]) -> Any:
        """Wait for something that the status or the users tell."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                rollout = await self._client.get(ROLLOUTS, self._namespace, NAME)
                self._status = rollout.get("status") or {}
                current = self._status.get("observedGeneration") == rollout["metadata"]["generation"]
                if current and (found := holds()):
                    return found
                await asyncio.sleep(LOOK_S)


def _row(what: str, seconds: list[float]) -> Row:
    ordered = sorted(seconds)
    return {
        "what": what,
        "median s": statistics.median(ordered),
        "95 % s": ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)],
        "longest s": ordered[-1],
        "times": len(ordered),
    }

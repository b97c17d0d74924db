"""A Rollout that was played, multiplied: many of them in one namespace of a server on which nothing moves."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import manifests
from manifests import JUDGED, Manifest
from prometheus_fake import FakePrometheus, Target
from stage import ROLLOUTS, ROUTES, RUNS, TEMPLATES, Shop

from analysis.sources.batching import BatchingSource
from analysis.sources.prometheus import PrometheusSource
from rollout.api.crd import all_crds
from rollout.api.identity import attempt_key
from rollout.api.rollout import parse_rollout
from rollout.execute import Executor
from rollout.kube.client import Kube
from rollout.kube.login import login
from rollout.measure import Measurer
from rollout.observe.caches import Caches
from rollout.observe.observer import Observer
from rollout.reconcile import Reconciler
from rollout.sandbox import dataplane
from rollout.sandbox import manifests as yaml_manifests
from rollout.sandbox.apiserver.requests import Request
from rollout.sandbox.apiserver.resource import ENDPOINT_SLICES, PODS, REPLICA_SETS, SERVICES
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.apiserver.threaded import ThreadedServer
from rollout.telemetry import Metrics

MOTHER = "mother-x"
"""The name of the one that is played; that of every other takes its place wherever it stands."""
KINDS = (TEMPLATES, SERVICES, ROUTES, ROLLOUTS, REPLICA_SETS, PODS, ENDPOINT_SLICES, RUNS)
HOLD = ({"setWeight": 50}, {"judge": {"minDuration": "6h", "maxDuration": "6h"}})
LATER = timedelta(seconds=10)
"""After the mother's last look, so that there is something new to see."""
_UID = re.compile(r'"[0-9a-f]{8}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"')

Objects = dict[str, list[Manifest]]
"""By plural name."""


async def played(shop: Shop) -> Objects:
    """All objects of a Rollout that is judged, and goes on being judged."""
    strategy = {"stableService": f"{MOTHER}-stable", "canaryService": f"{MOTHER}-canary"}
    routing = {"trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": MOTHER}]}}}
    rollout = manifests.rollout(steps=HOLD, canary={**JUDGED, **strategy, **routing})
    rollout["metadata"]["name"] = MOTHER
    route = manifests.route(*strategy.values())
    route["metadata"]["name"] = MOTHER
    services = [manifests.service(name) for name in strategy.values()]
    await shop.apply(*services, route, manifests.errors(shop.prometheus.url), rollout)
    await shop.rollout_is(MOTHER, lambda status: status.get("phase") == "Healthy")
    image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop:v2"}
    await shop.patch(ROLLOUTS, MOTHER, [image])
    await shop.rollout_is(MOTHER, _judged)
    return {resource.plural: list(await shop.every(resource)) for resource in KINDS}


def _judged(status: Manifest) -> bool:
    return any(each.get("canary", {}).get("total") for each in status.get("evidence") or ())


def multiplied(mother: Objects, number: int) -> Objects:
    """The same under another name, with uids of its own, its attempt key as that name makes it."""
    text = _UID.sub(rf'"{number:08x}\1"', json.dumps(mother)).replace(MOTHER, name_of(number))
    objects: Objects = json.loads(text)
    (rollout,) = objects["rollouts"]
    old, new = rollout["status"]["attempt"], attempt_key(parse_rollout(rollout).spec)
    again: Objects = json.loads(text.replace(old, new).replace(f"-{old[:8]}-", f"-{new[:8]}-"))
    return again


def name_of(number: int) -> str:
    return f"web-{number:04}"


@dataclass(slots=True)
class Time:
    """What the operator's clock shows."""

    now: datetime


@dataclass(frozen=True, slots=True)
class Fleet:
    """The parts of an operator beside many Rollouts, in a time of their own."""

    namespace: str
    size: int
    reconciler: Reconciler
    prometheus: FakePrometheus
    time: Time
    requests: list[Request] = field(default_factory=list)

    async def turn(self, number: int) -> None:
        await self.reconciler.turn(self.namespace, name_of(number))


@asynccontextmanager
async def fleet(mother: Objects, url: str, size: int, home: Path) -> AsyncIterator[Fleet]:
    """`size` Rollouts; `url` is of the Prometheus that the mother's metrics name."""
    namespace = mother["rollouts"][0]["metadata"]["namespace"]
    targets: list[Target] = []

    async def scraped() -> Sequence[Target]:
        return targets

    prometheus = FakePrometheus(scraped)
    await prometheus.start()
    source = PrometheusSource(prometheus.url)
    with ThreadedServer() as running:
        running.run(_definitions(running.server, namespace))
        text = json.dumps(mother).replace(url, prometheus.url)
        for number in range(size):
            objects = multiplied(json.loads(text), number)
            targets += map(_target, objects["pods"])
            _put(running.server, objects)
        (home / f"kubeconfig-{size}").write_text(running.server.kubeconfig())
        configuration = await login(str(home / f"kubeconfig-{size}"))
        async with Kube(configuration) as kube, _followed(kube) as caches:
            shared = BatchingSource(source)
            measurer = Measurer(lambda _: shared, timedelta(0))
            time = Time(datetime.now(UTC) + LATER)
            observer = Observer(kube, caches, timedelta(0), lambda: time.now)
            executor = Executor(kube, measurer, Metrics())
            reconciler = Reconciler(kube, observer, measurer, executor)
            found = Fleet(namespace, size, reconciler, prometheus, time)
            running.server.fault = _noting(found.requests)
            yield found
    source.close()
    await prometheus.stop()


@asynccontextmanager
async def _followed(kube: Kube) -> AsyncIterator[Caches]:
    caches = Caches(kube, None, lambda _change: None)
    task = asyncio.create_task(caches.run())
    await caches.synced()
    try:
        yield caches
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _definitions(server: ApiServer, namespace: str) -> None:
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await yaml_manifests.apply(server.client(), [*dataplane.crds(), *all_crds().values(), home])


def _put(server: ApiServer, objects: Objects) -> None:
    with server.api.lock:
        for resource in KINDS:
            for each in objects[resource.plural]:
                meta = each["metadata"]
                storage = server.api.served(resource).storage
                server.api.store.put(storage, (meta["namespace"], meta["name"]), each)


def _target(pod: Manifest) -> Target:
    meta = pod["metadata"]
    began = datetime.fromisoformat(meta["creationTimestamp"]).timestamp()
    return Target(meta["namespace"], meta["name"], began)


def _noting(requests: list[Request]) -> Any:
    async def note(request: Request) -> None:
        if not request.query.get("watch"):
            requests.append(request)

    return note

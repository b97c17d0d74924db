"""Two operators share the shards: what a lost one worked on is served again within the time of a lease, and
what two of them write together stays whole.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import manifests
import pytest
import pytest_asyncio
from chronicle import Chronicle
from home import ROLLOUT, TRAFFIC
from manifests import CANARY, NAME, Manifest
from prometheus_fake import FakePrometheus
from replicas import Replica, Replicas, replicas, unique
from repository import Repository, git_source, text
from stage import ROLLOUTS, ROUTES, Shop, install, prometheus, until

from rollout.api.status import Phase
from rollout.observe.reading import read_status
from rollout.operator.shards import shard_of
from rollout.sandbox.cluster import Sandbox
from rollout.settings import Settings

LEASE_S = Settings().lease_duration.total_seconds()
PROMISED_S = 20.0
SHARDS = 2
SHOPS = 3
"""Of each shard."""
GRADUAL = tuple(
    step for weight in (20, 40, 60, 80) for step in ({"setWeight": weight}, {"pause": {"duration": "1s"}})
)
POLISHES = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[str, "asyncio.Task[None]"]]:
    """Two stories that mostly wait, side by side; each in a cluster whose operators look at all of it."""
    home = tmp_path_factory.mktemp("shards")
    async with AsyncExitStack() as stack:
        tasks = {
            "lost": asyncio.create_task(_lost(*await _cluster(stack), home)),
            "together": asyncio.create_task(_together(*await _cluster(stack), home)),
        }
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _cluster(stack: AsyncExitStack) -> tuple[Sandbox, FakePrometheus]:
    sandbox = await stack.enter_async_context(Sandbox(pods="scripted"))
    await install(sandbox)
    judge = prometheus(sandbox)
    await sandbox.call(judge.start())

    async def stop() -> None:
        await sandbox.call(judge.stop())

    stack.push_async_callback(stop)
    return sandbox, judge


@pytest.mark.asyncio(loop_scope="module")
async def test_every_rollout_of_a_lost_replica_is_served_again(
    played: dict[str, "asyncio.Task[None]"],
) -> None:
    await played["lost"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_route_of_two_shards_that_git_polishes_meanwhile_stays_whole(
    played: dict[str, "asyncio.Task[None]"],
) -> None:
    await played["together"]


async def holders(operators: Replicas) -> list[str]:
    return [await operators.holder(f"{operators.lease}-{shard}") for shard in range(SHARDS)]


async def evenly_held(operators: Replicas) -> list[Replica] | None:
    """Who holds which shard, once each holds one."""
    names = await holders(operators)
    return [operators.named(name) for name in names] if all(names) and len(set(names)) == SHARDS else None


def shard(namespace: str, name: str = NAME) -> int:
    return shard_of(namespace, name, SHARDS)


async def served(shop: Shop, by: Replica, since: datetime) -> None:
    """Wait until a turn of it has written."""
    where = f"/namespaces/{shop.namespace}/"
    await until(
        f"{shop.namespace} to be served",
        lambda: any(where in each.path and each.at > since for each in by.writes()),
    )


async def _shops(sandbox: Sandbox, judge: FakePrometheus) -> list[Shop]:
    """As many of each shard."""
    found: list[Shop] = []
    while len(found) < SHARDS * SHOPS:
        shop = await Shop.open(sandbox, judge)
        if sum(shard(each.namespace) == shard(shop.namespace) for each in found) < SHOPS:
            found.append(shop)
    return found


async def _lost(sandbox: Sandbox, judge: FakePrometheus, home: Path) -> None:
    shops = await _shops(sandbox, judge)
    async with AsyncExitStack() as stack:
        told = [await stack.enter_async_context(Chronicle.of(shop)) for shop in shops]
        operators = await stack.enter_async_context(
            replicas(sandbox, home, judge.url, unique("share"), shards=str(SHARDS))
        )
        await operators.join("one")
        await operators.join("two")
        leaders = await until("each to hold one", lambda: evenly_held(operators))
        await asyncio.gather(*(shop.healthy() for shop in shops))
        await asyncio.gather(*(shop.set_image("shop:v2") for shop in shops))
        await asyncio.gather(*(shop.paused(50) for shop in shops))
        for shop in shops:
            theirs = leaders[1 - shard(shop.namespace)]
            assert not [each for each in theirs.writes() if f"/namespaces/{shop.namespace}/" in each.path]

        lost, left = leaders
        lost.signal(signal.SIGKILL)
        died, died_at = time.monotonic(), datetime.now(UTC)
        for shop in shops:
            # An intent, written as kubectl would: a process for each costs more than the whole story.
            body = {"metadata": {"annotations": {"progressive.delivery/abort": "it has to be served"}}}
            await shop.patch(ROLLOUTS, NAME, body)
        orphans = [shop for shop in shops if leaders[shard(shop.namespace)] is lost]
        await asyncio.gather(*(served(shop, left, died_at) for shop in orphans))
        taken_over = time.monotonic() - died
        assert LEASE_S / 2 < taken_over < PROMISED_S
        print(f"lease {LEASE_S:g} s: {len(orphans)} Rollouts of the lost one served after {taken_over:.2f} s")
        await asyncio.gather(*(shop.phase(Phase.DEGRADED) for shop in shops))
        await asyncio.gather(*(shop.serving("shop:v1") for shop in shops))
        assert await holders(operators) == [left.name] * SHARDS
    assert [each.broken() for each in told] == [[]] * len(shops)


def _elsewhere(namespace: str, *than: str, prefix: str) -> str:
    """A name of another shard."""
    taken = {shard(namespace, name) for name in than}
    return next(name for n in count() if shard(namespace, name := f"{prefix}-{n}") not in taken)


def _traffic(cart: str, polish: int) -> tuple[Manifest, ...]:
    """One route, with a rule for the shop and one for the cart."""
    stable, canary, route = manifests.traffic()
    selector = {"app": cart}
    others = [manifests.service(f"{cart}-{arm}", **selector) for arm in ("stable", "canary")]
    backends = [
        {"name": f"{cart}-{arm}", "port": 80, "weight": weight}
        for arm, weight in (("stable", 100), ("canary", 0))
    ]
    route["spec"]["rules"].append({"backendRefs": backends, "matches": [_path("/cart")]})
    for each in (stable, canary, route, *others):
        each["metadata"]["labels"] = {"polish": str(polish)}
    return (stable, canary, *others, route)


def _path(prefix: str) -> Manifest:
    return {"path": {"type": "PathPrefix", "value": prefix}}


def _cart(name: str, image: str) -> Manifest:
    rollout = manifests.rollout(image, steps=GRADUAL, selector={"matchLabels": {"app": name}})
    rollout["metadata"] = {"name": name}
    rollout["spec"]["template"]["metadata"]["labels"] = {"app": name}
    canary = rollout["spec"]["strategy"]["canary"]
    canary |= {"stableService": f"{name}-stable", "canaryService": f"{name}-canary"}
    return rollout


def _weights(told: Chronicle, canary: str) -> list[int]:
    """One after the other, of one pair of the route."""
    found: list[int] = []
    for entry in sorted(told.entries, key=lambda each: each.version):
        if entry.kind == ROUTES.plural:
            for rule in entry.object["spec"]["rules"]:
                for ref in rule["backendRefs"]:
                    if ref["name"] == canary and found[-1:] != [ref["weight"]]:
                        found.append(ref["weight"])
    return found


async def _together(sandbox: Sandbox, judge: FakePrometheus, home: Path) -> None:
    """The route is written for the shop by one operator, for the cart and for Git by the other."""
    shop = await Shop.open(sandbox, judge)
    cart = _elsewhere(shop.namespace, NAME, prefix="cart")
    source = _elsewhere(shop.namespace, NAME, prefix="source")
    (home / "repository").mkdir()
    first = {
        ROLLOUT: text(manifests.rollout(steps=GRADUAL), _cart(cart, "cart:v1")),
        TRAFFIC: text(*_traffic(cart, 0)),
    }
    repository = await Repository.with_files(home / "repository", first)
    async with (
        Chronicle.of(shop) as told,
        replicas(
            sandbox, home, judge.url, unique("git"), shards=str(SHARDS), namespace=shop.namespace
        ) as operators,
    ):
        await operators.join("one")
        await operators.join("two")
        leaders = await until("each to hold one", lambda: evenly_held(operators))
        pulled = git_source(repository.url)
        pulled["metadata"]["name"] = source
        await shop.apply(pulled)
        await _healthy(shop, NAME, "shop:v1")
        await _healthy(shop, cart, "cart:v1")
        second = text(manifests.rollout("shop:v2", steps=GRADUAL), _cart(cart, "cart:v2"))
        await repository.commit("the second", {ROLLOUT: second})
        for polish in range(1, POLISHES + 1):
            await repository.commit(f"polish {polish}", {TRAFFIC: text(*_traffic(cart, polish))})
            await _polished(shop, polish)
        await _healthy(shop, NAME, "shop:v2")
        await _healthy(shop, cart, "cart:v2")
        await _is_refused(shop, _elsewhere(shop.namespace, NAME, prefix="younger"))
        wrote = {
            replica.name
            for replica in leaders
            for each in replica.writes()
            if each.path.endswith(f"/httproutes/{NAME}") and each.status == 200
        }
    assert len(wrote) == SHARDS, "one of them wrote no route, so this showed nothing"
    assert told.broken() == []
    expected = [0, 20, 40, 60, 80, 100, 0]
    assert (_weights(told, CANARY), _weights(told, f"{cart}-canary")) == (expected, expected)


async def _is_refused(shop: Shop, name: str) -> None:
    """A younger Rollout of another shard wants the shop's Services."""
    younger = manifests.rollout()
    younger["metadata"] = {"name": name}
    await shop.apply(younger)

    async def told() -> bool:
        found = read_status((await shop.get(ROLLOUTS, name)).get("status") or {})
        return any(
            each.type == "InvalidSpec" and "older Rollout" in each.message for each in found.conditions
        )

    await until("the younger to be refused", told)


async def _polished(shop: Shop, polish: int) -> None:
    async def reached() -> bool:
        labels: dict[str, Any] = (await shop.get(ROUTES))["metadata"].get("labels") or {}
        return labels.get("polish") == str(polish)

    await until(f"polish {polish} on the route", reached)


async def _healthy(shop: Shop, name: str, image: str) -> None:
    async def reached() -> bool:
        every = await shop.every(ROLLOUTS)
        found = next((each for each in every if each["metadata"]["name"] == name), None)
        if found is None:
            return False
        status = read_status(found.get("status") or {})
        wanted = found["spec"]["template"]["spec"]["containers"][0]["image"]
        current = status.observed_generation == found["metadata"]["generation"]
        return current and status.phase is Phase.HEALTHY and wanted == image

    await until(f"{name} to serve {image}", reached, seconds=90)

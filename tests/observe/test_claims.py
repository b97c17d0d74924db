"""Whose a Service is, where other operators work on other Rollouts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from rollout.api.crd import all_crds
from rollout.kube.client import Kube
from rollout.kube.kinds import ROLLOUTS
from rollout.kube.login import login
from rollout.observe.caches import Caches
from rollout.observe.observer import Observer
from rollout.sandbox.cluster import Sandbox

NOW = datetime.now(UTC)
SHOP = "shop"


def rollout(name: str) -> dict[str, Any]:
    labels = {"app": "shop"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "shop", "image": "shop:v1"}]},
    }
    canary = {
        "stableService": "stable",
        "canaryService": "canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
        "steps": [{"setWeight": 50}],
    }
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": template,
            "strategy": {"canary": canary},
        },
    }


def service(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": SHOP}
    spec = {"selector": {"app": "shop"}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


@dataclass(slots=True)
class Scene:
    kube: Kube
    observer: Observer

    async def apply(self, name: str) -> dict[str, Any]:
        made: dict[str, Any] = await self.kube.create(ROLLOUTS, rollout(name))
        return made

    async def twice(self, name: str) -> list[str]:
        """What speaks against a Rollout."""
        seen = await self.observer.observe(SHOP, name)
        assert seen is not None
        return [each.message for each in seen.observed.problems if "already" in each.message]


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Sandbox(pods="scripted") as sandbox:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}}
        await sandbox.load([*all_crds().values(), namespace, service("stable"), service("canary")])
        async with Kube(await login(str(sandbox.kubeconfig))) as kube:
            caches = Caches(kube, None, lambda _change: None)
            following = asyncio.create_task(caches.run())
            await caches.synced()
            yield Scene(kube, Observer(kube, caches, timedelta(0), lambda: NOW))
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def older(body: dict[str, Any]) -> dict[str, Any]:
    """The same, as it was told when it stood before all others."""
    return {**body, "metadata": {**body["metadata"], "creationTimestamp": "2020-01-01T00:00:00Z"}}


async def test_a_service_that_a_rollout_of_another_operator_uses_is_not_ours(scene: Scene) -> None:
    scene.observer.hear(older(await scene.apply("theirs")))
    await scene.apply("ours")
    assert len(await scene.twice("ours")) == 2


async def test_a_rollout_that_went_unheard_holds_no_service(scene: Scene) -> None:
    ghost = older(await scene.apply("ghost"))
    scene.observer.hear(ghost)
    await scene.kube.delete(ROLLOUTS, SHOP, "ghost")
    await scene.apply("ours")
    assert await scene.twice("ours") == []


async def test_only_what_may_change_a_claim_is_read_again(scene: Scene) -> None:
    heard = await scene.apply("theirs")
    scene.observer.hear(heard)
    claim = scene.observer.memory.claims[(SHOP, "theirs")]
    scene.observer.hear({**heard, "status": {"turn": 7}})
    assert scene.observer.memory.claims[(SHOP, "theirs")] is claim
    scene.observer.hear({**heard, "status": {"stableRS": "abc"}})
    assert scene.observer.memory.claims[(SHOP, "theirs")].serves

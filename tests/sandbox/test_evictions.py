"""Evictions and drains: pods go as fast as their PodDisruptionBudget lets them, and no faster."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sandbox_world import eventually, names_of, pods_of, replica_set

from rollout.sandbox.apiserver.local import ApiError
from rollout.sandbox.apiserver.resource import (
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    Object,
)
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.install import find_kubectl


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox("scripted") as running:
        yield running


def budget(**spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, **spec},
    }


async def stands(sandbox: Sandbox, replicas: int, **limits: Any) -> list[Object]:
    """A budgeted ReplicaSet with its pods ready; the pods."""
    await sandbox.load([replica_set("shop", replicas), budget(**limits)])

    async def counted() -> bool:
        return (await status(sandbox)).get("currentHealthy") == replicas

    await eventually(counted)
    return await pods_of(sandbox.client, "shop")


async def status(sandbox: Sandbox) -> Object:
    found = await sandbox.client.get(POD_DISRUPTION_BUDGETS, "default", "shop")
    return dict(found["status"])


async def evict(sandbox: Sandbox, pod: Object) -> Object:
    name = pod["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return await sandbox.client.create(PODS, "default", body, subresource="eviction", name=name)


async def kubectl(sandbox: Sandbox, *words: str) -> str:
    def run() -> str:
        env = {**os.environ, "KUBECONFIG": str(sandbox.kubeconfig), "HOME": str(sandbox.folder)}
        done = subprocess.run(
            [find_kubectl(), *words], env=env, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout + done.stderr

    return await asyncio.to_thread(run)


@pytest.mark.parametrize(
    ("limits", "allowed", "desired"),
    [
        pytest.param({"minAvailable": 1}, 2, 1, id="at least one"),
        pytest.param({"minAvailable": "50%"}, 1, 2, id="half of them, rounded up"),
        pytest.param({"maxUnavailable": 1}, 1, 2, id="at most one gone"),
        pytest.param({"maxUnavailable": "50%"}, 2, 1, id="at most half of them gone, rounded up"),
        pytest.param({"minAvailable": 3}, 0, 3, id="none may go"),
    ],
)
async def test_a_budget_says_how_many_pods_may_go(
    sandbox: Sandbox, limits: Object, allowed: int, desired: int
) -> None:
    await stands(sandbox, 3, **limits)
    found = await status(sandbox)
    assert (found["disruptionsAllowed"], found["desiredHealthy"], found["expectedPods"]) == (
        allowed,
        desired,
        3,
    )
    (condition,) = found["conditions"]
    assert condition["reason"] == ("SufficientPods" if allowed else "InsufficientPods")


async def test_a_spent_budget_refuses_the_next_eviction_in_the_real_servers_words(sandbox: Sandbox) -> None:
    first, second = await stands(sandbox, 2, minAvailable=1)
    for pod in (first, second):
        sandbox.scripts.set("ready", pod=pod["metadata"]["name"])
    sandbox.scripts.set("unready", image="shop:v1")  # what replaces the first is not ready
    assert (await evict(sandbox, first))["code"] == 201
    with pytest.raises(ApiError) as refused:
        await evict(sandbox, second)
    body = refused.value.body()
    (cause,) = body["details"].pop("causes")
    assert body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "reason": "TooManyRequests",
        "details": {},
        "code": 429,
    }
    assert cause["reason"] == "DisruptionBudget"
    assert cause["message"].startswith("The disruption budget shop needs 1 healthy pods and has ")


async def test_a_budget_that_just_changed_is_waited_for(sandbox: Sandbox) -> None:
    pod, _ = await stands(sandbox, 2, minAvailable=1)
    held = sandbox.server.api.lock
    with held:  # the controller can't count in between
        served = sandbox.server.client()
        found = await served.get(POD_DISRUPTION_BUDGETS, "default", "shop")
        await served.replace(
            POD_DISRUPTION_BUDGETS,
            "default",
            "shop",
            {**found, "spec": {**found["spec"], "minAvailable": 0}},
        )
        with pytest.raises(ApiError, match="violate") as refused:
            await evict(sandbox, pod)
    assert refused.value.details == {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget shop is still being processed by the server.",
            }
        ],
        "retryAfterSeconds": 10,
    }


async def test_two_budgets_for_one_pod_are_refused(sandbox: Sandbox) -> None:
    pod, _ = await stands(sandbox, 2, minAvailable=1)
    await sandbox.load([{**budget(minAvailable=1), "metadata": {"name": "other"}}])
    with pytest.raises(ApiError, match="more than one PodDisruptionBudget") as refused:
        await evict(sandbox, pod)
    assert refused.value.status == 500


async def test_an_evicted_pod_says_why_it_goes(sandbox: Sandbox) -> None:
    pod, _ = await stands(sandbox, 2, minAvailable=1)
    sandbox.scripts.termination_s = 5.0
    await evict(sandbox, pod)
    leaving = await sandbox.client.get(PODS, "default", pod["metadata"]["name"])
    assert leaving["metadata"]["deletionTimestamp"]
    assert "EvictionByEvictionAPI" in {each.get("reason") for each in leaving["status"]["conditions"]}


async def test_pods_of_a_deployment_are_counted_by_what_it_asks_for(sandbox: Sandbox) -> None:
    spec = replica_set("shop", 4)["spec"]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    await sandbox.load([deployment, budget(maxUnavailable="25%")])

    async def counted() -> Object | None:
        found = await status(sandbox)
        return found if found.get("currentHealthy") == 4 else None

    found = await eventually(counted)
    assert (found["expectedPods"], found["disruptionsAllowed"]) == (4, 1)


async def test_kubectl_drains_the_node_as_the_budget_allows(sandbox: Sandbox) -> None:
    first = {pod["metadata"]["name"] for pod in await stands(sandbox, 3, minAvailable=1)}
    drained = asyncio.create_task(
        kubectl(sandbox, "drain", "sandbox", "--ignore-daemonsets", "--timeout=30s", "--force")
    )

    async def held() -> bool:
        """One is asked for in vain, since what replaces the others finds no node."""
        kept = await names_of(sandbox.client, "shop") & first
        asked = sandbox.server.requests.writes(path="/eviction")
        return len(kept) == 1 and any(each.status == 429 for each in asked)

    await eventually(held)
    node = await sandbox.client.get(NODES, None, "sandbox")
    assert node["spec"]["unschedulable"] is True
    waiting = [pod for pod in await pods_of(sandbox.client, "shop") if pod["metadata"]["name"] not in first]
    assert all(not pod["spec"].get("nodeName") for pod in waiting)
    await sandbox.client.delete(POD_DISRUPTION_BUDGETS, "default", "shop")
    said = await drained
    assert "node/sandbox drained" in said
    assert "Cannot evict pod as it would violate the pod's disruption budget." in said
    assert "uncordoned" in await kubectl(sandbox, "uncordon", "sandbox")

    async def ready() -> bool:
        found = await sandbox.client.get(REPLICA_SETS, "default", "shop")
        return found["status"].get("readyReplicas") == 3

    await eventually(ready)


async def test_kubectl_lists_budgets_with_what_they_allow(sandbox: Sandbox) -> None:
    await stands(sandbox, 2, maxUnavailable=1)
    lines = (await kubectl(sandbox, "get", "pdb")).splitlines()
    assert lines[0].split("  ")[0] == "NAME"
    assert lines[1].split()[:4] == ["shop", "N/A", "1", "1"]

"""Prometheus finds pods that were made by hand, sees them go, and keeps its data over an outage."""

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from sandbox_world import eventually

from rollout.sandbox.apiserver.resource import PODS
from rollout.sandbox.cluster import Sandbox

pytestmark = pytest.mark.real


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """Where a tiny server's /metrics is; it counts how often it was asked."""
    asked = 0

    async def metrics(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(text=f"# TYPE asked counter\nasked {asked}\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox("none", prometheus=True) as running:
        yield running


async def run_pod(sandbox: Sandbox, name: str, port: int, address: str = "127.0.0.1") -> None:
    """A pod as a kubelet would leave it: running, with an address."""
    container = {"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": port}]}
    labels = {"app": "web", "rollouts-pod-template-hash": "7f9c"}
    meta = {"name": name, "labels": labels}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}
    await sandbox.load([body])
    status = {"status": {"phase": "Running", "podIP": address}}
    await sandbox.client.patch(PODS, "default", name, status, subresource="status")


def query(sandbox: Sandbox, text: str) -> list[dict[str, Any]]:
    url = f"{sandbox.prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return list(json.load(answer)["data"]["result"])


async def found(sandbox: Sandbox, text: str) -> list[dict[str, Any]]:
    """The series of a query, as soon as there are any."""
    return await eventually(lambda: asyncio.to_thread(query, sandbox, text))


async def test_a_sample_carries_namespace_pod_and_revision(sandbox: Sandbox, port: int) -> None:
    await run_pod(sandbox, "web-1", port)
    (series,) = await found(sandbox, "asked")
    labels = series["metric"]
    assert {name: labels[name] for name in ("namespace", "pod", "app", "rollouts_pod_template_hash")} == {
        "namespace": "default",
        "pod": "web-1",
        "app": "web",
        "rollouts_pod_template_hash": "7f9c",
    }


async def test_up_tells_a_pod_that_answers_from_one_that_does_not(sandbox: Sandbox, port: int) -> None:
    await run_pod(sandbox, "answers", port)
    await run_pod(sandbox, "silent", port, "127.0.0.99")
    await found(sandbox, 'up{pod="silent"} and on() up{pod="answers"}')
    up = {series["metric"]["pod"]: series["value"][1] for series in query(sandbox, "up")}
    assert up == {"answers": "1", "silent": "0"}


async def test_a_pod_without_an_address_or_at_its_end_is_no_target(sandbox: Sandbox, port: int) -> None:
    await run_pod(sandbox, "over", port)
    await sandbox.client.patch(
        PODS, "default", "over", {"status": {"phase": "Succeeded"}}, subresource="status"
    )
    await sandbox.load(
        [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new"}, "spec": pod_spec(port)}]
    )
    await run_pod(sandbox, "web-1", port)
    await found(sandbox, 'up{pod="web-1"}')
    assert {series["metric"]["pod"] for series in query(sandbox, "up")} == {"web-1"}


def pod_spec(port: int) -> dict[str, Any]:
    return {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": port}]}]}


async def test_an_outage_keeps_url_and_data_and_scrapes_go_on_after_it(sandbox: Sandbox, port: int) -> None:
    await run_pod(sandbox, "web-1", port)
    (before,) = await found(sandbox, "asked")
    url, prometheus = sandbox.prometheus_url, sandbox.prometheus
    assert prometheus is not None
    await sandbox.call(prometheus.stop())
    with pytest.raises(OSError, match="refused"):
        query(sandbox, "up")
    await sandbox.call(prometheus.start())
    assert sandbox.prometheus_url == url
    (kept,) = query(sandbox, "min_over_time(asked[5m])")
    assert float(kept["value"][1]) <= float(before["value"][1])
    assert await found(sandbox, f"asked > {before['value'][1]}")


async def test_a_pod_that_is_gone_has_no_series_any_more(sandbox: Sandbox, port: int) -> None:
    await run_pod(sandbox, "web-1", port)
    await found(sandbox, "asked")
    await sandbox.client.delete(PODS, "default", "web-1", grace_seconds=0)

    async def gone() -> bool:
        return not await asyncio.to_thread(query, sandbox, "asked")

    await eventually(gone)

"""The whole data plane: real processes, the real Traefik, the real Prometheus, real requests."""

import asyncio
import json
import os
import shutil
import signal
import sys
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sandbox_world import HTTP_ROUTES, eventually, pods_of, replica_set, route, service

import analysis as judged
from analysis.reading import Context, Reading
from analysis.sources import Arms, take
from analysis.sources.prometheus import PrometheusSource
from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.compare import Compare, MetricPreset
from rollout.api.selectors import filled
from rollout.measure.policy import policy_of
from rollout.routers.planes import read_plane
from rollout.sandbox.apiserver.local import JSON_PATCH
from rollout.sandbox.apiserver.resource import PODS, REPLICA_SETS, SERVICES
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.shop.load import Load
from rollout.workloads import presets

pytestmark = pytest.mark.real

STABLE, CANARY = "shop:v1", "shop:v2-errors-6pct"


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox("process") as running:
        yield running


async def deploy(sandbox: Sandbox, stable: int = 90, canary: int = 10) -> None:
    """A pair of ReplicaSets behind a pair of Services behind a route, ready and serving."""
    for name, image, pods in (("stable", STABLE, 2), ("canary", CANARY, 1)):
        await sandbox.load([replica_set(name, pods, image, name), service(name, app=name)])
        await available(sandbox, name, pods)
    await sandbox.load([route("shop", stable=stable, canary=canary)])
    await eventually(lambda: answers(sandbox))


async def available(sandbox: Sandbox, name: str, number: int) -> None:
    async def there() -> bool:
        status = (await sandbox.client.get(REPLICA_SETS, "default", name)).get("status", {})
        return bool(status.get("availableReplicas") == number)

    await eventually(there)


async def answers(sandbox: Sandbox) -> bool:
    async with load(sandbox, rate=50) as probe:
        report = await probe.next_report()
    return report.requests("v1") > 0 and report.requests("-") == 0


def load(sandbox: Sandbox, rate: float = 300.0) -> Load:
    return Load(sandbox.proxy_url, host="shop.local", rate=rate, seconds=60)


async def requests(running: Load, number: int) -> None:
    while running.report.requests() < number:
        await running.next_report()


def query(sandbox: Sandbox, text: str) -> list[dict[str, Any]]:
    url = f"{sandbox.prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return list(json.load(answer)["data"]["result"])


async def test_a_route_splits_requests_by_its_weights_exactly(sandbox: Sandbox) -> None:
    await deploy(sandbox, 90, 10)
    async with load(sandbox) as running:
        await requests(running, 1500)
        done = await running.stop()
    assert done.requests("-") == 0
    assert done.requests(CANARY.partition(":")[2]) / done.sent == pytest.approx(0.10, abs=0.01)
    assert done.hashes == {"v1": "stable", "v2-errors-6pct": "canary"}


async def test_prometheus_counts_every_request_of_each_pod_and_of_the_proxy(sandbox: Sandbox) -> None:
    await deploy(sandbox)

    async def both() -> bool:
        return (
            len({r["metric"]["rollouts_pod_template_hash"] for r in query(sandbox, "http_requests_total")})
            == 2
        )

    await eventually(both)
    before = {arm: await own_count(sandbox, arm) for arm in ("stable", "canary")}
    async with load(sandbox) as running:
        await requests(running, 600)
        done = await running.stop()
    for arm, version in (("stable", "v1"), ("canary", "v2-errors-6pct")):
        own = await own_count(sandbox, arm)
        assert own - before[arm] == done.requests(version)

        async def counted(arm: str = arm, own: int = own) -> bool:
            return total(sandbox, arm) == own

        await eventually(counted)
    (series, *_) = query(sandbox, 'http_requests_total{app="canary"}')
    assert series["metric"]["namespace"] == "default"
    assert series["metric"]["pod"].startswith("canary-")
    service_of = (
        'traefik_service_requests_total{service=~"httproute-default-shop-.+-svc-default-canary-[0-9]+@.+"}'
    )
    assert query(sandbox, service_of)


async def test_the_preset_of_the_proxy_counts_what_users_saw_of_each_version(sandbox: Sandbox) -> None:
    """Errors and latency by Traefik's own series; that it is Traefik is told by the route."""
    await deploy(sandbox, 80, 20)
    live = await sandbox.client.get(HTTP_ROUTES, "default", "shop")
    plane = read_plane([(live, None)], "stable", "canary")
    assert plane.controllers == ("traefik.io/gateway-controller",)
    source = PrometheusSource(sandbox.prometheus_url)
    async with load(sandbox) as running:
        await requests(running, 50)
    await scraped_since(sandbox, datetime.now(UTC))
    began = datetime.now(UTC)
    async with load(sandbox) as running:
        await requests(running, 600)
        done = await running.stop()
    for asked in (
        {"preset": MetricPreset.ERRORS},
        {"preset": MetricPreset.LATENCY, "slo": (timedelta(milliseconds=300),)},
    ):
        metric = Metric(name="asked", compare=presets.resolved(Compare(**asked), plane, "here"))
        by_service = {
            "stable": filled_arm(metric.compare.arms.stable),
            "canary": filled_arm(metric.compare.arms.canary),
        }
        kind = policy_of(AnalysisRunSpec(metrics=(metric,))).metric("asked")
        arms = Arms(by_service["canary"], by_service["stable"])
        seen: list[Reading] = []

        async def all_counted(
            kind: judged.Metric = kind, arms: Arms = arms, seen: list[Reading] = seen
        ) -> bool:
            context = Context(began=began, interval=timedelta(seconds=1))
            seen.append(await take(source, kind, arms, began, datetime.now(UTC), context))
            counts = seen[-1].counts
            return bool(counts) and (
                (counts[0].stable.total, counts[0].canary.total)
                == (done.requests("v1"), done.requests("v2-errors-6pct"))
            )

        await eventually(all_counted, 60)
        if asked["preset"] is MetricPreset.ERRORS:
            assert seen[-1].counts[0].canary.bad == done.failed("v2-errors-6pct") > 0
            assert seen[-1].counts[0].stable.bad == done.failed("v1")
    source.close()


async def scraped_since(sandbox: Sandbox, moment: datetime) -> None:
    """Wait until what the proxy counted by then is known, of both versions."""

    async def known() -> bool:
        text = f"timestamp(traefik_service_requests_total) > {moment.timestamp()}"
        found = await asyncio.to_thread(query, sandbox, text)
        return len({series["metric"]["service"] for series in found}) == 2

    await eventually(known, 60)


def filled_arm(text: str | None) -> str:
    values = {"namespace": "default", "stable.service": "stable", "canary.service": "canary"}
    return filled(text or "", values)


def read(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return list(answer.read().decode().splitlines())


async def own_count(sandbox: Sandbox, arm: str) -> int:
    """What the pods themselves say."""
    counted = 0
    for pod in await pods_of(sandbox.client, arm):
        lines = await asyncio.to_thread(read, f"http://{pod['status']['podIP']}:8080/metrics")
        counted += sum(int(line.split()[1]) for line in lines if line.startswith("http_requests_total{"))
    return counted


def total(sandbox: Sandbox, arm: str) -> int:
    found = query(sandbox, f'http_requests_total{{rollouts_pod_template_hash="{arm}"}}')
    return sum(int(series["value"][1]) for series in found)


async def test_a_weight_of_zero_stops_a_version_within_a_second(sandbox: Sandbox) -> None:
    await deploy(sandbox, 50, 50)
    async with load(sandbox) as running:
        await requests(running, 200)
        patch = [{"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 0}]
        changed = asyncio.get_running_loop().time()
        await sandbox.client.patch(HTTP_ROUTES, "default", "shop", patch, content_type=JSON_PATCH)
        epoch = running.report.at
        await requests(running, running.report.requests() + 600)
        done = await running.stop()
        took = asyncio.get_running_loop().time() - changed
    assert done.requests("-") == 0
    assert done.last["v2-errors-6pct"] - epoch < 1.5 < took


async def test_deleting_a_pod_under_load_loses_no_request(sandbox: Sandbox) -> None:
    await deploy(sandbox, 100, 0)
    async with load(sandbox) as running:
        await requests(running, 200)
        for pod in await pods_of(sandbox.client, "stable"):
            await sandbox.client.delete(PODS, "default", pod["metadata"]["name"])
            gone = pod["metadata"]["uid"]

            async def replaced(gone: str = gone) -> bool:
                found = await pods_of(sandbox.client, "stable")
                return gone not in {p["metadata"]["uid"] for p in found}

            await eventually(replaced)
            await available(sandbox, "stable", 2)
        done = await running.stop()
    assert done.requests("-") == 0
    assert done.requests("v1") == done.sent


async def test_a_pod_that_is_not_ready_gets_no_request(sandbox: Sandbox) -> None:
    await deploy(sandbox, 100, 0)
    await sandbox.load([replica_set("bad", 1, "shop:v6-never-ready", "bad")])
    body = {"spec": {"selector": {"app": None, "tier": "shop"}}}
    await eventually(lambda: pods_of(sandbox.client, "bad"))
    for name in ("stable", "bad"):
        for pod in await pods_of(sandbox.client, name):
            await sandbox.client.patch(
                PODS, "default", pod["metadata"]["name"], {"metadata": {"labels": {"tier": "shop"}}}
            )
    await sandbox.client.patch(SERVICES, "default", "stable", body)
    async with load(sandbox) as running:
        await requests(running, 400)
        done = await running.stop()
    assert done.counts.keys() == {"v1"}


async def test_prometheus_may_go_and_come_back_with_its_data(sandbox: Sandbox) -> None:
    await deploy(sandbox)
    assert sandbox.prometheus is not None
    await eventually(lambda: asyncio.to_thread(query, sandbox, "http_requests_total"))
    url = sandbox.prometheus_url
    await sandbox.call(sandbox.prometheus.stop())
    with pytest.raises(OSError, match="refused"):
        query(sandbox, "up")
    await sandbox.call(sandbox.prometheus.start())
    assert sandbox.prometheus_url == url
    assert query(sandbox, "last_over_time(http_requests_total[1m])")


async def test_a_sandbox_that_is_killed_leaves_no_process() -> None:
    program = (
        "import time\n"
        "from rollout.sandbox.cluster import Sandbox\n"
        "with Sandbox('process') as s:\n"
        "    print(s.traefik.child.pid, s.prometheus.child.pid, s.folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    *pids, folder = (await parent.stdout.readline()).decode().split()
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()

    async def gone() -> bool:
        return not any(running(int(pid)) for pid in pids)

    await eventually(gone)
    shutil.rmtree(folder)  # nobody is left who could


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_two_data_planes_at_once_serve_each_its_own(sandbox: Sandbox) -> None:
    async with Sandbox("process", prometheus=False) as other:
        await deploy(sandbox, 100, 0)
        await deploy(other, 100, 0)
        assert sandbox.proxy_url != other.proxy_url
        addresses = [
            p["status"]["podIP"] for s in (sandbox, other) for p in await pods_of(s.client, "stable")
        ]
    assert len(set(addresses)) == 4


async def test_python_m_prints_what_to_use_and_stops_on_a_signal() -> None:
    command = [sys.executable, "-m", "rollout.sandbox"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    kubeconfig = line.strip().partition("KUBECONFIG=")[2]
    assert os.path.isfile(kubeconfig)  # noqa: ASYNC240 -- one look at a local file
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert not os.path.exists(kubeconfig)  # noqa: ASYNC240 -- likewise

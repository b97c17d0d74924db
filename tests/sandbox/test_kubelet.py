"""The node: statuses as pure values, scripted pods on a whole cluster, processes without a proxy."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sandbox_world import eventually, pods_of, replica_set

from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.local import LocalClient
from rollout.sandbox.apiserver.resource import NODES, PODS, REPLICA_SETS, Object
from rollout.sandbox.controllers.all import Controllers
from rollout.sandbox.discovery import targets
from rollout.sandbox.kubelet import probes, runtime
from rollout.sandbox.kubelet.addresses import Addresses
from rollout.sandbox.kubelet.node import Kubelet
from rollout.sandbox.kubelet.processes import ProcessPods
from rollout.sandbox.kubelet.scripted import ANNOTATION, Act, Rule, ScriptedPods, Scripts, crash_loop, play
from rollout.sandbox.kubelet.status import Running, Terminated, View, Waiting, phase, pod_status

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"
RUNS = View("c", "i", Running(THEN), ready=True)
STARTS = View("c", "i")
CRASHED = View("c", "i", Waiting("CrashLoopBackOff"), Terminated(1, THEN, NOW), restarts=1)
ENDED = View("c", "i", Terminated(0, THEN, NOW))
FAILED = View("c", "i", Terminated(2, THEN, NOW))

PHASES = [
    pytest.param([RUNS], "Always", "Running", id="a pod whose container runs is Running"),
    pytest.param([RUNS, STARTS], "Always", "Pending", id="one of two not started yet: Pending"),
    pytest.param([CRASHED], "Always", "Running", id="a crash loop is Running"),
    pytest.param([ENDED], "Always", "Running", id="an end that will be a restart is Running"),
    pytest.param([ENDED], "Never", "Succeeded", id="a good end for good"),
    pytest.param([ENDED, FAILED], "Never", "Failed", id="one bad end of two"),
    pytest.param([FAILED], "OnFailure", "Running", id="a bad end that will be tried again"),
]


@pytest.mark.parametrize(("views", "policy", "expected"), PHASES)
def test_the_phase_follows_the_containers(views: list[View], policy: str, expected: str) -> None:
    assert phase(views, policy) == expected


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    pod: Object = {"spec": {}, "status": pod_status({"spec": {}}, [RUNS], "127.1.1.1", THEN)}
    later = pod_status(pod, [View("c", "i", Running(THEN), ready=False)], "127.1.1.1", NOW)
    times = {c["type"]: (c["status"], c["lastTransitionTime"]) for c in later["conditions"]}
    assert times["Ready"] == ("False", NOW)
    assert times["PodScheduled"] == ("True", THEN)
    assert later["startTime"] == THEN


PLAYS = [
    pytest.param(Rule(Act.READY), 0.0, (True, None), id="ready at once"),
    pytest.param(Rule(Act.READY, 2.0), 0.5, (False, 1.5), id="ready later"),
    pytest.param(Rule(Act.UNREADY), 9.0, (False, None), id="never ready"),
    pytest.param(Rule(Act.FLIP), 0.25, (True, 0.75), id="flip: first ready"),
    pytest.param(Rule(Act.FLIP), 1.25, (False, 0.75), id="flip: then not"),
    pytest.param(Rule(Act.PULL_FAILURE), 0.0, (False, 1.0), id="a pull fails, and backs off after a second"),
]


@pytest.mark.parametrize(("rule", "age", "expected"), PLAYS)
def test_a_scripted_pod_plays_its_rule(rule: Rule, age: float, expected: tuple[bool, float | None]) -> None:
    playing, again = play(rule, age, THEN, NOW)
    assert (playing.ready, again) == expected


def test_a_crash_loop_restarts_ever_more_slowly() -> None:
    counts = [crash_loop(age, THEN, NOW)[0].restarts for age in (0.0, 0.49, 0.51, 1.4, 1.6, 3.6)]
    assert counts == [1, 1, 2, 2, 3, 4]


def test_addresses_are_of_one_block_and_are_not_used_again_soon() -> None:
    addresses = Addresses()
    try:
        first = addresses.take()
        addresses.release(first)
        taken = [addresses.take() for _ in range(400)]
    finally:
        addresses.close()
    assert len(set(taken)) == 400
    assert first not in taken[:100]
    assert all(socket.inet_aton(address)[0] == 127 for address in taken)


def test_two_clusters_have_two_blocks() -> None:
    one, other = Addresses(), Addresses()
    try:
        assert one.take().rpartition(".")[0] != other.take().rpartition(".")[0]
    finally:
        one.close()
        other.close()


def pod(image: str = "shop:v1", **spec: Any) -> Object:
    container = {"name": "shop", "image": image, "ports": [{"name": "http", "containerPort": 9090}], **spec}
    meta = {"name": "shop-x", "namespace": "n", "uid": "u", "labels": {"app": "shop", "a.b/c-d": "e"}}
    return {"metadata": meta, "spec": {"containers": [container]}, "status": {"podIP": "127.1.2.3"}}


def test_the_environment_takes_fields_of_the_pod() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    given = pod(env=env)
    found = runtime.environment(given, given["spec"]["containers"][0], "127.1.2.3")
    assert found == {"A": "1", "POD": "shop-x", "LABEL": "shop"}


def test_an_image_becomes_a_command_on_the_pods_own_address() -> None:
    given = pod(env=[{"name": "ERROR_RATE", "value": "6%"}])
    command = runtime.command(given, given["spec"]["containers"][0], "127.1.2.3")
    assert {"--listen=127.1.2.3:9090", "--error-rate=0.06", "--pod=shop-x"} <= set(command)


def test_a_probe_finds_its_named_port() -> None:
    probe = {"readinessProbe": {"httpGet": {"path": "/h", "port": "http"}, "periodSeconds": 2}}
    found = probes.readiness(pod(**probe)["spec"]["containers"][0])
    assert found is not None
    assert (found.port, found.path, found.period_s) == (9090, "/h", 2.0)


def test_discovery_gives_the_labels_that_kubernetes_discovery_gives() -> None:
    (group,) = targets(pod())
    assert group["targets"] == ["127.1.2.3:9090"]
    assert group["labels"]["__meta_kubernetes_pod_label_a_b_c_d"] == "e"
    assert group["labels"]["__meta_kubernetes_pod_container_port_name"] == "http"
    assert targets({**pod(), "status": {}}) == []


class Node:
    """The controllers and a kubelet on an API in this process."""

    def __init__(self) -> None:
        self.client = LocalClient(Api())
        self.scripts = Scripts()

    async def shop(self, replicas: int = 1, image: str = "shop:v1") -> None:
        await self.client.create(REPLICA_SETS, "default", replica_set("shop", replicas, image))

    async def available(self, number: int) -> None:
        async def there() -> bool:
            status = (await self.client.get(REPLICA_SETS, "default", "shop")).get("status", {})
            return bool(status.get("replicas") and status.get("availableReplicas", 0) == number)

        await eventually(there)

    async def waiting(self, reason: str, restarts: int = 0) -> Object:
        async def there() -> Object | None:
            for found in await pods_of(self.client, "shop"):
                for container in found["status"].get("containerStatuses", ()):
                    said = container["state"].get("waiting", {}).get("reason")
                    if said == reason and container["restartCount"] >= restarts:
                        return found
            return None

        return await eventually(there)  # type: ignore[no-any-return]


@pytest_asyncio.fixture
async def scripted() -> AsyncIterator[Node]:
    node = Node()
    controllers = Controllers(node.client)
    controllers.start()
    kubelet = Kubelet(node.client, controllers.informers, ScriptedPods(node.client, node.scripts))
    node.scripts.on_change(kubelet.wake_all)
    controllers.spawn(kubelet.run(), "kubelet")
    yield node
    await controllers.stop()


@pytest_asyncio.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node()
    controllers = Controllers(node.client)
    controllers.start()
    kubelet = Kubelet(node.client, controllers.informers, ProcessPods(node.client, tmp_path))
    controllers.spawn(kubelet.run(), "kubelet")
    yield node
    await controllers.stop()


class TestScripted:
    async def test_pods_are_scheduled_and_ready_and_the_node_is_there(self, scripted: Node) -> None:
        await scripted.shop(3)
        await scripted.available(3)
        assert {p["spec"]["nodeName"] for p in await pods_of(scripted.client, "shop")} == {"sandbox"}
        (node,) = (await scripted.client.list(NODES))[0]
        assert node["status"]["conditions"][0]["type"] == "Ready"

    async def test_a_rule_for_an_image_moves_its_pods_both_ways(self, scripted: Node) -> None:
        await scripted.shop(2)
        await scripted.available(2)
        scripted.scripts.set("unready", image="shop:v1")
        await scripted.available(0)
        scripted.scripts.set("ready", image="shop:v1")
        await scripted.available(2)

    async def test_an_annotation_wins_over_rules(self, scripted: Node) -> None:
        scripted.scripts.set("unready", image="shop:v1")
        await scripted.shop(2)
        found = await eventually(lambda: pods_of(scripted.client, "shop"))
        name = found[0]["metadata"]["name"]
        await scripted.client.patch(
            PODS, "default", name, {"metadata": {"annotations": {ANNOTATION: "ready"}}}
        )

        async def one() -> bool:
            status = (await scripted.client.get(REPLICA_SETS, "default", "shop"))["status"]
            return bool(status.get("readyReplicas") == 1)

        await eventually(one)

    @pytest.mark.parametrize(
        ("image", "reason"),
        [("shop:v5-crash", "CrashLoopBackOff"), ("shop:missing", "ErrImagePull")],
    )
    async def test_tags_play_what_they_say(self, scripted: Node, image: str, reason: str) -> None:
        await scripted.shop(1, image)
        await scripted.waiting(reason)

    async def test_a_crash_loop_counts_on(self, scripted: Node) -> None:
        await scripted.shop(1, "shop:v5-crash")
        await scripted.waiting("CrashLoopBackOff", restarts=3)

    async def test_a_deleted_pod_goes_after_its_termination(self, scripted: Node) -> None:
        scripted.scripts.termination_s = 0.2
        await scripted.shop(1)
        await scripted.available(1)
        (old,) = await pods_of(scripted.client, "shop")
        await scripted.client.delete(PODS, "default", old["metadata"]["name"])
        both = await pods_of(scripted.client, "shop")
        assert both[0]["metadata"]["deletionTimestamp"] or both[1]["metadata"]["deletionTimestamp"]

        async def replaced() -> bool:
            names = [p["metadata"]["name"] for p in await pods_of(scripted.client, "shop")]
            return len(names) == 1 and old["metadata"]["name"] not in names

        await eventually(replaced)


class TestProcesses:
    async def test_a_pod_answers_on_its_address_when_it_is_ready(self, processes: Node) -> None:
        await processes.shop(2)
        await processes.available(2)
        for found in await pods_of(processes.client, "shop"):
            reader, writer = await asyncio.open_connection(found["status"]["podIP"], 8080)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1")
            writer.close()

    async def test_a_crash_is_restarted_with_back_off(self, processes: Node) -> None:
        await processes.shop(1, "shop:v5-crash")
        found = await processes.waiting("CrashLoopBackOff", restarts=2)
        (status,) = found["status"]["containerStatuses"]
        assert status["lastState"]["terminated"]["exitCode"] == 1
        assert found["status"]["phase"] == "Running"

    async def test_an_unknown_image_is_pulled_again_and_again(self, processes: Node) -> None:
        await processes.shop(1, "shop:missing")
        await processes.waiting("ErrImagePull")
        found = await processes.waiting("ImagePullBackOff")
        assert found["status"]["phase"] == "Pending"

    async def test_a_bad_setting_is_named_in_the_pods_status(self, processes: Node) -> None:
        body = replica_set("shop")
        body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "ERROR_RATE", "value": "lots"}]
        await processes.client.create(REPLICA_SETS, "default", body)
        found = await processes.waiting("CreateContainerConfigError")
        assert "ERROR_RATE" in json.dumps(found["status"])

    async def test_a_version_that_is_never_ready_runs_but_is_not_available(self, processes: Node) -> None:
        await processes.shop(1, "shop:v6-never-ready")

        async def running() -> bool:
            found = await pods_of(processes.client, "shop")
            return any(
                "running" in c["state"] for p in found for c in p["status"].get("containerStatuses", ())
            )

        await eventually(running)
        (found,) = await pods_of(processes.client, "shop")
        ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
        assert ready["status"] == "False"

    async def test_a_pod_whose_process_is_killed_comes_back_with_a_restart(self, processes: Node) -> None:
        await processes.shop(1)
        await processes.available(1)
        (found,) = await pods_of(processes.client, "shop")
        address = found["status"]["podIP"]
        killed = kill_listener(address)

        async def back() -> bool:
            (now,) = await pods_of(processes.client, "shop")
            (status,) = now["status"]["containerStatuses"]
            return bool(status["ready"] and status["restartCount"] == 1)

        await eventually(back)
        assert killed == 1

    async def test_a_deleted_pods_process_and_port_are_gone_with_its_object(self, processes: Node) -> None:
        await processes.shop(1)
        await processes.available(1)
        (found,) = await pods_of(processes.client, "shop")
        await processes.client.delete(REPLICA_SETS, "default", "shop")

        async def gone() -> bool:
            return not await pods_of(processes.client, "shop")

        await eventually(gone)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(found["status"]["podIP"], 8080)


def kill_listener(address: str) -> int:
    """SIGKILL the processes that were started for an address; how many there were."""
    killed = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if f"--listen={address}:".encode() in words:
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed

"""The cluster as a whole, with scripted pods: what it offers, and that nothing of it is left."""

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from sandbox_world import HTTP_ROUTES, eventually, names_of, replica_set, route, service

from rollout.sandbox import manifests
from rollout.sandbox.apiserver.local import ApiError
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, REPLICA_SETS
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.install import find_kubectl


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox("scripted") as running:
        yield running


def kubectl(kubeconfig: Path, *words: str, text: str = "") -> str:
    env = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)}
    done = subprocess.run(
        [find_kubectl(), *words], env=env, input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


async def test_kubectl_sees_pods_that_become_ready(sandbox: Sandbox) -> None:
    await sandbox.load([replica_set("shop", 2)])
    said = await asyncio.to_thread(
        kubectl, sandbox.kubeconfig, "wait", "--for=condition=Ready", "pod", "-l", "app=shop", "--timeout=20s"
    )
    assert said.count("condition met") == 2
    listed = await asyncio.to_thread(kubectl, sandbox.kubeconfig, "get", "pods", "-o", "wide")
    assert listed.count("1/1") == 2
    assert "sandbox" in listed


async def test_kubectl_delete_waits_until_the_pods_are_gone(sandbox: Sandbox) -> None:
    await sandbox.load([replica_set("shop", 2)])
    await eventually(lambda: names_of(sandbox.client, "shop"))
    said = await asyncio.to_thread(
        kubectl, sandbox.kubeconfig, "delete", "rs", "shop", "--cascade=foreground", "--timeout=20s"
    )
    assert "deleted" in said
    assert not await names_of(sandbox.client, "shop")


async def test_files_are_loaded_definitions_and_namespaces_first(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: late}\ndata: {k: v}\n"
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: late}\n"
    )
    (tmp_path / "kustomization.yaml").write_text("kind: Kustomization\nresources: [a.yaml]\n")
    await sandbox.load_manifests(tmp_path)
    assert (await sandbox.client.get(CONFIG_MAPS, "late", "c"))["data"] == {"k": "v"}


async def test_an_unknown_kind_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(ApiError, match=r"no kind Widget is served in example\.com/v1"):
        await sandbox.load([{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}])


async def test_without_a_proxy_a_route_is_accepted_at_each_generation(sandbox: Sandbox) -> None:
    await sandbox.load([service("a", app="a"), service("b", app="b"), route("shop", a=90, b=10)])

    async def observed() -> int:
        found = await sandbox.client.get(HTTP_ROUTES, "default", "shop")
        generations = {c["observedGeneration"] for p in found["status"]["parents"] for c in p["conditions"]}
        assert len(generations) == 1
        return int(generations.pop())

    async def settled() -> int | None:
        found = await sandbox.client.get(HTTP_ROUTES, "default", "shop")
        if "parents" not in found.get("status", {}):
            return None
        seen = await observed()
        return seen if seen == found["metadata"]["generation"] else None

    assert await eventually(settled) == 1
    await sandbox.load([route("shop", a=50, b=50)])
    assert await eventually(settled) == 2


async def test_a_script_may_be_changed_from_any_thread(sandbox: Sandbox) -> None:
    await sandbox.load([replica_set("shop", 1)])

    async def ready(number: int) -> bool:
        status = (await sandbox.client.get(REPLICA_SETS, "default", "shop")).get("status", {})
        return bool(status.get("replicas") and status.get("readyReplicas", 0) == number)

    await eventually(lambda: ready(1))
    changing = threading.Thread(target=lambda: sandbox.scripts.set("unready", image="shop:v1"))
    changing.start()
    await eventually(lambda: ready(0))
    changing.join()


async def test_a_service_accounts_kubeconfig_is_that_account(sandbox: Sandbox) -> None:
    path = sandbox.kubeconfig_for("default", "robot")
    said = await asyncio.to_thread(kubectl, path, "auth", "whoami")
    assert "system:serviceaccount:default:robot" in said
    assert path.stat().st_mode & 0o077 == 0


async def test_two_at_once_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    async with Sandbox("scripted") as other:
        await sandbox.load([replica_set("shop", 1)])
        await other.load([replica_set("shop", 1, image="shop:v2")])
        await eventually(lambda: names_of(sandbox.client, "shop"))
        await eventually(lambda: names_of(other.client, "shop"))
        assert not await names_of(sandbox.client, "shop") & await names_of(other.client, "shop")


async def test_a_settled_cluster_writes_nothing(sandbox: Sandbox) -> None:
    backends = [service("a", app="shop"), service("b", app="none"), route("shop", a=90, b=10)]
    await sandbox.load([replica_set("shop", 3), *backends])
    store = sandbox.server.api.store
    versions = [0, store.version]
    while versions[-1] != versions[-2]:
        await asyncio.sleep(0.5)
        versions.append(store.version)
    await asyncio.sleep(1.0)
    assert store.version == versions[-1]


def listening(url: str) -> bool:
    with socket.socket() as probe:
        address = urlsplit(url)
        return probe.connect_ex((str(address.hostname), int(address.port or 0))) == 0


def test_afterwards_no_port_thread_or_folder_is_left() -> None:
    before = set(threading.enumerate())
    with Sandbox("scripted") as running:
        url, folder = running.server.url, running.folder
        assert listening(url)
        assert folder.is_dir()
    assert not listening(url)
    assert not folder.exists()
    assert {t for t in threading.enumerate() if t.name == "sandbox"} <= before


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    sandbox = Sandbox("scripted")

    async def enter() -> None:
        async with sandbox:
            raise AssertionError("it was cancelled before")

    entering = asyncio.create_task(enter())
    await asyncio.sleep(0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not sandbox.folder.exists()
    assert not listening(sandbox.server.url)


def test_a_folder_that_was_given_stays(tmp_path: Path) -> None:
    with Sandbox("scripted", folder=tmp_path) as running:
        assert running.kubeconfig.parent == tmp_path
    assert (tmp_path / "kubeconfig").exists()


def test_manifests_of_a_list_are_its_items(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    file.write_text("kind: List\nitems: [{kind: A}, {kind: B}]\n---\n---\nkind: C\n")
    assert [obj["kind"] for obj in manifests.read([file])] == ["A", "B", "C"]

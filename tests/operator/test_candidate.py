"""One process that may lead: where its Lease lies, and what keeps it from leading."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from rollout.api.crd import all_crds
from rollout.kube.client import Kube
from rollout.kube.kinds import LEASES, NAMESPACES
from rollout.kube.login import login, own_namespace
from rollout.operator import definitions
from rollout.operator.candidate import OUTSIDE, Candidate, identity
from rollout.operator.leadership import Told
from rollout.operator.queue import Key
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.apiserver.tokens import service_account
from rollout.sandbox.manifests import apply
from rollout.settings import Settings

KEY = Key("Rollout", "shop", "checkout")


async def _at_once(_shard: int) -> None:
    pass


def _nothing(_shard: int) -> None:
    pass


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def candidate(
    server: ApiServer, directory: Path, token: str | None = None, **settings: Any
) -> AsyncIterator[tuple[Candidate, Kube]]:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig(token))
    async with Kube(await login(str(kubeconfig))) as kube:
        told = Told(_nothing, _at_once, _nothing)
        made = Candidate(kube, Settings(kubeconfig=str(kubeconfig), **settings), "me", told)
        task = asyncio.create_task(made.run())
        try:
            yield made, kube
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def install(server: ApiServer, *crds: dict[str, Any]) -> None:
    await apply(server.client(manager="test"), list(crds or all_crds().values()))


async def lead(made: Candidate) -> None:
    await until(lambda: made.tenure(KEY))


async def test_outside_a_cluster_the_namespace_of_the_lease_is_made_where_it_is_missing(
    tmp_path: Path,
) -> None:
    async with ApiServer() as server:
        await install(server)
        async with candidate(server, tmp_path) as (made, kube):
            await lead(made)
            assert await kube.find(NAMESPACES, None, OUTSIDE) is not None
            lease = await kube.get(LEASES, OUTSIDE, "rollout")
            assert lease["spec"]["holderIdentity"] == "me"


async def test_a_namespace_that_is_named_is_not_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with ApiServer() as server:
        await install(server)
        async with candidate(server, tmp_path, lease_namespace="elsewhere") as (made, kube):
            await until(lambda: "create the namespace, or set ROLLOUT_LEASE_NAMESPACE" in caplog.text)
            assert made.tenure(KEY) is None
            assert await kube.find(NAMESPACES, None, "elsewhere") is None


async def test_whoever_may_not_write_leases_stands_by_and_names_the_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with ApiServer() as server:
        await install(server)
        await apply(server.client(manager="test"), [namespace(OUTSIDE)])
        token = server.api.tokens.issue(service_account(OUTSIDE, "nobody"))
        async with candidate(server, tmp_path, token) as (made, _):
            await until(lambda: "grant our ServiceAccount 'create' on 'leases" in caplog.text)
            assert made.tenure(KEY) is None


async def test_with_an_old_crd_it_could_not_take_over_until_that_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "AGAIN_S", 0.1)
    old = deepcopy(all_crds())
    schema = old["rollouts.yaml"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]["properties"]["turn"]
    async with ApiServer() as server:
        await install(server, *old.values())
        async with candidate(server, tmp_path) as (made, _):
            await until(lambda: "lacks status.turn" in made.refusal)
            assert made.tenure(KEY) is None
            await install(server)
            await lead(made)
            assert made.refusal == ""
            await install(server, *old.values())
            await asyncio.sleep(0.5)
            assert made.refusal == "", "whoever leads goes on: an abort must not wait for a CRD"
            assert made.tenure(KEY) is not None


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def test_nobody_is_the_same_as_another_unless_told_to_be() -> None:
    assert identity(Settings()) != identity(Settings())
    assert identity(Settings(identity="pod-1")) == "pod-1"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        pytest.param(Settings(), "rollout", id="of all namespaces"),
        pytest.param(Settings(namespace="shop"), "rollout.shop", id="of one namespace"),
        pytest.param(Settings(namespace="shop", lease_name="ours"), "ours", id="as it is told"),
    ],
)
def test_operators_of_different_namespaces_take_no_turns(settings: Settings, name: str) -> None:
    assert settings.lease == name


def test_outside_a_pod_there_is_no_namespace_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert own_namespace() == ""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert own_namespace("a/kubeconfig") == ""

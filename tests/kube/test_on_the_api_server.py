"""The door against the embedded API server, over TLS, with a kubeconfig: what fakes can't show."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rollout.api.base import Manifest
from rollout.kube.client import Kube
from rollout.kube.discovery import Discovery
from rollout.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotServed,
    Owned,
    Unavailable,
)
from rollout.kube.kinds import (
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    HTTP_ROUTES,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    SERVICES,
)
from rollout.kube.login import login
from rollout.kube.reflector import Change, Reflector
from rollout.routers import gateway_api
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.server import ApiServer
from rollout.workloads import pods, replicasets, services
from rollout.workloads.labels import HASH_LABEL


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


async def connected(server: ApiServer, directory: Path, token: str | None = None) -> Kube:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig(token))
    return Kube(await login(str(kubeconfig)))


@pytest_asyncio.fixture
async def kube(server: ApiServer, tmp_path: Path) -> AsyncIterator[Kube]:
    async with await connected(server, tmp_path) as client:
        await client.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        )
        yield client


def service(name: str = "stable", **selector: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": selector or {"app": "checkout"}, "ports": [{"port": 80}]},
    }


ROLLOUT = {
    "apiVersion": "progressive.delivery/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "checkout", "namespace": "shop", "uid": "4f0c5f0e-0000-4000-8000-000000000000"},
    "spec": {
        "selector": {"matchLabels": {"app": "checkout"}},
        "template": {
            "metadata": {"labels": {"app": "checkout"}},
            "spec": {"containers": [{"name": "app", "image": "shop:v1"}]},
        },
    },
}
REVISION = replicasets.Revision("6c9f7d", 1, "id", "at")


async def test_a_selector_is_patched_once_and_a_patch_from_a_stale_reading_is_a_conflict(kube: Kube) -> None:
    first = await kube.create(SERVICES, service())
    written = await kube.json_patch(SERVICES, "shop", "stable", services.patch(first, "v1"))
    assert services.selected_hash(written) == "v1"
    assert written["spec"]["selector"]["app"] == "checkout"
    with pytest.raises(Conflict):
        await kube.json_patch(SERVICES, "shop", "stable", services.patch(first, "v2"))
    assert services.selected_hash(await kube.get(SERVICES, "shop", "stable")) == "v1"


async def test_gits_service_with_the_live_hash_is_applied_over_what_was_read_only(
    kube: Kube,
) -> None:
    live = await kube.create(SERVICES, service())
    live = await kube.json_patch(SERVICES, "shop", "stable", services.patch(live, "v1"))
    git = service(app="checkout", tier="web")
    applied = await kube.apply(SERVICES, services.compose(git, live, None), manager="rollout-git")
    assert applied["spec"]["selector"] == {"app": "checkout", "tier": "web", HASH_LABEL: "v1"}
    with pytest.raises(Conflict):
        await kube.apply(SERVICES, services.compose(git, live, "v9"), manager="rollout-git")


async def test_an_apply_without_force_names_who_owns_the_field(kube: Kube) -> None:
    await kube.apply(SERVICES, service(app="one"), manager="somebody")
    with pytest.raises(Owned, match="somebody"):
        await kube.apply(SERVICES, service(app="two"), manager="rollout-git", force=False)
    forced = await kube.apply(SERVICES, service(app="two"), manager="rollout-git")
    assert forced["spec"]["selector"] == {"app": "two"}


async def test_a_dry_run_changes_nothing(kube: Kube) -> None:
    await kube.create(SERVICES, service(), dry_run=True)
    await kube.apply(SERVICES, service(), manager="rollout-git", dry_run=True)
    assert await kube.find(SERVICES, "shop", "stable") is None


async def test_a_replica_set_is_created_scaled_over_its_version_and_deleted_by_its_uid(kube: Kube) -> None:
    made = await kube.create(REPLICA_SETS, replicasets.render(ROLLOUT, REVISION, 2))
    with pytest.raises(AlreadyExists):
        await kube.create(REPLICA_SETS, replicasets.render(ROLLOUT, REVISION, 2))
    seen = replicasets.read(made)
    assert (seen.wanted, seen.revision, seen.owner_uid) == (2, REVISION, ROLLOUT["metadata"]["uid"])  # type: ignore[index]
    at = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
    scaled = await kube.merge_patch(REPLICA_SETS, "shop", seen.name, replicasets.patch(seen, 0, at))
    assert (replicasets.read(scaled).wanted, replicasets.read(scaled).scale_down_at) == (0, at)
    with pytest.raises(Conflict):
        await kube.merge_patch(REPLICA_SETS, "shop", seen.name, replicasets.patch(seen, 5))
    with pytest.raises(Conflict):
        await kube.delete(REPLICA_SETS, "shop", seen.name, uid="another")
    await kube.delete(REPLICA_SETS, "shop", seen.name, uid=seen.uid)
    with pytest.raises(NotFound):
        await kube.delete(REPLICA_SETS, "shop", seen.name)


async def test_a_template_that_the_server_refuses_is_told_by_field_and_nothing_is_created(kube: Kube) -> None:
    body = replicasets.render(ROLLOUT, REVISION, 1)
    body["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(Invalid) as strict:
        await kube.create(REPLICA_SETS, body, dry_run=True)
    assert [(each.path, each.remedy) for each in strict.value.problems] == [
        ("spec.template.spec.containers[0].imagePulPolicy", "remove it")
    ]
    body = replicasets.render(ROLLOUT, REVISION, 1)
    del body["spec"]["template"]["spec"]["containers"][0]["name"]
    with pytest.raises(Invalid) as required:
        await kube.create(REPLICA_SETS, body, dry_run=True)
    assert "spec.template.spec.containers[0].name" in [each.path for each in required.value.problems]
    assert await kube.find(REPLICA_SETS, "shop", "checkout-6c9f7d") is None


async def test_credentials_that_are_not_known_are_told_so(server: ApiServer, tmp_path: Path) -> None:
    async with await connected(server, tmp_path, "wrong") as unknown:
        with pytest.raises(Forbidden, match="renew the credentials"):
            await unknown.get(SERVICES, "shop", "stable")


async def test_kinds_are_discovered_and_ours_without_its_crd_is_not_served(kube: Kube) -> None:
    discovery = Discovery(kube)
    assert await discovery.resource("apps/v1", "ReplicaSet") == REPLICA_SETS
    assert await discovery.resource("v1", "Namespace") == NAMESPACES
    with pytest.raises(NotServed, match="Rollout"):
        await discovery.resource("progressive.delivery/v1alpha1", "Rollout")
    with pytest.raises(NotServed):
        await kube.list(ROLLOUTS)


async def test_an_event_stands_beside_its_object(kube: Kube) -> None:
    about = await kube.create(SERVICES, service())
    await kube.event(about, "SelectorDrift", "the hash was gone", warning=True)
    (told,) = (await kube.list(EVENTS, "shop")).items
    assert (told["reason"], told["type"]) == ("SelectorDrift", "Warning")
    assert told["involvedObject"]["uid"] == about["metadata"]["uid"]


async def test_a_list_longer_than_a_page_comes_whole(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.kube.client.PAGE", 3)
    names = [f"s{index}" for index in range(8)]
    for name in names:
        await kube.create(SERVICES, service(name))
    listing = await kube.list(SERVICES, "shop")
    assert [item["metadata"]["name"] for item in listing.items] == names


class Following:
    """A reflector of the Services that carry our label, and what it told."""

    def __init__(self, kube: Kube) -> None:
        self.moved = asyncio.Event()
        self.changes: list[str] = []
        self.cache: Reflector[str] = Reflector(
            kube, SERVICES, _color, namespace="shop", labels="ours", on_change=self._changed
        )

    def _changed(self, change: Change[str]) -> None:
        self.changes.append(f"{change.name}: {change.before} to {change.after}")
        self.moved.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self.moved.clear()
                await self.moved.wait()


def _color(manifest: Any) -> str:
    return str(manifest["metadata"]["labels"]["ours"])


def colored(name: str, color: str | None) -> dict[str, Any]:
    made = service(name)
    made["metadata"]["labels"] = {"ours": color} if color else {}
    return made


async def test_a_cache_follows_what_carries_its_label_through_cuts(server: ApiServer, kube: Kube) -> None:
    following = Following(kube)
    cache = following.cache
    await kube.create(SERVICES, colored("a", "red"))
    await kube.create(SERVICES, colored("foreign", None))
    task = asyncio.create_task(cache.run())
    try:
        await cache.ready(10)
        assert cache.list() == ("red",)
        for round_, color in enumerate(("green", "blue", "grey")):
            if round_:
                server.cut_watches()
            await kube.apply(SERVICES, colored("a", color), manager="test")
            await following.until(lambda color=color: cache.get("shop", "a") == color)  # type: ignore[misc]
        await kube.merge_patch(SERVICES, "shop", "a", {"metadata": {"labels": {"ours": None}}})
        await following.until(lambda: cache.get("shop", "a") is None)
        await kube.merge_patch(SERVICES, "shop", "a", {"metadata": {"labels": {"ours": "back"}}})
        await following.until(lambda: cache.get("shop", "a") == "back")
        await kube.delete(SERVICES, "shop", "a")
        await following.until(lambda: not cache.list())
    finally:
        task.cancel()
    lists = [each for each in server.requests.entries if each.method == "GET" and "watch" not in each.query]
    assert len([each for each in lists if each.path.endswith("/services")]) == 1, (
        "a cut watch needs no new list"
    )


async def test_a_pod_that_is_created_without_a_kubelet_has_no_trouble_and_no_readiness(kube: Kube) -> None:
    made = await kube.create(
        PODS,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "namespace": "shop", "labels": {HASH_LABEL: "v1"}},
            "spec": {"containers": [{"name": "app", "image": "shop:v1"}]},
        },
    )
    seen = pods.read(made)
    assert (seen.hash, seen.ready, seen.trouble, seen.terminating) == ("v1", False, None, False)


HTTP_ROUTE_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "httproutes.gateway.networking.k8s.io"},
    "spec": {
        "group": "gateway.networking.k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "httproutes", "singular": "httproute", "kind": "HTTPRoute"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                        },
                    }
                },
            }
        ],
    },
}
HTTP_ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "checkout", "namespace": "shop"},
    "spec": {
        "hostnames": ["shop.example"],
        "rules": [
            {"backendRefs": [{"name": "docs", "port": 80}]},
            {
                "name": "main",
                "filters": [{"type": "CORS", "cors": {"allowOrigins": ["*"]}}],
                "backendRefs": [
                    {"name": "stable", "port": 80, "weight": 100},
                    {"name": "canary", "port": 80, "weight": 0},
                ],
            },
        ],
    },
}


async def test_a_weight_is_patched_into_gits_route_and_a_stale_one_is_a_conflict(kube: Kube) -> None:
    await kube.create(CUSTOM_RESOURCE_DEFINITIONS, HTTP_ROUTE_CRD)
    live = await kube.apply(HTTP_ROUTES, HTTP_ROUTE, manager="rollout-git")

    async def shift(route: Manifest, percent: int) -> Manifest:
        operations = gateway_api.patch(route, "stable", "canary", "main", percent)
        return await kube.json_patch(HTTP_ROUTES, "shop", "checkout", operations)

    shifted = await shift(live, 5)
    assert gateway_api.read(shifted, "stable", "canary", "main").canary_percent == 5
    assert shifted["spec"] == gateway_api.render(HTTP_ROUTE, "stable", "canary", "main", 5)["spec"]
    assert gateway_api.patch(shifted, "stable", "canary", "main", 5) == ()
    with pytest.raises(Conflict):
        await shift(live, 25)
    now = await kube.get(HTTP_ROUTES, "shop", "checkout")
    assert gateway_api.read(now, "stable", "canary", "main").canary_percent == 5
    again = gateway_api.compose(HTTP_ROUTE, now, "stable", "canary", "main", 5)
    kept = await kube.apply(HTTP_ROUTES, again, manager="rollout-git")
    assert gateway_api.read(kept, "stable", "canary", "main").canary_percent == 5


def suffering(server: ApiServer, path: str, *faults: Fault) -> None:
    """Let the next requests to a path suffer, one fault each."""
    left = list(faults)

    async def fault(request: Request) -> Fault | None:
        return left.pop(0) if left and request.path.endswith(path) else None

    server.fault = fault


async def test_of_a_write_whose_answer_is_lost_it_is_only_known_that_nothing_is_known(
    server: ApiServer, kube: Kube
) -> None:
    live = await kube.create(SERVICES, service())
    suffering(server, "/services/stable", Fault(cut=True, after=True))
    operations = services.patch(live, "v1")
    with pytest.raises(Unavailable):
        await kube.json_patch(SERVICES, "shop", "stable", operations)
    assert services.selected_hash(await kube.get(SERVICES, "shop", "stable")) == "v1", "it was done"
    with pytest.raises(Conflict):
        await kube.json_patch(SERVICES, "shop", "stable", operations)


async def test_a_cache_gets_over_refused_lists_and_old_watches(server: ApiServer, kube: Kube) -> None:
    following = Following(kube)
    await kube.create(SERVICES, colored("a", "red"))
    suffering(
        server,
        "/namespaces/shop/services",
        Fault(error=ApiError(500, "InternalError", "broken")),
        Fault(error=ApiError(429, "TooManyRequests", "busy")),
        Fault(cut=True),
        Fault(),
        Fault(error=ApiError(410, "Expired", "too old resource version")),
    )
    task = asyncio.create_task(following.cache.run())
    try:
        await following.cache.ready(15)
        await kube.apply(SERVICES, colored("a", "green"), manager="test")
        await following.until(lambda: following.cache.get("shop", "a") == "green")
    finally:
        task.cancel()
    assert following.cache.trouble is None


async def test_where_no_proxy_is_between_nobody_looks_for_one_before_each_request(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))  # aiohttp warns of it each time that it looks
    async with await connected(server, tmp_path) as kube:
        await kube.get(NAMESPACES, None, "default")
    assert [record.message for record in caplog.records if "netrc" in record.message] == []

"""What a manifest's apiVersion and kind mean to a server."""

import pytest
from aiohttp import web
from faulty import faulty

from rollout.kube.discovery import Discovery
from rollout.kube.errors import NotServed
from rollout.kube.kinds import Resource

SERVED = {
    "/api/v1": [
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/eviction", "kind": "Eviction", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
    ],
    "/apis/apps/v1": [
        {"name": "deployments", "kind": "Deployment", "namespaced": True},
        {"name": "deployments/scale", "kind": "Scale", "namespaced": True},
    ],
}


async def served(request: web.Request) -> web.StreamResponse:
    if request.path not in SERVED:
        return web.Response(status=404, text="404 page not found\n")
    return web.json_response({"kind": "APIResourceList", "resources": SERVED[request.path]})


async def test_kinds_are_found_in_their_api_version_and_asked_for_once() -> None:
    async with faulty(served) as server:
        discovery = Discovery(server.kube)
        assert await discovery.resource("apps/v1", "Deployment") == Resource(
            "apps", "v1", "deployments", "Deployment"
        )
        assert (await discovery.resource("v1", "Namespace")).namespaced is False
        assert (await discovery.resource("v1", "Pod")).path("shop", "a") == "/api/v1/namespaces/shop/pods/a"
        assert [each.path for each in server.sent] == ["/apis/apps/v1", "/api/v1"]


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        pytest.param("v1", "Eviction", id="a subresource's kind"),
        pytest.param("v1", "Deployment", id="a kind of another version"),
        pytest.param("x.example/v1", "Thing", id="a group that is not installed"),
    ],
)
async def test_a_kind_that_is_not_served_is_named_with_its_version(api_version: str, kind: str) -> None:
    async with faulty(served) as server:
        with pytest.raises(NotServed, match=f"{kind} in {api_version}"):
            await Discovery(server.kube).resource(api_version, kind)


async def test_a_kind_that_is_missing_is_asked_for_again_so_a_new_crd_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with faulty(served) as server:
        discovery = Discovery(server.kube)
        with pytest.raises(NotServed):
            await discovery.resource("x.example/v1", "Thing")
        thing = {"name": "things", "kind": "Thing", "namespaced": False}
        monkeypatch.setitem(SERVED, "/apis/x.example/v1", [thing])
        assert (await discovery.resource("x.example/v1", "Thing")).path(
            None, "a"
        ) == "/apis/x.example/v1/things/a"

"""Traefik on the embedded API server; Services and EndpointSlices are made by hand, without controllers."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from sandbox_world import HTTP_ROUTES, eventually, route

from rollout.sandbox import dataplane, manifests
from rollout.sandbox.apiserver.local import JSON_PATCH, ApiError, LocalClient
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.apiserver.tokens import service_account
from rollout.sandbox.crds import gateway_definitions

HOST = {"Host": "shop.local"}


def backend(name: str, port: int) -> list[dict[str, Any]]:
    service = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": port}]}}
    labels = {"kubernetes.io/service-name": name}
    held = {
        "metadata": {"name": f"{name}-1", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, **service},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **held},
    ]


async def named(name: str) -> tuple[web.AppRunner, int]:
    """A server that answers every request with its name."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


class World:
    """An API server with definitions and roles, two backends behind a route, and Traefik as its account."""

    def __init__(self, server: ApiServer, traefik: dataplane.Traefik) -> None:
        self.server = server
        self.client: LocalClient = server.client()
        self.traefik = traefik

    async def weights(self, stable: int, canary: int) -> None:
        patch = [
            {"op": "replace", "path": f"/spec/rules/0/backendRefs/{at}/weight", "value": weight}
            for at, weight in enumerate((stable, canary))
        ]
        await self.client.patch(HTTP_ROUTES, "default", "shop", patch, content_type=JSON_PATCH)

    async def ask(self, session: aiohttp.ClientSession) -> str:
        async with session.get(self.traefik.url, headers=HOST) as answer:
            return await answer.text() if answer.status == 200 else str(answer.status)

    async def settled(self, session: aiohttp.ClientSession, *names: str) -> None:
        """Wait until ten requests in a row were answered by these, and by each of them."""

        async def there() -> bool:
            return {await self.ask(session) for _ in range(10)} == set(names)

        await eventually(there)

    async def conditions(self) -> dict[str, tuple[str, str, int]]:
        """Status, reason and observedGeneration of each condition for the Gateway."""
        held = await self.client.get(HTTP_ROUTES, "default", "shop")
        parents = held.get("status", {}).get("parents") or [{"conditions": []}]
        return {
            c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in parents[0]["conditions"]
        }


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    servers = [await named("stable"), await named("canary")]
    async with ApiServer() as server:
        client, port = server.client(), dataplane.free_port()
        ca = tmp_path / "ca.crt"
        ca.write_text(server.ca_pem)
        await manifests.apply(client, [*gateway_definitions(), *dataplane.gateway(port)])
        for name, (_, number) in zip(("stable", "canary"), servers, strict=True):
            await manifests.apply(client, backend(name, number))
        await manifests.apply(client, [route("shop", stable=90, canary=10)])
        token = server.api.tokens.issue(service_account(dataplane.NAMESPACE, "traefik"))
        traefik = await dataplane.start(dataplane.ApiAccess(server.url, token, ca), tmp_path, port)
        try:
            yield World(server, traefik)
        finally:
            await traefik.stop()
            for runner, _ in servers:
                await runner.cleanup()


@pytest.mark.real
async def test_of_2000_requests_a_weight_of_ten_gets_exactly_200(world: World) -> None:
    async with aiohttp.ClientSession() as session:
        await world.settled(session, "stable", "canary")
        counted = Counter([await world.ask(session) for _ in range(2000)])
    assert counted == {"stable": 1800, "canary": 200}


@pytest.mark.real
async def test_a_flip_of_weights_is_followed_and_fails_no_request(world: World) -> None:
    async with aiohttp.ClientSession() as session:
        await world.settled(session, "stable", "canary")
        for weights, name in (((0, 100), "canary"), ((100, 0), "stable"), ((0, 100), "canary")):
            await world.weights(*weights)
            seen = await asyncio.wait_for(until_only(world, session, name), 20)
            assert set(seen) <= {"stable", "canary"}


async def until_only(world: World, session: aiohttp.ClientSession, name: str) -> list[str]:
    """All answers until 300 in a row were of this name."""
    seen: list[str] = []
    while set(seen[-300:]) != {name} or len(seen) < 300:
        seen.append(await world.ask(session))
    return seen


@pytest.mark.real
async def test_traefik_writes_the_generation_it_has_taken_in(world: World) -> None:
    async def taken() -> bool:
        held = await world.client.get(HTTP_ROUTES, "default", "shop")
        generation = held["metadata"]["generation"]
        found = await world.conditions()
        return found == {
            "Accepted": ("True", "Accepted", generation),
            "ResolvedRefs": ("True", "ResolvedRefs", generation),
        }

    await eventually(taken)
    await world.weights(50, 50)
    assert (await world.client.get(HTTP_ROUTES, "default", "shop"))["metadata"]["generation"] == 2
    await eventually(taken)


@pytest.mark.real
async def test_a_service_that_is_missing_is_said_in_the_status(world: World) -> None:
    patch = [{"op": "replace", "path": "/spec/rules/0/backendRefs/1/name", "value": "nobody"}]
    await world.client.patch(HTTP_ROUTES, "default", "shop", patch, content_type=JSON_PATCH)

    async def said() -> bool:
        return (await world.conditions()).get("ResolvedRefs") == ("False", "BackendNotFound", 2)

    await eventually(said)


@pytest.mark.real
async def test_traefik_follows_the_route_after_its_watches_were_cut(world: World) -> None:
    async with aiohttp.ClientSession() as session:
        await world.settled(session, "stable", "canary")
        world.server.cut_watches()
        await world.weights(0, 100)
        await world.settled(session, "canary")


@pytest.mark.real
async def test_traefik_asks_for_nothing_that_its_role_does_not_grant(world: World) -> None:
    async with aiohttp.ClientSession() as session:
        await world.settled(session, "stable", "canary")

    async def written() -> bool:
        return "Accepted" in await world.conditions()

    await eventually(written)
    asked = [entry for entry in world.server.requests.entries if entry.user == dataplane.USER]
    assert asked
    assert not [entry.path for entry in asked if entry.status == 403]


async def test_traefik_may_not_change_a_route_itself() -> None:
    async with ApiServer() as server:
        client = server.client()
        await manifests.apply(client, [*gateway_definitions(), *dataplane.gateway(8080)])
        await manifests.apply(client, [route("shop", stable=100)])
        account = service_account(dataplane.NAMESPACE, "traefik")
        proxy = LocalClient(server.api, account)
        with pytest.raises(ApiError, match="cannot patch") as refused:
            await proxy.patch(HTTP_ROUTES, "default", "shop", {"spec": {"hostnames": ["other"]}})
    assert refused.value.status == 403


BACKEND = {"name": "shop", "port": 80}
HEADER = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}
REDIRECT = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        pytest.param({"backendRefs": [{"name": "shop"}]}, "port", id="a Service without its port"),
        pytest.param(
            {"backendRefs": [BACKEND | {"weight": 1000001}]}, "1000000", id="a weight over a million"
        ),
        pytest.param({"filters": [{"type": "CORS"}]}, "cors", id="a filter without its settings"),
        pytest.param({"filters": [HEADER, HEADER]}, "at most one", id="a filter twice"),
        pytest.param(
            {"filters": [REDIRECT], "backendRefs": [BACKEND]}, "redirects", id="redirect and backends"
        ),
    ],
)
async def test_a_route_is_refused(rule: dict[str, Any], complaint: str) -> None:
    assert complaint in await refusal(rule)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param({"backendRefs": [BACKEND | {"filters": [HEADER]}]}, id="a header of one backend"),
        pytest.param({"filters": [REDIRECT]}, id="a redirect"),
        pytest.param({"backendRefs": [BACKEND], "timeouts": {"request": "2s"}}, id="a timeout"),
        pytest.param({"name": "checkout", "backendRefs": [BACKEND]}, id="a name"),
    ],
)
async def test_a_route_is_accepted(rule: dict[str, Any]) -> None:
    assert await refusal(rule) == ""


async def refusal(rule: dict[str, Any]) -> str:
    """What the API server says against a route of one rule."""
    async with ApiServer() as server:
        client = server.client()
        await manifests.apply(client, gateway_definitions())
        body = route("shop") | {"spec": {"rules": [rule]}}
        try:
            await client.create(HTTP_ROUTES, "default", body)
        except ApiError as refused:
            return str(refused)
        return ""


async def test_what_a_route_leaves_out_is_filled_in() -> None:
    async with ApiServer() as server:
        client = server.client()
        await manifests.apply(client, gateway_definitions())
        spec = {"parentRefs": [{"name": "sandbox"}], "rules": [{"backendRefs": [BACKEND]}]}
        made = await client.create(HTTP_ROUTES, "default", route("shop") | {"spec": spec})
    assert made["spec"] == {
        "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "sandbox"}],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "shop", "port": 80, "weight": 1}],
            }
        ],
    }


async def test_an_unknown_field_of_a_route_is_refused_where_validation_is_strict() -> None:
    body = route("shop", stable=1)
    body["spec"]["rules"][0]["wieght"] = 3
    async with ApiServer() as server:
        await manifests.apply(server.client(), gateway_definitions())
        url = f"{server.url}/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"
        headers = {"Authorization": f"Bearer {server.admin_token}", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{url}?fieldValidation=Strict", data=json.dumps(body), ssl=False) as answer,
        ):
            said = await answer.json()
    assert answer.status == 400
    assert 'unknown field "spec.rules[0].wieght"' in said["message"]

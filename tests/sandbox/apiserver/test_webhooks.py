"""Validating webhooks of the embedded API server: who is asked, what of, and what comes of the answer."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
import trustme
from aiohttp import ClientSession, web

from rollout.sandbox.apiserver.server import ApiServer

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass
class Hook:
    """A webhook that says what it is told, and remembers what it was asked."""

    authority: trustme.CA = field(default_factory=trustme.CA)
    response: dict[str, Any] = field(default_factory=lambda: {"allowed": True})
    asked: list[dict[str, Any]] = field(default_factory=list)
    silent: bool = False
    url: str = ""

    async def hear(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked.append(review["request"])
        if self.silent:
            await asyncio.sleep(60)
        body = {"uid": review["request"]["uid"], **self.response}
        return web.json_response({**review, "response": body})


@dataclass
class Api:
    """An administrator of the API server."""

    server: ApiServer
    session: ClientSession
    hook: Hook

    async def send(self, method: str, path: str, body: Any) -> tuple[int, Any, list[str]]:
        """(status, body, warnings)."""
        kind = {"PATCH": "application/merge-patch+json"}.get(method, "application/json")
        headers = {"Authorization": f"Bearer {self.server.admin_token}", "Content-Type": kind}
        context = ssl.create_default_context(cadata=self.server.ca_pem)
        url = self.server.url + path
        async with self.session.request(method, url, json=body, headers=headers, ssl=context) as reply:
            return reply.status, await reply.json(), reply.headers.getall("Warning", [])

    async def ask(self, **changed: Any) -> tuple[int, Any, list[str]]:
        """Configure the webhook for ConfigMaps."""
        authority = base64.b64encode(self.hook.authority.cert_pem.bytes()).decode()
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
        webhook = {
            "name": "maps.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": self.hook.url, "caBundle": authority},
            "sideEffects": "None",
            "timeoutSeconds": 1,
            "rules": [rule],
            **changed,
        }
        head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        return await self.send("POST", HOOKS, {**head, "metadata": {"name": "maps"}, "webhooks": [webhook]})

    async def create(self, name: str = "m") -> tuple[int, Any, list[str]]:
        return await self.send("POST", MAPS, {"metadata": {"name": name}, "data": {"a": "b"}})


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    hook = Hook()
    application = web.Application()
    application.router.add_post("/", hook.hear)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    hook.authority.issue_cert("127.0.0.1").configure_cert(context)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    hook.url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
    async with ApiServer() as server, ClientSession() as session:
        yield Api(server, session, hook)
    await runner.cleanup()


async def test_it_is_asked_what_would_be_stored_and_its_warnings_are_handed_on(api: Api) -> None:
    assert (await api.ask())[0] == 201
    api.hook.response = {"allowed": True, "warnings": ["mind the gap"]}
    status, _, warnings = await api.create()
    assert (status, warnings) == (201, ['299 - "mind the gap"'])
    await api.send("PATCH", f"{MAPS}/m", {"data": {"a": "c"}})
    first, second = api.hook.asked
    assert (first["operation"], first["oldObject"], first["object"]["data"]) == ("CREATE", None, {"a": "b"})
    assert (second["operation"], second["oldObject"]["data"]["a"]) == ("UPDATE", "b")
    assert second["object"]["data"] == {"a": "c"}
    assert first["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (first["namespace"], first["name"], first["userInfo"]["username"]) == (
        "default",
        "m",
        "system:admin",
    )


async def test_what_it_refuses_is_not_stored_and_its_status_is_told(api: Api) -> None:
    await api.ask()
    api.hook.response = {"allowed": False, "status": {"code": 422, "reason": "Invalid", "message": "no"}}
    status, body, _ = await api.create()
    assert (status, body["reason"]) == (422, "Invalid")
    assert body["message"] == 'admission webhook "maps.example.com" denied the request: no'
    assert (await api.send("GET", f"{MAPS}/m", None))[0] == 404


@pytest.mark.parametrize(
    ("policy", "status"), [pytest.param("Ignore", 201, id="ignored"), pytest.param("Fail", 500, id="fatal")]
)
@pytest.mark.parametrize("trouble", ["silent", "another authority", "nobody there"])
async def test_no_answer_is_what_its_policy_says(api: Api, policy: str, status: int, trouble: str) -> None:
    api.hook.silent = trouble == "silent"
    if trouble == "another authority":
        api.hook.authority = trustme.CA()
    if trouble == "nobody there":
        api.hook.url = "https://127.0.0.1:1/"
    assert (await api.ask(failurePolicy=policy))[0] == 201
    found, body, _ = await api.create()
    assert found == status
    if status == 500:
        assert 'failed calling webhook "maps.example.com"' in body["message"]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"matchConditions": [{"name": "no", "expression": "false"}]}, id="a condition"),
        pytest.param(
            {"matchConditions": [{"name": "no", "expression": "object.spec.size > 1"}]},
            id="a condition that has no answer",
        ),
        pytest.param(
            {
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["DELETE"],
                        "resources": ["configmaps"],
                    }
                ]
            },
            id="another operation",
        ),
    ],
)
async def test_it_is_left_out_by(api: Api, changed: dict[str, Any]) -> None:
    await api.ask(**changed)
    assert (await api.create())[0] == 201
    assert api.hook.asked == []


async def test_what_fails_without_it_is_not_asked_about(api: Api) -> None:
    await api.ask()
    assert (await api.create("Not_A_Name"))[0] == 422
    assert api.hook.asked == []


async def test_selectors_are_not_built_and_say_so(api: Api) -> None:
    assert (await api.ask(objectSelector={"matchLabels": {"a": "b"}}))[0] == 501

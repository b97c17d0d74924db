"""A metric whose Prometheus wants a token: refused without the right to read it, then used, seen nowhere."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from crew import Crew
from manifests import Manifest
from stage import ROLLOUTS, RUNS, Shop, until
from test_thresholds import judged_at_half, template

from rollout.manifests import secrets_in

WRONG, TOKEN = "wr0ng-t0ken-of-the-shop", "s3cret-t0ken-of-the-shop"


@dataclass
class Guarded:
    """A Prometheus that answers 0.99 to who bears TOKEN, and repeats to others what they said."""

    url: str = ""
    borne: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        said = request.headers.get("Authorization", "")
        self.borne.append(said)
        if said != f"Bearer {TOKEN}":
            error = {"status": "error", "errorType": "unauthorized", "error": f"HTTP 401: no {said!r}"}
            return web.json_response(error, status=401)
        data = {"resultType": "vector", "result": [{"metric": {}, "value": [0, "0.99"]}]}
        return web.json_response({"status": "success", "data": data})


@pytest_asyncio.fixture
async def guarded() -> AsyncIterator[Guarded]:
    found = Guarded()
    application = web.Application()
    application.router.add_post("/api/v1/query", found.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


def secret(token: str) -> Manifest:
    metadata = {"name": "prometheus"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": token}}


async def test_a_token_is_asked_with_and_is_in_no_object_event_or_log(
    shop: Shop, guarded: Guarded, operator: Crew, caplog: pytest.LogCaptureFixture
) -> None:
    del operator  # it works
    caplog.set_level(logging.DEBUG)
    headers = [{"key": "Authorization", "value": "Bearer {{args.token}}"}]
    asked = {"address": guarded.url, "query": "success", "headers": headers}
    metric = {
        "name": "success",
        "count": 3,
        "successCondition": "result[0] > 0.95",
        "provider": {"prometheus": asked},
    }
    token = {"name": "token", "valueFrom": {"secretKeyRef": {"name": "prometheus", "key": "token"}}}
    await shop.apply(template(guarded.url, metric, args=[token]))
    await shop.healthy("shop:v1", **judged_at_half())
    await shop.set_image("shop:v2")

    async def says(*words: str) -> bool:
        _, message = await shop.condition("InvalidSpec")
        return all(word in message for word in words)

    named = ("rollout-secrets", f"rollout manifests --secrets-in {shop.namespace}")
    await until("the missing right to be named", lambda: says(*named))
    assert guarded.borne == []
    await shop.sandbox.load(list(yaml.safe_load_all(secrets_in([shop.namespace]))))
    await shop.apply(secret(WRONG))
    await until("the refusal to be told", lambda: says("HTTP 401", "***"))
    await shop.apply(secret(TOKEN))
    await shop.serving("shop:v2")
    assert guarded.borne[-1] == f"Bearer {TOKEN}"
    objects = [await shop.get(ROLLOUTS), await shop.every(RUNS), await shop.events()]
    told = json.dumps(objects) + caplog.text
    assert [word for word in (WRONG, TOKEN) if word in told] == []
    assert "secret:prometheus/token" in told, "a run says which Secret is meant"

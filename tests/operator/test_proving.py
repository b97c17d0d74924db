"""A Prometheus that wants to know who asks, told by Secrets: what it gets, and what nobody ever sees."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import ClientSession, web

from analysis.sources import QueryRefusedError, SourceDownError
from analysis.sources.evaluating import Evaluating, Ranging, Window
from rollout.api.analysis import Metric, parse_analysis_template
from rollout.api.errors import InvalidSpec, Retry, Stalled
from rollout.api.providers import Prometheus
from rollout.gitops.secrets import read_secret
from rollout.kube.client import Kube
from rollout.kube.login import login
from rollout.measure.access import Access
from rollout.operator.sources import Sources
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.install import ToolMissingError, ensure_prometheus
from rollout.settings import Settings

HASHED = "$2b$04$7MYdfRmoEnLEebqBHlKP3uIg1sDaBy.C0SrDqaA5UM9tvtoTBpYHK"
"""PASSWORD as bcrypt writes it."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN, PASSWORD = "s3cret-token", "s3cret-password"
ANSWER = {"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}
REFERENCE = "{{secret:prometheus/token}}"


@dataclass
class Asked:
    """A server that answers what it is told, and remembers who asked for what."""

    status: int = 200
    headers: list[Mapping[str, str]] = field(default_factory=list)
    forms: list[Mapping[str, Any]] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: ANSWER)

    async def hear(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        self.forms.append(dict(await request.post()))
        return web.json_response(self.answer, status=self.status)


@contextlib.asynccontextmanager
async def serving(asked: Asked) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/{path:.*}", asked.hear)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def secrets(**held: str) -> Callable[[str, str, str], Awaitable[Mapping[str, bytes]]]:
    """The Secret `prometheus` of the namespace `shop`, as an editor leaves it."""

    async def read(namespace: str, name: str, _field: str) -> Mapping[str, bytes]:
        assert (namespace, name) == ("shop", "prometheus")
        return {key: f"{value}\n".encode() for key, value in held.items()}

    return read


@contextlib.contextmanager
def asking(body: dict[str, Any], read: Any, **settings: Any) -> Any:
    found = Sources(Settings(**settings), read)
    source = found.at(Access(Prometheus.model_validate(body), "shop"))
    assert isinstance(source, Evaluating)
    try:
        yield source
    finally:
        found.close()


async def test_a_header_carries_what_the_secret_holds() -> None:
    asked = Asked()
    async with serving(asked) as url:
        headers = [
            {"key": "X-Scope-OrgID", "value": "shop"},
            {"key": "Authorization", "value": f"Bearer {REFERENCE}"},
        ]
        with asking({"address": url, "headers": headers}, secrets(token=TOKEN)) as source:
            assert await source.evaluate("1", NOW) == 1.0
    assert asked.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers[0]["X-Scope-OrgID"] == "shop"


async def test_a_user_and_a_password_are_told_as_browsers_tell_them() -> None:
    asked = Asked()
    basic = {"username": "shop", "password": "{{secret:prometheus/password}}"}
    async with serving(asked) as url:
        body = {"address": url, "authentication": {"basicAuth": basic}}
        with asking(body, secrets(password=PASSWORD)) as source:
            await source.evaluate("1", NOW)
    told = asked.headers[0]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(told).decode() == f"shop:{PASSWORD}"


def oauth2(token_url: str) -> dict[str, Any]:
    client = {"clientId": "shop", "clientSecret": REFERENCE, "scopes": ["metrics", "read"]}
    return {"oauth2": {"tokenUrl": token_url, **client}}


async def test_a_token_is_fetched_once_and_borne_by_every_question() -> None:
    asked = Asked()
    giver = Asked(answer={"access_token": "given", "token_type": "Bearer", "expires_in": 3600})
    async with serving(asked) as url, serving(giver) as tokens:
        body = {"address": url, "authentication": oauth2(f"{tokens}/token")}
        with asking(body, secrets(token=TOKEN)) as source:
            await asyncio.gather(*(source.evaluate(str(number), NOW) for number in range(4)))
    assert [each["Authorization"] for each in asked.headers] == ["Bearer given"] * 4
    (form,) = giver.forms
    assert form == {"grant_type": "client_credentials", "scope": "metrics read"}
    login = giver.headers[0]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(login).decode() == f"shop:{TOKEN}"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(401, QueryRefusedError, id="a client that is not known has to be mended"),
        pytest.param(503, SourceDownError, id="a giver that is down is an outage"),
    ],
)
async def test_without_a_token_nothing_is_asked(status: int, error: type[Exception]) -> None:
    asked, giver = Asked(), Asked(status=status, answer={"error": f"no {TOKEN}"})
    async with serving(asked) as url, serving(giver) as tokens:
        body = {"address": url, "authentication": oauth2(tokens)}
        with (
            asking(body, secrets(token=TOKEN)) as source,
            pytest.raises(error, match=r"oauth2\.tokenUrl") as caught,
        ):
            await source.evaluate("1", NOW)
    assert asked.headers == []
    assert TOKEN not in str(caught.value)


async def test_tokens_come_only_from_where_the_operator_may_ask() -> None:
    body = {"address": "http://prometheus:9090", "authentication": oauth2("http://169.254.169.254/token")}
    allowed = ("http://prometheus:9090",)
    with (
        asking(body, secrets(token=TOKEN), prometheus_allowed=allowed) as source,
        pytest.raises(QueryRefusedError, match=r"tokenUrl: .* ROLLOUT_PROMETHEUS_ALLOWED"),
    ):
        await source.evaluate("1", NOW)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        pytest.param({"other": "x"}, "has no key 'token'; add it", id="another key"),
        pytest.param({"token": ""}, "is empty, or no text of one line", id="nothing in it"),
        pytest.param({"token": f"{TOKEN}\nX-Other: 1"}, "no text of one line", id="a second header"),
    ],
)
async def test_a_secret_that_holds_no_such_value_is_told_without_it(held: dict[str, str], says: str) -> None:
    body = {"address": "http://127.0.0.1:1", "headers": [{"key": "Authorization", "value": REFERENCE}]}
    with asking(body, secrets(**held)) as source, pytest.raises(QueryRefusedError, match=says) as caught:
        await source.evaluate("1", NOW)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        pytest.param(Retry("away"), SourceDownError, id="an API server that is away"),
        pytest.param(Stalled("SecretNotFound", "create it"), QueryRefusedError, id="no such Secret"),
    ],
)
async def test_a_secret_that_cant_be_read_is(failure: Exception, error: type[Exception]) -> None:
    async def read(_namespace: str, _name: str, _field: str) -> Mapping[str, bytes]:
        raise failure

    body = {"address": "http://127.0.0.1:1", "headers": [{"key": "Authorization", "value": REFERENCE}]}
    with asking(body, read) as source, pytest.raises(error):
        await source.evaluate("1", NOW)


async def test_without_the_role_binding_the_error_names_it_and_the_command(tmp_path: Path) -> None:
    async with ApiServer() as server:
        account = "system:serviceaccount:rollout-system:rollout"
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig(server.issue_token(account)))
        async with Kube(await login(str(kubeconfig))) as kube:
            body = {
                "address": "http://127.0.0.1:1",
                "headers": [{"key": "Authorization", "value": REFERENCE}],
            }
            with (
                asking(body, partial(read_secret, kube)) as source,
                pytest.raises(QueryRefusedError, match=r"`rollout manifests --secrets-in shop`") as caught,
            ):
                await source.evaluate("1", NOW)
    assert "'rollout-secrets'" in str(caught.value)


@pytest.mark.real
async def test_a_real_prometheus_behind_tls_and_a_password_answers_a_range(tmp_path: Path) -> None:
    try:
        program = ensure_prometheus()
    except ToolMissingError as missing:
        pytest.skip(str(missing))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    issued = trustme.CA().issue_cert("prometheus.example.com")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    issued.private_key_pem.write_to_path(tmp_path / "tls.key")
    guarded = {
        "tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"},
        "basic_auth_users": {"shop": HASHED},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(guarded))
    (tmp_path / "prometheus.yml").write_text("{}")
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--web.config.file={tmp_path / 'web.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        await _answers(f"https://127.0.0.1:{port}/-/ready")
        basic = {"username": "shop", "password": "{{secret:prometheus/password}}"}
        body = {
            "address": f"https://127.0.0.1:{port}",
            "insecure": True,
            "authentication": {"basicAuth": basic},
        }
        now = datetime.now(UTC).replace(microsecond=0)
        window = Window(now - timedelta(minutes=2), now, timedelta(minutes=1))
        with asking(body, secrets(password=PASSWORD)) as source:
            assert isinstance(source, Ranging)
            found = await source.evaluate_range("vector(time())", window)
        assert found == tuple(now.timestamp() - ago for ago in (120.0, 60.0, 0.0))
        with (
            asking(body, secrets(password="another")) as source,
            pytest.raises(QueryRefusedError, match="HTTP 401"),
        ):
            await source.evaluate("1", NOW)
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> None:
    async with asyncio.timeout(60), ClientSession() as session:
        while True:
            with contextlib.suppress(OSError):
                async with session.get(url, ssl=False) as response:
                    if response.status in (200, 401):
                        return
            await asyncio.sleep(0.05)


def template(**provider: Any) -> dict[str, Any]:
    token = {"name": "token", "valueFrom": {"secretKeyRef": {"name": "prometheus", "key": "token"}}}
    compared = {"proportion": {"bad": 'r{code="500"}', "total": "r"}}
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "t"},
        "spec": {
            "args": [token, {"name": "tenant", "value": 'a"b'}],
            "metrics": [{"name": "m", "compare": compared, "provider": {"prometheus": provider}}],
        },
    }


def test_a_run_names_the_secret_and_holds_no_value() -> None:
    headers = [{"key": "A", "value": "Bearer {{args.token}}"}, {"key": "B", "value": "{{ args.tenant }}"}]
    spec = parse_analysis_template(template(headers=headers)).spec
    (metric,) = spec.metrics
    assert isinstance(metric, Metric)
    assert spec.args[0].value_from is not None
    values = {"args.token": spec.args[0].value_from.secret_key_ref.placeholder, "args.tenant": 'a"b'}
    filled = metric.provider.prometheus.with_credentials(values)
    assert [each.value for each in filled.headers] == [f"Bearer {REFERENCE}", 'a"b']


def test_a_secret_in_a_query_is_refused_since_queries_are_shown() -> None:
    body = template()
    body["spec"]["metrics"] = [
        {
            "name": "m",
            "successCondition": "result > 0",
            "provider": {"prometheus": {"query": 'up{token="{{args.token}}"}'}},
        }
    ]
    with pytest.raises(InvalidSpec) as caught:
        parse_analysis_template(body)
    (problem,) = caught.value.problems
    assert problem.path == "spec.metrics[0].provider.prometheus.query"
    assert "headers" in problem.remedy

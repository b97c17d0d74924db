"""The webhook's server: whose certificate it shows, whom it answers, and what it makes of nonsense."""

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import ClientConnectorError, ClientOSError, ClientSession, ServerDisconnectedError

from rollout.admission.judging import Judge
from rollout.admission.serving import BODY_BYTES, Webhook, answering

HOST = "rollout-admission.rollout-system.svc"
BODY = {"metadata": {"name": "shop"}, "spec": {}}
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {"uid": "u", "operation": "UPDATE", "object": BODY, "oldObject": BODY},
}
REFUSED = (ClientConnectorError, ClientOSError, ServerDisconnectedError)


def written(authority: trustme.CA, folder: Path) -> None:
    issued = authority.issue_cert(HOST, "127.0.0.1")
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (folder / "tls.key").write_bytes(issued.private_key_pem.bytes())


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    nobody: Any = None  # nothing has to be asked about what is sent here
    webhook = Webhook(Judge(nobody, nobody, lambda _: True), lambda: datetime(2026, 1, 1, tzinfo=UTC))
    async with answering(webhook, "127.0.0.1:0", folder) as port:
        yield f"https://127.0.0.1:{port}/admission"


async def post(
    url: str, context: ssl.SSLContext, body: Any = None, host: str | None = HOST
) -> tuple[int, Any]:
    """On a connection of its own; `host` None names nobody, as for an address."""
    sent = json.dumps(body or REVIEW).encode()
    async with (
        ClientSession() as session,
        session.post(url, data=io.BytesIO(sent), ssl=context, server_hostname=host) as reply,
    ):
        return reply.status, await reply.json() if reply.status == 200 else None


@pytest.mark.parametrize("host", [pytest.param(HOST, id="by name"), pytest.param(None, id="by address")])
async def test_it_answers_with_the_uid_that_it_was_asked_with(tmp_path: Path, host: str | None) -> None:
    authority = trustme.CA()
    written(authority, tmp_path)
    async with serving(tmp_path) as url:
        status, answer = await post(url, trusting(authority), host=host)
    assert (status, answer["response"]) == (200, {"uid": "u", "allowed": True, "warnings": []})


async def test_a_certificate_that_comes_later_or_is_renewed_is_used_without_a_restart(tmp_path: Path) -> None:
    first, second = trustme.CA(), trustme.CA()
    async with serving(tmp_path) as url:
        with pytest.raises(REFUSED):
            await post(url, trusting(first))
        written(first, tmp_path)
        assert (await post(url, trusting(first)))[0] == 200
        written(second, tmp_path)
        assert (await post(url, trusting(second)))[0] == 200
        with pytest.raises(REFUSED):
            await post(url, trusting(first))


async def test_one_that_cant_be_read_leaves_the_last_good_one_in_use(tmp_path: Path) -> None:
    authority = trustme.CA()
    written(authority, tmp_path)
    async with serving(tmp_path) as url:
        assert (await post(url, trusting(authority)))[0] == 200
        (tmp_path / "tls.crt").write_text("half of a")
        assert (await post(url, trusting(authority)))[0] == 200


async def test_where_clients_must_prove_themselves_nobody_else_is_answered(tmp_path: Path) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    written(authority, tmp_path)
    clients.cert_pem.write_to_path(tmp_path / "client-ca.crt")
    server = trusting(authority)
    clients.issue_cert("kube-apiserver").configure_cert(server)
    async with serving(tmp_path) as url:
        assert (await post(url, server))[0] == 200
        with pytest.raises(REFUSED):
            await post(url, trusting(authority))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(["no", "review"], 400, id="no review"),
        pytest.param(
            {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u", "object": 1}}, 200, id="odd"
        ),
        pytest.param({"x": "y" * BODY_BYTES}, 413, id="more than the API server would send"),
    ],
)
async def test_nonsense_is_answered_and_harms_nobody(tmp_path: Path, body: Any, status: int) -> None:
    authority = trustme.CA()
    written(authority, tmp_path)
    async with serving(tmp_path) as url:
        assert (await post(url, trusting(authority), body))[0] == status
        assert (await post(url, trusting(authority)))[0] == 200


async def test_who_never_ends_a_question_is_not_waited_for(tmp_path: Path) -> None:
    authority = trustme.CA()
    written(authority, tmp_path)
    async with serving(tmp_path) as url:
        port = int(url.split(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting(authority), server_hostname=HOST
        )
        writer.write(b"POST /admission HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        async with asyncio.timeout(60):
            assert b" 408 " in await reader.readline()
        writer.close()

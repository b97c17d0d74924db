"""A server at the border that answers as a test tells it: for faults that no real API server shows on
request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from rollout.kube.client import Kube

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Sent:
    """A request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Faulty:
    """The server: what came, and a client of it."""

    kube: Kube
    sent: list[Sent] = field(default_factory=list)


def configuration(port: int) -> Configuration:
    made = Configuration(host=f"http://127.0.0.1:{port}")
    made.api_key["BearerToken"] = "bearer secret"
    return made


@asynccontextmanager
async def faulty(answer: Answer, *, seconds: float = 5.0, **options: Any) -> AsyncIterator[Faulty]:
    """Serve `answer` for every path on a free port."""
    sent: list[Sent] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        sent.append(Sent(request.method, request.path, dict(request.query), dict(request.headers), body))
        return await answer(request)

    application = web.Application(client_max_size=2**24)
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with Kube(configuration(runner.addresses[0][1]), seconds=seconds, **options) as kube:
            yield Faulty(kube, sent)
    finally:
        await runner.cleanup()


def always(status: int, body: Any, headers: dict[str, str] | None = None) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


def refused(code: int, reason: str = "", message: str = "told so", **details: Any) -> dict[str, Any]:
    """A Status object as the API server writes it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }

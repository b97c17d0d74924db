"""One HTTP request to the API server through the official client: JSON in, JSON out, refusals as our
errors.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from kubernetes.aio.client import ApiClient, Configuration

from rollout import __version__
from rollout.kube.errors import Asked, NotLeading, Unavailable, refusal

OnRequest = Callable[[str, str, int, float], None]
"""Called after each request: verb, resource, HTTP status (0 for no answer), seconds."""

Guard = Callable[[], float]
"""Asked before each write is sent: the seconds that it may take at most.

Raises:
    NotLeading: nothing may be written.
"""

JSON = "application/json"
_AUTH = ["BearerToken"]
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire; empty values of `query` are left out."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    as_user: str = ""
    """Whom to act as; empty: ourselves."""

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.method in _WRITES

    @property
    def target(self) -> str:
        """Path and query."""
        given = {key: value for key, value in self.query.items() if value}
        return f"{self.path}?{urlencode(given, quote_via=quote)}" if given else self.path


class Wire(Protocol):
    """How requests get to an API server, and answers back."""

    async def close(self) -> None:
        """Let go of all connections."""

    async def call(self, asked: Asked, request: Request) -> Any:
        """The decoded answer; raises as `rollout.kube.errors` says."""

    def lines(self, asked: Asked, request: Request, silence: float) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that goes on until the server ends it; raises likewise."""


AT_ONCE = 24
"""Calls, watches not counted: a connection each, and a TLS connection costs a quarter of a megabyte."""


class Transport:
    """Requests as one user; `seconds` bound each but a stream, and `guard` bounds each write.

    `identity` tells two of one user apart in the server's audit log.
    """

    def __init__(
        self,
        configuration: Configuration,
        seconds: float,
        on_request: OnRequest | None,
        guard: Guard | None = None,
        identity: str = "",
    ) -> None:
        self._guard = guard or _unguarded
        self._free = asyncio.Semaphore(AT_ONCE)
        own = copy(configuration)
        own.client_session_kwargs = (own.client_session_kwargs or {}) | {
            "request_class": _guarded(self._guard)
        }
        self._api = ApiClient(own)
        self._api.user_agent = f"rollout/{__version__}" + (f" ({quote(identity)})" if identity else "")
        self._seconds = seconds
        self._on_request = on_request or (lambda _verb, _resource, _status, _seconds: None)

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def call(self, asked: Asked, request: Request) -> Any:
        """The decoded answer.

        Raises:
            NotLeading: the guard lets no write pass; this one was not sent.
            Retry, Stalled: as `rollout.kube.errors` says.
        """
        async with self._free:
            seconds = self._seconds
            if request.writes and self._guard is not _unguarded:
                seconds = min(seconds, self._guard())
                # The server gives it up too, if it has not come to it by then: a write may wait in its queue.
                request = replace(request, query={**request.query, "timeout": f"{int(seconds * 1000)}ms"})
            patience = aiohttp.ClientTimeout(total=seconds)
            async with self._exchange(asked, request, patience) as response:
                return decoded(await response.read())

    async def lines(self, asked: Asked, request: Request, silence: float) -> AsyncGenerator[bytes, None]:
        """The lines, however long, of an answer that goes on until the server ends it.

        Raises:
            Retry, Stalled: as `rollout.kube.errors` says; Unavailable after `silence` seconds without a byte.
        """
        patience = aiohttp.ClientTimeout(total=None, sock_connect=self._seconds, sock_read=silence)
        async with self._exchange(asked, request, patience) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    if line.strip():
                        yield line

    @asynccontextmanager
    async def _exchange(
        self, asked: Asked, request: Request, patience: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        began, status = time.monotonic(), 0
        try:
            response = await self._send(request, patience)
            status = response.status
            async with response:
                if status >= 400:
                    told = decoded(await response.read())
                    raise refusal(asked, status, told, response.headers, datetime.now(UTC))
                yield response
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            raise Unavailable(f"{asked}: {type(error).__name__}: {error}") from error
        finally:
            self._on_request(asked.verb, asked.resource, status, time.monotonic() - began)

    async def _send(self, request: Request, patience: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        method, url, headers, body, _ = await self._api.param_serialize(
            request.method,
            request.target,
            header_params={
                "Accept": JSON,
                "Content-Type": request.content_type,
                **({"Impersonate-User": request.as_user} if request.as_user else {}),
            },
            body=request.body,
            auth_settings=_AUTH,
        )
        answer = await self._api.call_api(method, url, headers, body, _request_timeout=patience)
        response: aiohttp.ClientResponse = answer.response
        return response


def _unguarded() -> float:
    return math.inf


def _guarded(guard: Guard) -> type[aiohttp.ClientRequest]:
    """Requests that ask `guard` once more as their bytes go out.

    A connection may be waited for, a process may be stopped meanwhile, and aiohttp sends a PUT or DELETE
    again where a kept connection turns out to be closed: none of that may outlast the leadership.
    """

    class Guarded(aiohttp.ClientRequest):
        """Every write of ours has a body, so all of them pass here, headers included."""

        async def write_bytes(
            self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
        ) -> None:
            if self.method in _WRITES:
                try:
                    guard()
                except NotLeading as refusal:
                    assert conn.protocol is not None
                    conn.protocol.set_exception(refusal)  # whoever awaits the answer hears it
                    return
            await super().write_bytes(writer, conn, content_length)

    return Guarded


def decoded(answer: bytes) -> Any:
    """JSON where it is JSON, else the text."""
    try:
        return json.loads(answer)
    except ValueError:
        return answer.decode(errors="replace")

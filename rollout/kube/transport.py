"""One HTTP request to the API server through the official client: JSON in, JSON out, refusals as our
errors.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from rollout import __version__
from rollout.kube.errors import Asked, Unavailable, refusal

OnRequest = Callable[[str, str, int, float], None]
"""Called after each request: verb, resource, HTTP status (0 for no answer), seconds."""

JSON = "application/json"
_AUTH = ["BearerToken"]


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire; empty values of `query` are left out."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON

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


class Transport:
    """Requests as one user; `seconds` bound each but a stream."""

    def __init__(self, configuration: Configuration, seconds: float, on_request: OnRequest | None) -> None:
        self._api = ApiClient(configuration)
        self._api.user_agent = f"rollout/{__version__}"
        self._seconds = seconds
        self._on_request = on_request or (lambda _verb, _resource, _status, _seconds: None)

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def call(self, asked: Asked, request: Request) -> Any:
        """The decoded answer.

        Raises:
            Retry, Stalled: as `rollout.kube.errors` says.
        """
        patience = aiohttp.ClientTimeout(total=self._seconds)
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
            header_params={"Accept": JSON, "Content-Type": request.content_type},
            body=request.body,
            auth_settings=_AUTH,
        )
        answer = await self._api.call_api(method, url, headers, body, _request_timeout=patience)
        response: aiohttp.ClientResponse = answer.response
        return response


def decoded(answer: bytes) -> Any:
    """JSON where it is JSON, else the text."""
    try:
        return json.loads(answer)
    except ValueError:
        return answer.decode(errors="replace")

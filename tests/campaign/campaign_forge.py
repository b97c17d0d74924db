"""A host of repositories in virtual time: the very HTTP client and server, with memory between them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from tests.forge.forge_servers import Host

HOST = "https://forge.example.org"


class _End(asyncio.Transport):
    """One end of a connection; what is written reaches the other a round of the loop later."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.protocol = protocol
        self.other: _End
        self._closing = False

    def write(self, data: Any) -> None:
        told = bytes(data)
        self._loop.call_soon(lambda: self.other.hear(told))

    def hear(self, told: bytes) -> None:
        if not self._closing:
            self.protocol.data_received(told)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.protocol.connection_lost, None)
            self._loop.call_soon(self.other.close)

    abort = close

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast("asyncio.Protocol", protocol)

    def pause_reading(self) -> None:
        """There is never much."""

    def resume_reading(self) -> None:
        """It was never paused."""


def _joined(one: asyncio.Protocol, other: asyncio.Protocol) -> None:
    ends = _End(one), _End(other)
    ends[0].other, ends[1].other = ends[1], ends[0]
    for end in ends:
        end.protocol.connection_made(end)


class _Connector(aiohttp.BaseConnector):
    def __init__(self, server: web.Server) -> None:
        super().__init__(force_close=True)
        self._server = server

    async def _create_connection(self, *_: Any) -> ResponseHandler:
        client = ResponseHandler(asyncio.get_running_loop())
        _joined(client, self._server())
        return client


@contextmanager
def _connects_to(server: web.Server) -> Iterator[None]:
    before = aiohttp.TCPConnector
    aiohttp.TCPConnector = lambda **_: _Connector(server)  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        aiohttp.TCPConnector = before  # type: ignore[misc]


@asynccontextmanager
async def hosted(host: Host) -> AsyncIterator[Host]:
    """Every client connects to this host, whatever it asks for."""
    application = web.Application(middlewares=[host._gate])
    host.routes(application.router)
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=1.0, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    with _connects_to(cast("web.Server", runner.server)):
        yield host

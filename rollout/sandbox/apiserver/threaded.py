"""The API server in a thread with an event loop of its own: for programs and tests that block."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from rollout.sandbox.apiserver.server import ApiServer

Stop = Callable[[], Awaitable[None]]
Beside = Callable[[ApiServer], Stop]
"""Starts something in the server's loop and gives what stops it (controllers)."""


class ThreadedServer:
    """A running server, as a context; `beside` are started with it."""

    def __init__(self, *beside: Beside, port: int = 0) -> None:
        self._beside = beside
        self._port = port
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="apiserver", daemon=True)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.server: ApiServer

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.loop is not None and self._stop is not None:
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def run(self, work: Any) -> Any:
        """Run a coroutine in the server's loop and wait for its result."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 it is raised again where the server was asked for
            self._failed = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with ApiServer(self._port) as server:
            self.server = server
            stops = [start(server) for start in self._beside]
            self._ready.set()
            await self._stop.wait()
            for stop in stops:
                await stop()

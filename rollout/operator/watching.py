"""kopf at work in a thread with a loop of its own, for as long as the operator runs.

kopf takes all tasks of its loop for its own and waits for them, and it ends for good after what it takes for
lasting: some 5xx in a row, an HTTP 410, an error in a stream. None of that may end an operator that goes on
with its turns: kopf is started again, and its first list wakes everything anew.
"""

import asyncio
import logging
import threading
from concurrent.futures import Future

import kopf

log = logging.getLogger(__name__)
logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # that it leaves signals to us

AGAIN_SECONDS = 1.0


class Watching:
    """The watch streams; `namespace` None: of all namespaces."""

    def __init__(
        self, registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, namespace: str | None
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._namespace = namespace
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.ready: Future[None] = Future()
        """Done once it follows the cluster."""

    async def run(self) -> None:
        """Follow the cluster until `stop`."""
        await asyncio.to_thread(self._follow)

    def stop(self) -> None:
        """Let `run` end soon."""
        self._stopped.set()
        with self._lock:
            if self._running is not None:
                loop, flag = self._running
                loop.call_soon_threadsafe(flag.set)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                asyncio.run(self._once())
            except Exception as error:  # noqa: BLE001 -- whatever it was, kopf has to follow the cluster again
                log.warning("the watch streams ended (%s), starting them again", error)
            self._stopped.wait(AGAIN_SECONDS)

    async def _once(self) -> None:
        flag = asyncio.Event()
        with self._lock:
            self._running = (asyncio.get_running_loop(), flag)
        try:
            if not self._stopped.is_set():
                await self._kopf(flag)
        finally:
            with self._lock:
                self._running = None

    async def _kopf(self, stop: asyncio.Event) -> None:
        await kopf.operator(
            registry=self._registry,
            settings=self._settings,
            standalone=True,
            clusterwide=self._namespace is None,
            namespaces=[self._namespace] if self._namespace else [],
            ready_flag=None if self.ready.done() else self.ready,
            stop_flag=stop,
        )

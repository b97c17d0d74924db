"""A queue of keys, each reconciled by one turn at a time, again after errors and when time has come."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from rollout.sandbox.apiserver.local import ApiError

K = TypeVar("K", bound=Hashable)
FIRST_RETRY_S = 0.02
LAST_RETRY_S = 2.0
log = logging.getLogger(__name__)


class Queue(Generic[K]):
    """Calls `turn(key)`; a turn returns None, or in how many seconds it wants to look again."""

    def __init__(self, name: str, turn: Callable[[K], Awaitable[float | None]]) -> None:
        self.name = name
        self._turn = turn
        self._due: dict[K, None] = {}
        self._wake = asyncio.Event()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def add(self, key: K) -> None:
        """Ask for a turn."""
        self._due[key] = None
        self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Ask for a turn later; the earliest wish of a key holds."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if (
            timer is None
            or timer.cancelled()
            or timer.when() > loop.time() + seconds
            or timer.when() <= loop.time()
        ):
            if timer is not None:
                timer.cancel()
            self._timers[key] = loop.call_later(seconds, self.add, key)

    async def run(self) -> None:
        """Take turns for ever."""
        while True:
            while not self._due:
                self._wake.clear()
                await self._wake.wait()
            key = next(iter(self._due))
            del self._due[key]
            await self._one(key)
            await asyncio.sleep(0)

    async def _one(self, key: K) -> None:
        try:
            again = await self._turn(key)
        except ApiError as refused:
            self._retry(key, refused)
            return
        except Exception:  # a defect of one turn must not stop the controller
            log.exception("%s: the turn of %s failed", self.name, key)
            self._retry(key, None)
            return
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, again)

    def _retry(self, key: K, refused: ApiError | None) -> None:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        log.debug("%s: %s again: %s", self.name, key, refused)
        self.add_after(key, min(FIRST_RETRY_S * 2 ** min(count - 1, 10), LAST_RETRY_S))

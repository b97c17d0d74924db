"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from rollout.sandbox.clock import CLOCK

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)
ROUND_S = 1e-6
"""What a round of the loop takes: a clock that stood still would let who waits for 1e-17 s wait for ever."""


class Standstill(AssertionError):  # noqa: N818 -- it reads as what it says
    """Nobody waits for a time, and nothing is left to do: what is awaited will never come."""


class _Jump(selectors.SelectSelector):
    """Waits for nothing: as long as it would have waited, so much later it is."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def select(self, timeout: float | None = None) -> list[Any]:
        """No file is ever ready here."""
        if timeout is None:
            raise Standstill("nothing is left to wait for")
        self.seconds += max(timeout, ROUND_S)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time()` is seconds since `START`."""

    def __init__(self, begins_s: float) -> None:
        self._jump = _Jump(begins_s)
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._jump.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """At once: a thread's time is not ours."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- whoever waits for it gets it
            done.set_exception(error)
        return done

    def now(self) -> datetime:
        """The time of day there."""
        return START + timedelta(seconds=self._jump.seconds)


def play(work: Coroutine[Any, Any, T], begins_s: float = 0.0) -> T:
    """Run a coroutine to its end, in a time of its own that begins so many seconds after `START`."""
    loop = VirtualLoop(begins_s)
    context = copy_context()
    context.run(CLOCK.set, loop.now)
    try:
        return loop.run_until_complete(loop.create_task(work, context=context))
    finally:
        _end(loop)


def _end(loop: VirtualLoop) -> None:
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

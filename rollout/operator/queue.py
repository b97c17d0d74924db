"""One queue of keys: single flight a key, back-off a key, a bounded number of turns at once.

Waking a key that is under way runs it once more afterwards, however often it was woken; a key that sleeps
until a time is woken early by `wake`. The queue holds keys alone: a lost wake-up costs a delay, never a
decision.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from rollout.api.errors import Retry
from rollout.kube.errors import NotLeading

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.05
LONGEST_BACKOFF_SECONDS = 30.0


class Key(NamedTuple):
    """What a turn is about."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Render for logs."""
        return f"{self.kind} {self.namespace}/{self.name}"


Turn = Callable[[Key], Awaitable[datetime | None]]
"""One turn for a key; returns when to look again, None for not before something wakes it."""
OnLag = Callable[[Key, float], None]
"""Told when a turn begins: how many seconds after it was due."""


@dataclass(slots=True)
class _Slot:
    """What is known of one key."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    timer: asyncio.TimerHandle | None = None
    timer_at: float = float("inf")
    queued: bool = False
    due: float = 0.0
    """Loop time at which the turn that is queued was due."""
    parked: bool = False
    """Whether its turn waits for whoever holds the lock."""
    failures: int = 0


class Queue:
    """Runs `turn` for keys that were woken, at most `at_once` at a time; `clock` tells the turns' time.

    A key that is not ours is remembered and sleeps until `resume`.
    """

    def __init__(
        self,
        turn: Turn,
        at_once: int,
        clock: Callable[[], datetime],
        on_lag: OnLag = lambda _key, _seconds: None,
        is_ours: Callable[[Key], bool] = lambda _key: True,
    ) -> None:
        self._turn = turn
        self._is_ours = is_ours
        self._clock = clock
        self._at_once = at_once
        self._on_lag = on_lag
        self._slots: dict[Key, _Slot] = {}
        self._ready: asyncio.Queue[Key] = asyncio.Queue()

    def wake(self, key: Key) -> None:
        """Run a turn for `key` as soon as possible."""
        self._enqueue(key, self._slots.setdefault(key, _Slot()), asyncio.get_running_loop().time())

    def resume(self, among: Callable[[Key], bool]) -> None:
        """Run a turn for every key `among` those that were ever woken: they are ours from now on."""
        for key in self.known(among):
            self.wake(key)

    def known(self, among: Callable[[Key], bool]) -> list[Key]:
        """The keys `among` those that were ever woken."""
        return [key for key in self._slots if among(key)]

    async def idle(self, among: Callable[[Key], bool], seconds: float) -> None:
        """Wait until no turn `among` them is under way, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for slot in [slot for key, slot in self._slots.items() if among(key)]:
                    async with slot.lock:
                        pass

    def _enqueue(self, key: Key, slot: _Slot, due: float) -> None:
        self._disarm(slot)
        if not slot.queued and self._is_ours(key):
            slot.queued, slot.due = True, due
            self._ready.put_nowait(key)

    def wake_in(self, key: Key, seconds: float) -> None:
        """Run a turn for `key` in so many seconds, or earlier if it is already due earlier."""
        if seconds <= 0:
            self.wake(key)
            return
        slot = self._slots.setdefault(key, _Slot())
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if slot.queued or at >= slot.timer_at:
            return
        self._disarm(slot)
        slot.timer_at = at
        slot.timer = loop.call_at(at, self._enqueue, key, slot, at)

    def forget(self, key: Key) -> None:
        """Drop what is known of a key whose object is gone."""
        slot = self._slots.get(key)
        if slot is not None and not slot.lock.locked() and not slot.queued:
            self._disarm(slot)
            del self._slots[key]

    @asynccontextmanager
    async def exclusive(self, key: Key) -> AsyncIterator[None]:
        """Hold the turn of `key`: whatever is written inside is written by the one writer (D10)."""
        slot = self._slots.setdefault(key, _Slot())
        try:
            async with slot.lock:
                yield
        finally:
            self._unpark(key, slot)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._at_once):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            slot = self._slots[key]
            if not self._is_ours(key):
                slot.queued = False
                continue
            if slot.lock.locked():
                slot.parked = True  # under way elsewhere: it comes back then, without holding a worker
                continue
            async with slot.lock:
                slot.queued = False
                self._on_lag(key, asyncio.get_running_loop().time() - slot.due)
                await self._take_turn(key, slot)
            self._unpark(key, slot)

    def _unpark(self, key: Key, slot: _Slot) -> None:
        if slot.parked:
            slot.parked = False
            self._ready.put_nowait(key)

    async def _take_turn(self, key: Key, slot: _Slot) -> None:
        try:
            again = await self._turn(key)
        except NotLeading as lost:
            log.info("%s: %s: left to who leads now", key, lost)
        except Retry as error:
            slot.failures += 1
            wait = max(error.after.total_seconds(), self._backoff(slot))
            log.info("%s: %s; trying again in %.1f s", key, error, wait)
            self.wake_in(key, wait)
        except Exception:
            slot.failures += 1
            log.exception("%s: the turn failed", key)
            self.wake_in(key, self._backoff(slot))
        else:
            slot.failures = 0
            if again is not None:
                self.wake_in(key, (again - self._clock()).total_seconds())

    @staticmethod
    def _backoff(slot: _Slot) -> float:
        return float(min(FIRST_BACKOFF_SECONDS * 2 ** min(slot.failures - 1, 16), LONGEST_BACKOFF_SECONDS))

    @staticmethod
    def _disarm(slot: _Slot) -> None:
        if slot.timer is not None:
            slot.timer.cancel()
        slot.timer, slot.timer_at = None, float("inf")

"""The queue: one turn at a time a key, none lost, none starved."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from rollout.api.errors import Retry
from rollout.kube.errors import NotLeading
from rollout.operator.queue import Key, Queue

A = Key("Rollout", "shop", "a")
B = Key("Rollout", "shop", "b")


@asynccontextmanager
async def working(
    turn: Callable[[Key], Awaitable[datetime | None]], at_once: int = 4
) -> AsyncIterator[Queue]:
    queue = Queue(turn, at_once, lambda: datetime.now(UTC))
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_key_that_is_woken_while_its_turn_runs_gets_one_more_turn_and_never_two_at_once() -> None:
    under_way, most, turns = 0, 0, 0
    go = asyncio.Event()

    async def turn(_: Key) -> None:
        nonlocal under_way, most, turns
        under_way += 1
        most = max(most, under_way)
        await go.wait()
        turns += 1
        under_way -= 1

    async with working(turn) as queue:
        queue.wake(A)
        await until(lambda: under_way == 1)
        for _ in range(5):
            queue.wake(A)
        go.set()
        await until(lambda: turns == 2)
        await asyncio.sleep(0.1)
    assert (most, turns) == (1, 2)


async def test_other_keys_go_on_while_one_hangs() -> None:
    done: list[Key] = []

    async def turn(key: Key) -> None:
        if key == A:
            await asyncio.Event().wait()
        done.append(key)

    async with working(turn) as queue:
        queue.wake(A)
        queue.wake(B)
        await until(lambda: done == [B])


async def test_a_turn_that_names_a_time_is_taken_again_then() -> None:
    turns = 0

    async def turn(_: Key) -> datetime | None:
        nonlocal turns
        turns += 1
        return datetime.now(UTC) + timedelta(milliseconds=30) if turns < 3 else None

    async with working(turn) as queue:
        queue.wake(A)
        await until(lambda: turns == 3)


async def test_a_turn_that_fails_is_taken_again_and_others_do_not_suffer() -> None:
    turns: list[Key] = []

    async def turn(key: Key) -> None:
        turns.append(key)
        if key == A and turns.count(A) == 1:
            raise Retry("busy", timedelta(0))
        if key == B and turns.count(B) == 1:
            raise ZeroDivisionError

    async with working(turn, at_once=1) as queue:
        queue.wake(A)
        queue.wake(B)
        await until(lambda: turns.count(A) == 2 and turns.count(B) == 2)


async def test_an_earlier_wish_replaces_a_later_one() -> None:
    turns = 0

    async def turn(_: Key) -> None:
        nonlocal turns
        turns += 1

    async with working(turn) as queue:
        queue.wake_in(A, 3600)
        queue.wake_in(A, 0.01)
        await until(lambda: turns == 1)


async def test_nobody_takes_a_turn_while_another_holds_it() -> None:
    turns = 0

    async def turn(_: Key) -> None:
        nonlocal turns
        turns += 1

    async with working(turn) as queue:
        async with queue.exclusive(A):
            queue.wake(A)
            await asyncio.sleep(0.1)
            assert turns == 0
        await until(lambda: turns == 1)


async def test_the_lag_of_a_turn_runs_from_when_it_was_due_until_it_began() -> None:
    lags: dict[Key, float] = {}
    go = asyncio.Event()

    async def turn(key: Key) -> None:
        if key == A:
            await go.wait()

    queue = Queue(turn, 1, lambda: datetime.now(UTC), lags.__setitem__)
    work = asyncio.create_task(queue.run())
    queue.wake(A)
    await until(lambda: A in lags)
    queue.wake_in(B, 0.05)
    await asyncio.sleep(0.2)
    assert B not in lags
    go.set()
    await until(lambda: B in lags)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert lags[A] < lags[B]
    assert lags[B] >= 0.1, "the time in which nobody was free counts"


async def test_what_is_forgotten_is_taken_up_again_when_it_is_woken() -> None:
    turns = 0

    async def turn(_: Key) -> None:
        nonlocal turns
        turns += 1

    async with working(turn) as queue:
        queue.wake(A)
        await until(lambda: turns == 1)
        queue.forget(A)
        queue.forget(B)
        queue.wake(A)
        await until(lambda: turns == 2)


async def test_a_key_of_others_sleeps_until_it_is_ours_and_again_when_it_is_lost() -> None:
    ours: set[Key] = set()
    turns: list[Key] = []

    async def turn(key: Key) -> datetime:
        turns.append(key)
        return datetime.now(UTC) + timedelta(milliseconds=20)

    queue = Queue(turn, 4, lambda: datetime.now(UTC), is_ours=ours.__contains__)
    task = asyncio.create_task(queue.run())
    try:
        queue.wake(A)
        queue.wake_in(B, 0.01)
        await asyncio.sleep(0.1)
        assert turns == []
        ours.add(A)
        queue.resume(lambda key: key == A)
        await until(lambda: turns.count(A) >= 3)
        ours.clear()
        taken = len(turns)
        await asyncio.sleep(0.1)
        assert len(turns) <= taken + 1
        assert B not in turns
        ours.update((A, B))
        queue.resume(lambda _: True)
        await until(lambda: B in turns and len(turns) > taken + 2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_turn_that_may_not_write_any_more_is_not_tried_again_here() -> None:
    turns = 0

    async def turn(_: Key) -> None:
        nonlocal turns
        turns += 1
        raise NotLeading("somebody else leads")

    async with working(turn) as queue:
        queue.wake(A)
        await until(lambda: turns == 1)
        await asyncio.sleep(0.2)
        assert turns == 1
        queue.resume(lambda _: True)
        await until(lambda: turns == 2)


async def test_whoever_leaves_waits_for_turns_under_way_but_not_for_long() -> None:
    go, ended = asyncio.Event(), 0

    async def turn(key: Key) -> None:
        nonlocal ended
        if key == A:
            await go.wait()
        else:
            await asyncio.Event().wait()
        ended += 1

    async with working(turn) as queue:
        queue.wake(A)
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.1, go.set)
        await queue.idle(lambda _: True, 10)
        assert ended == 1
        queue.wake(B)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await queue.idle(lambda _: True, 0.1)

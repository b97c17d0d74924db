"""The loop that jumps, and the Prometheus that counts in its time."""

import asyncio
import time
from datetime import timedelta

import pytest

from analysis.sources import PartialAnswerError, QueryRefusedError, SourceDownError
from rollout.sandbox import clock

from .loop import START, Standstill, play
from .prometheus import RATE, Mode, Prometheus

TOTAL = 'http_requests_total{namespace="shop",pod=~"shop-a-[a-z]+"}'


def test_hours_pass_at_once() -> None:
    async def wait() -> float:
        before = clock.now()
        await asyncio.sleep(3 * 3600)
        return (clock.now() - before).total_seconds()

    began = time.monotonic()
    assert play(wait()) == pytest.approx(3 * 3600, abs=0.01)
    assert time.monotonic() - began < 60


def test_timers_go_off_in_their_order_and_timeouts_come() -> None:
    async def race() -> list[str]:
        told: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(20, told.append, "late")
        loop.call_later(10, told.append, "early")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15):
                await asyncio.Event().wait()
        told.append("timeout")
        await asyncio.sleep(10)
        return told

    assert play(race()) == ["early", "timeout", "late"]


def test_what_never_comes_is_an_error_and_no_endless_wait() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Standstill):
        play(wait())


def test_who_waits_for_less_than_the_clock_can_tell_gets_on() -> None:
    async def wait() -> None:
        for _ in range(1000):
            await asyncio.sleep(1e-17)

    play(wait(), 1000.0)


def test_the_machine_s_time_is_back_afterwards() -> None:
    async def look() -> bool:
        return (clock.now() - START).total_seconds() < 1

    assert play(look())
    assert (clock.now() - START).total_seconds() > 1


def _asked(mode: Mode | None, weight: float = 0.25, bad: float = 0.0) -> dict[str, float]:
    """What the counters of a pod say after 20 s at a weight, by code, less what they said after 10 s."""

    async def ask() -> dict[str, float]:
        source = Prometheus(clock.now, lambda _image: bad)
        source.appeared("shop-a-x", "shop:v1")
        source.appeared("shop-b-y", "shop:v2")
        source.shared({"shop-a-x": weight, "shop-b-y": 1 - weight})
        await asyncio.sleep(20.5)
        source.mode = mode
        found: dict[str, float] = {}
        for series in await source.query(TOTAL, clock.now(), timedelta(seconds=12)):
            (_, first), *_, (_, last) = series.samples
            key = series.labels["code"]
            found[key] = found.get(key, 0.0) + last - first
        return found

    return play(ask())


def test_counters_hold_the_requests_that_the_weight_sent() -> None:
    assert _asked(None) == {"200": 0.25 * RATE * 10, "500": 0.0}
    assert _asked(None, bad=0.1) == {"200": 0.225 * RATE * 10, "500": 0.025 * RATE * 10}


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        pytest.param(Mode.DOWN, SourceDownError, id="down"),
        pytest.param(Mode.SLOW, SourceDownError, id="slow"),
        pytest.param(Mode.PARTIAL, PartialAnswerError, id="partial"),
        pytest.param(Mode.REFUSING, QueryRefusedError, id="refusing"),
    ],
)
def test_what_ails_it_is_told_as_a_source_tells_it(mode: Mode, error: type[Exception]) -> None:
    with pytest.raises(error):
        _asked(mode)


def test_the_others_answer_with_what_no_prometheus_should_say() -> None:
    assert _asked(Mode.EMPTY) == {}
    assert all(value != value for value in _asked(Mode.NAN).values())
    assert _asked(Mode.SEVERAL)["200"] == 2 * 0.25 * RATE * 10


def test_a_reset_begins_at_nothing() -> None:
    async def ask() -> list[float]:
        source = Prometheus(clock.now, lambda _image: 0.0)
        source.appeared("shop-a-x", "shop:v1")
        source.shared({"shop-a-x": 1.0})
        await asyncio.sleep(12)
        source.reset()
        await asyncio.sleep(10)
        found = await source.query(TOTAL, clock.now(), timedelta(seconds=15))
        return [value for _, value in found[0].samples]

    assert play(ask()) == [10 * RATE, 3 * RATE, 8 * RATE]

"""An API server that refuses, hangs or loses answers delays a rollout; it does not change where it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import pytest
import pytest_asyncio
import weather
from chronicle import Chronicle
from crew import Crew
from prometheus_fake import FakePrometheus
from stage import OPERATOR, Shop, side_by_side, until
from weather import Storm, storming

from rollout.api.status import Phase
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.cluster import Sandbox

Storms = list[Storm]
PAUSED = ({"setWeight": 50}, {"pause": {}})
STEPS = ({"setWeight": 50}, {"pause": {"duration": "1s"}})


@dataclass(frozen=True, slots=True)
class Weather:
    """One way in which calls fail, and which."""

    fault: Callable[[], Fault]
    hits: Callable[[Request], bool] = weather.every
    share: float = 0.2
    most: int = 15


KINDS = (
    pytest.param(Weather(weather.conflict, weather.patching, share=0.15), id="409 to what is changed"),
    pytest.param(Weather(weather.expired, weather.following, share=0.8), id="410 to lists and watches"),
    pytest.param(Weather(weather.busy, share=0.2, most=8), id="429 with Retry-After"),
    pytest.param(Weather(weather.broken), id="500"),
    pytest.param(Weather(weather.unavailable), id="503"),
    pytest.param(Weather(weather.hanging, share=0.15, most=5), id="no answer"),
    pytest.param(Weather(weather.cut), id="connections cut before the answer"),
    pytest.param(Weather(weather.lost, weather.writing, share=0.3), id="writes done, answers lost"),
)
ALL = [cast("Weather", each.values[0]) for each in KINDS]


async def promoted(shop: Shop) -> None:
    """A good version arrives."""
    await shop.set_image("shop:v2")
    await shop.serving("shop:v2")
    status = await shop.phase(Phase.HEALTHY)
    assert [entry.verdict for entry in status.history][-1:] == ["Promoted"]


async def aborted(shop: Shop) -> None:
    """A version that somebody stops at its pause."""
    await shop.set_image("shop:v2")
    await shop.weighs(50)
    await shop.annotate("abort")
    await shop.serving("shop:v1")
    status = await shop.phase(Phase.DEGRADED)
    assert [entry.verdict for entry in status.history][-1:] == ["Aborted"]
    assert status.intent is not None
    assert status.intent.state == "Cleared"


async def weathered(sandbox: Sandbox, metrics: FakePrometheus, storms: Storms, kind: Weather) -> None:
    """Both, while a share of the calls about their namespaces fails."""
    one, other = [await Shop.open(sandbox, metrics) for _ in range(2)]
    storm = Storm(
        kind.fault, kind.hits, frozenset({one.namespace, other.namespace}), share=kind.share, most=kind.most
    )
    storms.append(storm)
    async with Chronicle.of(one) as told, Chronicle.of(other) as told_too:
        await asyncio.gather(one.healthy(steps=STEPS), other.healthy(steps=PAUSED))
        await asyncio.gather(promoted(one), aborted(other))
    assert told.broken() == []
    assert told_too.broken() == []
    assert told.weights() == [0, 50, 100, 0]
    assert told_too.weights() == [0, 50, 0]
    assert len(storm.struck) >= min(kind.most, 5), storm.struck


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    sandbox: Sandbox, metrics: FakePrometheus, operator: Crew
) -> AsyncIterator[dict[Weather, "asyncio.Task[None]"]]:
    storms: Storms = []

    async def fault(request: Request) -> Fault | None:
        for storm in storms:
            if (found := await storm(request)) is not None:
                return found
        return None

    sandbox.server.fault = fault
    async with side_by_side(ALL, partial(weathered, sandbox, metrics, storms)) as tasks:
        yield tasks
    sandbox.server.fault = None


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_promotion_and_a_rollback_end_as_ever(
    played: dict[Weather, "asyncio.Task[None]"], kind: Weather
) -> None:
    await played[kind]


@pytest.mark.parametrize(
    "most", [pytest.param(0, id="each goes on"), pytest.param(12, id="410 to many of those that go on")]
)
async def test_a_promotion_goes_on_while_watches_are_cut_again_and_again(shop: Shop, most: int) -> None:
    await shop.healthy(steps=STEPS)
    storm = Storm(
        weather.expired, weather.following, frozenset({shop.namespace}), share=0.3 if most else 0.0, most=most
    )

    async def cutting() -> None:
        while True:
            shop.sandbox.server.cut_watches()
            await asyncio.sleep(0.5)

    async with Chronicle.of(shop) as told:
        scissors = asyncio.create_task(cutting())
        with storming(shop.sandbox, storm):
            await promoted(shop)
        scissors.cancel()
    assert told.broken() == []
    assert told.weights() == [0, 50, 100, 0]
    assert bool(storm.struck) is bool(most)


async def test_an_abort_is_heard_of_after_the_watch_of_rollouts_was_refused(shop: Shop) -> None:
    """Its versions are gone (HTTP 410): it lists anew, and hears of what was said meanwhile."""
    await shop.healthy(steps=PAUSED)
    await shop.set_image("shop:v2")
    await shop.paused(50)
    refused: list[str] = []

    async def gone(request: Request) -> Fault | None:
        if request.user != OPERATOR or not request.path.endswith("/v1alpha1/rollouts") or refused:
            return None
        refused.append(request.path)
        return weather.expired()

    shop.sandbox.server.fault = gone
    shop.sandbox.server.cut_watches()
    await until("its watch to be refused", lambda: bool(refused))
    await shop.annotate("abort")
    await shop.phase(Phase.DEGRADED)
    assert await shop.weight() == 0

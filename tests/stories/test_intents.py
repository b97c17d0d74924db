"""What people ask for with `kubectl annotate` is done once, and acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

import pytest
import pytest_asyncio
from crew import Crew
from prometheus_fake import FakePrometheus
from stage import ROLLOUTS, Shop, side_by_side, until

from rollout.api.status import Phase, RolloutStatus, Stage, TakenIntent
from rollout.sandbox.cluster import Sandbox

Given = Callable[[Shop], Awaitable[None]]


async def at_rest(shop: Shop) -> None:
    await shop.healthy()


async def at_a_pause(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)


async def held(shop: Shop) -> None:
    """By a person, at a pause of its own."""
    await at_a_pause(shop)
    await shop.annotate("pause", "lunch")
    await acknowledged(shop, "pause")


async def refused(shop: Shop) -> None:
    await at_a_pause(shop)
    await shop.annotate("abort")
    await acknowledged(shop, "abort")
    await shop.stage(Stage.REFUSED)


async def acknowledged(shop: Shop, key: str) -> TakenIntent:
    """Taken and cleared, its annotation gone."""

    async def found() -> TakenIntent | None:
        rollout = await shop.get(ROLLOUTS)
        there = f"progressive.delivery/{key}" in (rollout["metadata"].get("annotations") or {})
        intent = (await shop.status()).intent
        return intent if intent and intent.action == key and intent.state == "Cleared" and not there else None

    intent: TakenIntent = await until(f"{key} to be acknowledged", found)
    return intent


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, where, and what comes of it."""

    key: str
    given: Given
    outcome: str
    weight: int
    phase: Phase


ASKED = (
    pytest.param(Asked("abort", at_a_pause, "Acted", 0, Phase.DEGRADED), id="scenario 5: abort, at a pause"),
    pytest.param(
        Asked("promote", at_a_pause, "Acted", 0, Phase.HEALTHY), id="scenario 3: promote, at a pause"
    ),
    pytest.param(Asked("promote-full", at_a_pause, "Acted", 0, Phase.HEALTHY), id="promote-full, at a pause"),
    pytest.param(Asked("pause", at_a_pause, "Acted", 50, Phase.PAUSED), id="pause, at a pause"),
    pytest.param(Asked("resume", held, "Acted", 50, Phase.PAUSED), id="resume, held by hand at a pause"),
    pytest.param(Asked("resume", at_a_pause, "Acted", 0, Phase.HEALTHY), id="resume, at a pause"),
    pytest.param(Asked("retry", refused, "Acted", 50, Phase.PAUSED), id="scenario 6: retry, after an abort"),
    pytest.param(
        Asked("promote-full", refused, "Acted", 0, Phase.HEALTHY),
        id="scenario 31: promote-full, after an abort",
    ),
    pytest.param(Asked("abort", refused, "NothingToDo", 0, Phase.DEGRADED), id="abort, after an abort"),
    pytest.param(
        Asked("abort", at_rest, "NothingToDo", 0, Phase.HEALTHY), id="abort, with nothing rolling out"
    ),
    pytest.param(Asked("promote", at_rest, "NothingToDo", 0, Phase.HEALTHY), id="promote, at rest"),
    pytest.param(Asked("retry", at_rest, "NothingToDo", 0, Phase.HEALTHY), id="retry, nothing refused"),
)
ALL = [cast("Asked", each.values[0]) for each in ASKED]


async def heard(sandbox: Sandbox, metrics: FakePrometheus, asked: Asked) -> None:
    shop = await Shop.open(sandbox, metrics)
    await asked.given(shop)
    await shop.annotate(asked.key, "as the story says")
    intent = await acknowledged(shop, asked.key)
    assert (intent.outcome, intent.reason, intent.by) == (
        asked.outcome,
        "as the story says",
        "kubectl-annotate",
    )
    assert abs(datetime.now(UTC) - intent.set_at) < timedelta(minutes=1)
    await shop.weighs(asked.weight)
    await shop.phase(asked.phase)
    told = {"Acted": "IntentTaken", "NothingToDo": "IntentNothingToDo"}[asked.outcome]
    assert "as the story says" in await shop.told(told, f"{asked.key} by kubectl-annotate")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    sandbox: Sandbox, metrics: FakePrometheus, operator: Crew
) -> AsyncIterator[dict[Asked, "asyncio.Task[None]"]]:
    async with side_by_side(ALL, partial(heard, sandbox, metrics)) as tasks:
        yield tasks


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("asked", ASKED)
async def test_an_intent_is_acknowledged_wherever_it_is_set(
    played: dict[Asked, "asyncio.Task[None]"], asked: Asked
) -> None:
    await played[asked]


async def test_an_abort_that_nothing_can_come_of_is_an_event(shop: Shop) -> None:
    await shop.healthy()
    await shop.annotate("abort", "nervous")
    message = await shop.told("IntentNothingToDo", "nothing is rolling out")
    assert "nervous" in message
    assert "RolloutAborted" not in await shop.reasons()


async def test_an_intent_for_another_revision_does_nothing(shop: Shop) -> None:
    await at_a_pause(shop)
    await shop.annotate("promote", "for=6c9f7d4b5d: what I looked at")
    intent = await acknowledged(shop, "promote")
    assert (intent.outcome, intent.reason) == ("Superseded", "what I looked at")
    assert "bound to 6c9f7d4b5d" in await shop.told("IntentSuperseded")
    assert (await shop.paused(50)).current_step_index == 1


async def test_an_intent_for_this_revision_acts(shop: Shop) -> None:
    await at_a_pause(shop)
    revision = (await shop.status()).current_pod_hash
    await shop.annotate("promote", f"for={revision}: looks good")
    assert (await acknowledged(shop, "promote")).outcome == "Acted"
    await shop.phase(Phase.HEALTHY)


async def test_scenario_39_two_aborts_at_once_are_one(shop: Shop) -> None:
    await at_a_pause(shop)
    await shop.annotate("abort", "first")
    await acknowledged(shop, "abort")
    await shop.annotate("abort", "second")

    async def second() -> RolloutStatus | None:
        status = await shop.status()
        return (
            status
            if status.intent and (status.intent.reason, status.intent.state) == ("second", "Cleared")
            else None
        )

    status: RolloutStatus = await until("the second abort to be acknowledged", second)
    assert status.intent is not None
    assert status.intent.outcome == "NothingToDo"
    await shop.phase(Phase.DEGRADED)
    status = await shop.status()
    assert [entry.verdict for entry in status.history].count("Aborted") == 1
    assert "first" in status.verdict_reason
    assert (await shop.reasons()).count("RolloutAborted") == 1

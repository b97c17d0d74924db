"""An operator that is killed by SIGKILL at any write, and started again, ends where it would have ended."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from chronicle import Chronicle
from crew import Killer
from manifests import JUDGED, errors
from prometheus_fake import FakePrometheus
from stage import ROLLOUTS, RUNS, Shop

from rollout.api.status import Phase, RolloutStatus
from rollout.observe.reading import read_status
from rollout.sandbox.cluster import Sandbox

KILLS = 10
GATED = (
    {"setWeight": 50},
    {"judge": {"minDuration": "1s", "maxDuration": "2m"}},
    {"pause": {"duration": "8s"}},
)


def _statuses(told: Chronicle) -> list[RolloutStatus]:
    found = [each for each in told.entries if each.kind == ROLLOUTS.plural and not each.gone]
    return [read_status(each.object.get("status") or {}) for each in sorted(found, key=lambda e: e.version)]


@pytest.mark.parametrize("seed", [pytest.param(14, id="seed 14")])
async def test_scenario_33_a_promotion_a_rollback_and_an_abort_end_as_ever(
    lonely: Sandbox, judge: FakePrometheus, tmp_path: Path, seed: int
) -> None:
    good, bad, stopped = [await Shop.open(lonely, judge) for _ in range(3)]
    killer = Killer(lonely, tmp_path, judge.url, kills=0, seed=seed)
    lonely.server.fault = killer
    keeper = lonely.submit(killer.run())
    try:
        async with AsyncExitStack() as stack:
            told = [await stack.enter_async_context(Chronicle.of(each)) for each in (good, bad, stopped)]
            await asyncio.gather(
                good.healthy("shop:v1", errors(judge.url), steps=GATED, canary=JUDGED),
                bad.healthy("shop:v1", errors(judge.url), steps=GATED, canary=JUDGED),
                stopped.healthy("shop:v1"),
            )
            killer.kills = KILLS
            await asyncio.gather(_promoted(good), _rolled_back(bad), _aborted(stopped))
    finally:
        keeper.cancel()
        lonely.server.fault = None
    assert len(killer.killed_at) >= KILLS - 2, killer.killed_at
    assert [each.broken() for each in told] == [[], [], []], killer.killed_at
    assert [each.weights() for each in told] == [[0, 50, 100, 0], [0, 50, 0], [0, 50, 0]], killer.killed_at
    assert [len(each.names(RUNS)) for each in told] == [1, 1, 0], "a run was begun twice, or not at all"
    pauses = {
        condition.start_time
        for status in _statuses(told[0])
        if status.current_step_index == 2
        for condition in status.pause_conditions
    }
    assert len(pauses) == 1, "the pause began anew"
    taken = Counter(
        (status.intent.value, status.intent.set_at) for status in _statuses(told[2]) if status.intent
    )
    assert len(taken) == 1


async def _promoted(shop: Shop) -> None:
    await shop.set_image("shop:v2")
    await shop.serving("shop:v2", seconds=90)
    status = await shop.phase(Phase.HEALTHY)
    assert [entry.verdict for entry in status.history] == ["Promoted", "Promoted"]
    assert status.verdict_reason == "every guardrail was proved not worse"


async def _rolled_back(shop: Shop) -> None:
    await shop.set_image("shop:v2-bad")
    status = await shop.phase(Phase.DEGRADED, seconds=90)
    assert "the canary is worse than the stable version" in status.message
    await shop.serving("shop:v1", seconds=60)
    assert [entry.verdict for entry in (await shop.status()).history] == ["Promoted", "RolledBack"]


async def _aborted(shop: Shop) -> None:
    await shop.set_image("shop:v2")
    await shop.paused(50, seconds=90)
    await shop.annotate("abort")
    await shop.phase(Phase.DEGRADED, seconds=60)
    await shop.serving("shop:v1", seconds=60)
    status = await shop.status()
    assert [entry.verdict for entry in status.history] == ["Promoted", "Aborted"]
    assert status.intent is not None
    assert (status.intent.state, status.intent.outcome) == ("Cleared", "Acted")

"""Two operators at once: one that was stopped and goes on, and two that do not know of one another."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from chronicle import Chronicle
from frozen import Faults, Moment, Outcome, Terms, play
from manifests import JUDGED, errors
from prometheus_fake import FakePrometheus
from replicas import Replicas, replicas, unique
from stage import RUNS, Shop, install, prometheus, until

from rollout.api.status import Phase
from rollout.sandbox.cluster import Sandbox

SHORT = Terms(lease=5.0, deadline=3.0, retry=0.6, stop=9.0)
SEEDS = (4, 5, 6)
GATED = (
    {"setWeight": 50},
    {"judge": {"minDuration": "1s", "maxDuration": "2m"}},
    {"pause": {"duration": "2s"}},
)
Played = dict[object, "asyncio.Task[Outcome | None]"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Played]:
    """They mostly wait, so they are played side by side."""
    home, faults = tmp_path_factory.mktemp("two"), Faults()
    with Sandbox(pods="scripted") as sandbox:
        await install(sandbox)
        judge = prometheus(sandbox)
        await sandbox.call(judge.start())
        sandbox.server.fault = faults
        frozen = partial(play, sandbox=sandbox, judge=judge, home=home, faults=faults, terms=SHORT)
        tasks: Played = {seed: asyncio.create_task(frozen(Moment.of(seed))) for seed in SEEDS}
        tasks["strangers"] = asyncio.create_task(_strangers(sandbox, judge, home))
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await sandbox.call(judge.stop())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_stays_of_what_a_leader_wrote_that_was_stopped_and_goes_on(
    played: Played, seed: int
) -> None:
    outcome = await played[seed]
    assert outcome is not None
    assert (outcome.broken, outcome.wrong, outcome.stale) == ((), "", ()), outcome


@pytest.mark.asyncio(loop_scope="module")
async def test_two_who_know_nothing_of_one_another_end_as_one_would(played: Played) -> None:
    """I11, with the Leases out of the way: each leads under a name of its own."""
    await played["strangers"]


async def _strangers(sandbox: Sandbox, judge: FakePrometheus, home: Path) -> None:
    shop = await Shop.open(sandbox, judge)
    async with (
        Chronicle.of(shop) as told,
        replicas(sandbox, home, judge.url, unique("left"), namespace=shop.namespace) as left,
        replicas(sandbox, home, judge.url, unique("right"), namespace=shop.namespace) as right,
    ):
        for group in (left, right):
            await group.join("one")
        await shop.healthy("shop:v1", errors(judge.url), steps=GATED, canary=JUDGED)
        for group in (left, right):
            await group.leader()
        await shop.set_image("shop:v2")
        await shop.serving("shop:v2", seconds=90)
        await shop.set_image("shop:v3-bad")
        await shop.phase(Phase.DEGRADED, seconds=90)
        await shop.serving("shop:v2", seconds=90)
        await _both_worked(left, right)
    assert told.broken() == []
    assert told.weights() == [0, 50, 100, 0, 50, 0]
    assert len(told.names(RUNS)) == 2
    assert [entry.verdict for entry in (await shop.status()).history] == [
        "Promoted",
        "Promoted",
        "RolledBack",
    ]


async def _both_worked(*groups: Replicas) -> None:
    await until("both to have written", lambda: all(each.all[0].writes() for each in groups))

"""Nothing to do is nothing written: what rests costs the API server no write."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import manifests
import pytest_asyncio
from manifests import JUDGED, Manifest, errors
from repository import Repository, git_source
from stage import GIT_SOURCES, Shop, until

from rollout.api.status import Phase, Stage

REST_S = 62.0
INTERVAL_S = 20
SILENCE = timedelta(seconds=6)


@pytest_asyncio.fixture
async def watched(shop: Shop, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop that Git looks after, too."""
    repository = await Repository.with_files(tmp_path, {"deploy/README.md": "nothing to apply\n"})
    await shop.apply(git_source(repository.url, interval=f"{INTERVAL_S}s"))

    async def ready() -> bool:
        conditions = ((await shop.get(GIT_SOURCES)).get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    await until("Git to be read", ready)
    yield shop


def polls(shop: Shop, since: datetime) -> int:
    """Turns of the GitSource: each begins by reading it."""
    path = f"/namespaces/{shop.namespace}/gitsources/shop"
    requests = tuple(shop.sandbox.server.requests.entries)
    return sum(each.method == "GET" and each.path.endswith(path) and each.at >= since for each in requests)


async def test_a_healthy_and_a_paused_rollout_cost_no_write_in_a_minute_with_git_polls(
    watched: Shop,
) -> None:
    healthy = await Shop.open(watched.sandbox, watched.prometheus)
    judged: tuple[Manifest, ...] = (errors(watched.prometheus.url),)
    await asyncio.gather(healthy.healthy(), watched.healthy("shop:v1", *judged, canary=JUDGED))
    await watched.set_image("shop:v2")
    await watched.paused(50)

    async def undecided() -> bool:
        return bool((await watched.status()).evidence)

    await until("the judge to look", undecided)
    await until("what was begun to be done", lambda: _silent(healthy, watched))
    since = datetime.now(UTC)
    asked = len(watched.prometheus.asked)
    await asyncio.sleep(REST_S)
    assert polls(watched, since) >= 2
    assert len(watched.prometheus.asked) > asked + 30, "the judge has fallen asleep"
    for shop in (healthy, watched):
        assert [f"{each.method} {each.path}" for each in shop.writes(since)] == []
    assert (await watched.status()).phase is Phase.PAUSED


async def test_a_refused_revision_that_is_applied_again_stays_refused(shop: Shop) -> None:
    """Scenario 8: a Git resync of the same manifest."""
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    await shop.annotate("abort")
    await shop.phase(Phase.DEGRADED)
    await until("all to be done", lambda: _silent(shop))
    since = datetime.now(UTC)
    await shop.apply(manifests.rollout("shop:v2"))
    await asyncio.sleep(SILENCE.total_seconds())
    assert [f"{each.method} {each.path}" for each in shop.writes(since)] == []
    assert (await shop.status()).stage is Stage.REFUSED


def _silent(*shops: Shop) -> bool:
    """Whether nothing was written for longer than a turn waits for pods to drain."""
    return not any(shop.writes(datetime.now(UTC) - SILENCE) for shop in shops)

"""One leads, others stand by with filled caches: they take over at once, or when the lease has ended."""

import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from chronicle import Chronicle
from prometheus_fake import FakePrometheus
from replicas import replicas, unique
from stage import Shop, until

from rollout.api.status import Phase
from rollout.sandbox.cluster import Sandbox
from rollout.settings import Settings

LEASE_S = Settings().lease_duration.total_seconds()
PROMISED_S = 20.0
"""After a leader that said nothing."""


async def test_a_rollout_goes_on_when_its_leader_leaves_and_when_the_next_is_killed(
    lonely: Sandbox, judge: FakePrometheus, tmp_path: Path
) -> None:
    shop = await Shop.open(lonely, judge)
    async with (
        Chronicle.of(shop) as told,
        replicas(lonely, tmp_path, judge.url, unique("hand"), namespace=shop.namespace) as operators,
    ):
        three = [await operators.join(name) for name in ("one", "two", "three")]
        first = await operators.leader()
        standing = [each for each in three if each is not first]
        for each in standing:
            await each.ready()
        await shop.healthy()
        await shop.set_image("shop:v2")
        await shop.paused(50)
        assert not any(each.writes() for each in standing), "a standby wrote"

        first.signal(signal.SIGTERM)
        left, left_at = time.monotonic(), datetime.now(UTC)
        second = await operators.leader(first)
        handed_over = time.monotonic() - left
        assert await first.ended() == 0
        assert handed_over < LEASE_S / 3, "it waited for a lease that was free"
        await shop.annotate("promote")
        await until("the pause to end", lambda: any(each.at > left_at for each in second.writes()))
        await shop.serving("shop:v2")
        assert second.lists(left_at) == [], "it began with empty caches"
        await shop.set_image("shop:v3")
        await shop.paused(50)

        second.signal(signal.SIGKILL)
        died = time.monotonic()
        await shop.annotate("abort")
        await operators.leader(second)
        taken_over = time.monotonic() - died
        assert LEASE_S / 2 < taken_over < PROMISED_S
        await shop.phase(Phase.DEGRADED)
        await shop.serving("shop:v2")
    print(f"lease {LEASE_S:g} s: after SIGTERM {handed_over:.2f} s, after SIGKILL {taken_over:.2f} s")
    assert told.broken() == []
    assert [entry.verdict for entry in (await shop.status()).history] == ["Promoted", "Promoted", "Aborted"]

"""An abort at any step, and a SIGKILL between its latch and the removal of its annotation: aborted, once."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chronicle import Chronicle
from crew import Killer
from manifests import JUDGED, NAME, Manifest, errors
from prometheus_fake import FakePrometheus
from stage import OPERATOR, ROLLOUTS, Shop, until

from rollout.api.status import Phase, Stage
from rollout.observe.reading import read_status
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.cluster import Sandbox

STEPS: tuple[Manifest, ...] = (
    {"setWeight": 20},
    {"pause": {}},
    {"setWeight": 60},
    {"judge": {"minDuration": "10m", "maxDuration": "20m"}},
)


@dataclass(slots=True)
class Between(Killer):
    """Kills it just before it removes an annotation, once in each namespace; what it asked is not done."""

    armed: bool = False
    struck: set[str] = field(default_factory=set)

    async def __call__(self, request: Request) -> Fault | None:
        removes = request.method == "PATCH" and request.path.endswith(f"/rollouts/{NAME}")
        if not self.armed or request.user != OPERATOR or not removes:
            return None
        namespace = request.path.split("/")[-3]
        if namespace in self.struck:
            return None
        self.struck.add(namespace)
        if self._child is not None and self._child.running:
            self._child.signal(signal.SIGKILL)
        return Fault(cut=True)


async def before_the_first_step(shop: Shop) -> None:
    await shop.set_image("shop:never-ready")
    await shop.stage(Stage.RESETTING)


async def at_the_pause(shop: Shop) -> None:
    await shop.set_image("shop:v2")
    await shop.paused(20)


async def at_the_judgement(shop: Shop) -> None:
    await at_the_pause(shop)
    await shop.annotate("promote")

    async def judging() -> bool:
        return (await shop.status()).current_step_index == 3 and await shop.weight() == 60

    await until("the judgement at 60 %", judging)


async def test_git_14_an_abort_whose_controller_dies_before_it_is_acknowledged_is_one_abort(
    lonely: Sandbox, judge: FakePrometheus, tmp_path: Path
) -> None:
    places = (before_the_first_step, at_the_pause, at_the_judgement)
    shops = [await Shop.open(lonely, judge) for _ in places]
    killer = Between(lonely, tmp_path, judge.url, kills=0, seed=0)
    lonely.server.fault = killer
    keeper = lonely.submit(killer.run())
    try:
        template = errors(judge.url)
        await asyncio.gather(
            *(shop.healthy("shop:v1", template, steps=STEPS, canary=JUDGED) for shop in shops)
        )
        await asyncio.gather(*(place(shop) for place, shop in zip(places, shops, strict=True)))
        killer.armed = True
        async with AsyncExitStack() as stack:
            told = [await stack.enter_async_context(Chronicle.of(each)) for each in shops]
            await asyncio.gather(*(_aborted(shop) for shop in shops))
    finally:
        keeper.cancel()
        lonely.server.fault = None
    assert killer.struck == {shop.namespace for shop in shops}
    assert [each.broken() for each in told] == [[], [], []]
    assert [each.weights() for each in told] == [[0], [20, 0], [60, 0]]
    assert [_intents(each) for each in told] == [1, 1, 1]


async def _aborted(shop: Shop) -> None:
    await shop.annotate("abort", "not today")
    await shop.phase(Phase.DEGRADED)
    await shop.serving("shop:v1")

    async def acknowledged() -> bool:
        taken = (await shop.status()).intent
        return taken is not None and (taken.action, taken.state) == ("abort", "Cleared")

    await until("the abort to be acknowledged", acknowledged)
    status = await shop.status()
    assert Counter(entry.verdict for entry in status.history) == {"Promoted": 1, "Aborted": 1}
    assert status.verdict_reason == "aborted by hand: not today"
    assert "progressive.delivery/abort" not in (await shop.get(ROLLOUTS))["metadata"].get("annotations", {})


def _intents(told: Chronicle) -> int:
    """How many aborts were taken."""
    statuses: Sequence[Manifest] = [
        each.object.get("status") or {} for each in told.entries if each.kind == ROLLOUTS.plural
    ]
    taken = [read_status(each).intent for each in statuses]
    return len({(each.value, each.set_at) for each in taken if each is not None and each.action == "abort"})

"""Somebody else writes our weights and selectors, again and again: undone each time, told once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from manifests import CANARY, JUDGED, NAME, STABLE, errors, service
from stage import ROUTES, Shop, until

from rollout.api.status import Phase
from rollout.sandbox.apiserver.resource import SERVICES

HASH = "rollouts-pod-template-hash"
TIMES = 20
PAUSE_S = 0.4
LONG = ({"setWeight": 50}, {"judge": {"minDuration": "5m", "maxDuration": "10m"}})


async def raise_weight(shop: Shop) -> None:
    refs = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{at}/weight", "value": weight}
        for at, weight in ((0, 0), (1, 100))
    ]
    await shop.patch(ROUTES, NAME, refs)


async def wipe_selector(shop: Shop) -> None:
    await shop.patch(SERVICES, STABLE, {"spec": {"selector": {HASH: None}}})


async def again_and_again(shop: Shop, meddle: Callable[[Shop], Awaitable[None]]) -> None:
    for _ in range(TIMES):
        await meddle(shop)
        await asyncio.sleep(PAUSE_S)


async def undone(shop: Shop, revisions: dict[str, str]) -> None:
    async def reached() -> bool:
        named = {service: await shop.selected(service) for service in revisions}
        return named == revisions and await shop.weight() == 50

    await until("all to be as it was", reached)


async def test_foreign_writes_again_and_again_are_undone_and_told_once(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    status = await shop.paused(50)
    revisions = {STABLE: status.stable_rs, CANARY: status.current_pod_hash}
    await shop.told("RolloutStepCompleted")
    before = Counter(await shop.reasons())
    await asyncio.gather(again_and_again(shop, raise_weight), again_and_again(shop, wipe_selector))
    await undone(shop, revisions)
    after = await shop.paused(50)
    assert (after.current_step_index, after.stage) == (1, status.stage)
    assert Counter(await shop.reasons()) - before == Counter({"WeightDrift": 1, "SelectorDrift": 1})
    counted = {each.reason: each.count for each in after.drift}
    assert min(counted["WeightDrift"], counted["SelectorDrift"]) > 1


async def test_requests_of_a_time_in_which_traffic_was_elsewhere_are_no_evidence(shop: Shop) -> None:
    await shop.healthy("shop:v1", errors(shop.prometheus.url), canary=JUDGED, steps=LONG)
    await shop.set_image("shop:v2")
    await shop.weighs(50)

    async def counted() -> float:
        found = (await shop.status()).evidence
        return found[0].canary.total if found and found[0].canary else 0.0

    await until("the judge to count", counted)
    meddling = asyncio.create_task(again_and_again(shop, raise_weight))
    await shop.told("WeightDrift")
    await asyncio.sleep(1.0)
    at_first = await counted()
    await asyncio.sleep(4.0)
    assert await counted() == at_first
    await meddling

    async def counts_again() -> bool:
        return await counted() > at_first

    await until("the judge to count again", counts_again)


async def test_a_service_that_is_deleted_and_created_anew_is_taken_over_again(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    status = await shop.paused(50)
    await shop.delete(SERVICES, STABLE)
    await shop.holds("InvalidSpec", "does not exist")
    await shop.apply(service(STABLE))
    await undone(shop, {STABLE: status.stable_rs, CANARY: status.current_pod_hash})
    await shop.over("InvalidSpec")
    await shop.paused(50)
    await shop.annotate("promote")
    await shop.phase(Phase.HEALTHY)
    assert (await shop.status()).stable_rs == status.current_pod_hash

"""An autoscaler beside a canary: what it sees through /scale, and what becomes of what it writes there."""

import json

import manifests
from chronicle import Chronicle
from manifests import NAME
from stage import Shop, until

from rollout.api.status import Phase

ROLLOUT = f"rollouts.progressive.delivery/{NAME}"
STEPS: tuple[manifests.Manifest, ...] = ({"setWeight": 75}, {"pause": {}})


async def sized(shop: Shop, **images: int) -> None:
    """Wait until each version has so many pods: `v1=6, v2=2`."""
    wanted = {f"shop:{tag}": count for tag, count in images.items()}

    async def reached() -> bool:
        return await shop.images() == wanted

    await until(f"pods {wanted}", reached)


async def scale(shop: Shop) -> tuple[int, str]:
    """(replicas, selector) that an autoscaler reads."""
    told = json.loads(await shop.kubectl("get", ROLLOUT, "--subresource=scale", "-o", "json"))
    return told["status"]["replicas"], told["status"]["selector"]


async def test_it_sees_the_stable_side_alone(shop: Shop) -> None:
    await shop.healthy(steps=STEPS, replicas=4)
    await shop.set_image("shop:v2")
    status = await shop.paused(75)
    assert await scale(shop) == (4, f"app=shop,rollouts-pod-template-hash={status.stable_rs}")
    await shop.annotate("promote")
    await shop.phase(Phase.HEALTHY)

    async def moved_on() -> bool:
        selector = f"app=shop,rollouts-pod-template-hash={status.current_pod_hash}"
        return await scale(shop) == (4, selector)

    await until("the new version to be what is scaled", moved_on)


async def test_one_replica_written_at_75_percent_shrinks_nothing_and_more_come_at_once(shop: Shop) -> None:
    await shop.healthy(steps=STEPS, replicas=4)
    await shop.set_image("shop:v2")
    await shop.paused(75)
    async with Chronicle.of(shop) as told:
        await shop.kubectl("scale", ROLLOUT, "--replicas=1")
        await shop.told("ReplicasKept", "1 wanted, 4 stay")
        await shop.kubectl("scale", ROLLOUT, "--replicas=8")
        await sized(shop, v1=8, v2=6)
        await shop.kubectl("scale", ROLLOUT, "--replicas=1")
        await sized(shop, v1=4, v2=3)
        await shop.annotate("promote")
        await sized(shop, v2=4)
        await shop.phase(Phase.HEALTHY)
    assert told.broken() == []
    sizes = [
        each.object["spec"]["replicas"]
        for each in told.entries
        if each.kind == "replicasets" and not each.gone
    ]
    assert set(sizes) <= {0, 3, 4, 6, 8}
    assert (await shop.status()).least_replicas == 4

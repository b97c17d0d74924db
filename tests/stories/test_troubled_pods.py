"""Pods come and go, get stuck and crash: what a Rollout does about it."""

import manifests
import pytest
from chronicle import Chronicle
from manifests import CANARY, NAME, STABLE
from stage import ROLLOUTS, ROUTES, RUNS, Shop, until

from rollout.api.status import Phase, Stage
from rollout.sandbox.apiserver.resource import PODS, REPLICA_SETS, SERVICES


async def sizes(shop: Shop, **images: int) -> None:
    """Wait until each version has so many pods: `v1=6, v2=2`."""
    wanted = {f"shop:{tag.replace('_', '-')}": count for tag, count in images.items()}

    async def reached() -> bool:
        return await shop.images() == wanted

    await until(f"pods {wanted}", reached)


async def test_scenario_16_scaling_while_paused_keeps_the_share_of_pods_and_the_pause(shop: Shop) -> None:
    await shop.healthy(steps=({"setWeight": 25}, {"pause": {}}), replicas=4)
    await shop.set_image("shop:v2")
    await shop.paused(25)
    await sizes(shop, v1=4, v2=1)
    name = f"rollouts.progressive.delivery/{NAME}"
    async with Chronicle.of(shop) as told:
        await shop.kubectl("scale", name, "--replicas=8")
        await sizes(shop, v1=8, v2=2)
        assert (await shop.paused(25)).current_step_index == 1
    assert told.broken() == []
    await shop.kubectl("scale", name, "--replicas=4")
    await sizes(shop, v1=4, v2=1)
    assert (await shop.paused(25)).current_step_index == 1
    assert await shop.weight() == 25


async def test_without_replicas_the_live_number_is_kept(shop: Shop) -> None:
    await shop.healthy(replicas=None)
    await sizes(shop, v1=1)
    await shop.kubectl("scale", f"rollouts.progressive.delivery/{NAME}", "--replicas=3")
    await sizes(shop, v1=3)
    await shop.phase(Phase.HEALTHY)
    await shop.patch(ROLLOUTS, NAME, {"spec": {"replicas": None}})
    await shop.set_image("shop:v2")
    await shop.paused(50)
    await sizes(shop, v1=3, v2=2)
    await shop.annotate("promote")
    await shop.serving("shop:v2")
    await sizes(shop, v2=3)


async def test_scenario_20_a_canary_that_never_gets_ready_is_given_up_at_the_deadline(shop: Shop) -> None:
    await shop.healthy(progressDeadlineSeconds=3, progressDeadlineAbort=True)
    async with Chronicle.of(shop) as told:
        await shop.set_image("shop:v2-never-ready")
        status = await shop.phase(Phase.DEGRADED)
        assert status.verdict == "RolledBack"
        assert "no progress within the deadline" in status.message
        await shop.serving("shop:v1")
    assert told.weights() == [0]
    assert told.broken() == []


async def test_without_an_abort_a_late_canary_is_degraded_and_goes_on_when_it_gets_ready(shop: Shop) -> None:
    await shop.healthy(progressDeadlineSeconds=3)
    shop.sandbox.scripts.set("unready", image=f"shop:v2-{shop.namespace}")
    await shop.set_image(f"shop:v2-{shop.namespace}")
    status = await shop.phase(Phase.DEGRADED)
    assert "ProgressDeadlineExceeded" in status.message
    assert status.stage is Stage.RESETTING
    assert await shop.weight() == 0
    shop.sandbox.scripts.set("ready", image=f"shop:v2-{shop.namespace}")
    await shop.paused(50)


async def test_scenario_17_and_18_bad_versions_one_after_another_never_get_traffic(shop: Shop) -> None:
    await shop.healthy(progressDeadlineSeconds=2)
    async with Chronicle.of(shop) as told:
        for image in ("shop:v2-crash", "shop:v3-missing"):
            await shop.set_image(image)

            async def late(image: str = image) -> bool:
                status = await shop.status()
                there = image in await shop.images()
                return there and status.message.startswith("ProgressDeadlineExceeded")

            await until(f"{image} to be late", late)
        await sizes(shop, v1=2, v3_missing=1)
    assert told.weights() == [0]
    assert told.broken() == []


async def test_scenario_19_a_first_version_that_crashes_recovers_with_a_good_one(shop: Shop) -> None:
    await shop.apply(*manifests.traffic(), manifests.rollout("shop:v1-crash"))
    await sizes(shop, v1_crash=2)
    await shop.set_image("shop:v2")
    await shop.phase(Phase.HEALTHY)
    await shop.serving("shop:v2")


@pytest.mark.parametrize("act", ["crash", "pull-failure"])
async def test_a_canary_whose_pods_fail_under_traffic_is_rolled_back_at_once(shop: Shop, act: str) -> None:
    image = f"shop:v2-{shop.namespace}"
    await shop.healthy(replicas=4)
    await shop.set_image(image)
    await shop.paused(50)
    async with Chronicle.of(shop) as told:
        shop.sandbox.scripts.set(act, image=image)
        await shop.weighs(0)
        status = await shop.phase(Phase.DEGRADED)
        assert status.verdict == "RolledBack"
        assert "canary pods fail" in status.message
        await shop.serving("shop:v1")
    assert told.broken() == []
    assert "CanaryPodsFailed" in await shop.reasons()


async def test_a_canary_that_loses_all_pods_gets_nothing_until_they_are_back(shop: Shop) -> None:
    image = f"shop:v2-{shop.namespace}"
    await shop.healthy(replicas=4)
    await shop.set_image(image)
    await shop.paused(50)
    shop.sandbox.scripts.set("unready", image=image)
    await shop.weighs(0)
    shop.sandbox.scripts.set("ready", image=image)
    await shop.weighs(50)
    assert (await shop.paused(50)).current_step_index == 1


async def test_scenario_35_a_weight_that_somebody_else_sets_is_undone_and_told(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    refs = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{at}/weight", "value": weight}
        for at, weight in ((0, 0), (1, 100))
    ]
    await shop.patch(ROUTES, NAME, refs)
    await shop.weighs(50)
    await shop.told("WeightDrift")
    assert (await shop.paused(50)).current_step_index == 1


async def test_a_selector_that_somebody_else_wipes_is_restored_and_told(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    stable = await shop.selected(STABLE)
    path = "/spec/selector/rollouts-pod-template-hash"
    await shop.patch(SERVICES, STABLE, [{"op": "remove", "path": path}])

    async def restored() -> bool:
        return await shop.selected(STABLE) == stable

    await until("the stable selector to be restored", restored)
    await shop.told("SelectorDrift", STABLE)
    assert await shop.selected(CANARY) != stable


async def test_scenario_14_edited_steps_begin_at_the_first_again(shop: Shop) -> None:
    await shop.healthy(
        steps=({"setWeight": 20}, {"pause": {"duration": "1s"}}, {"setWeight": 60}, {"pause": {}})
    )
    await shop.set_image("shop:v2")
    await shop.paused(60)
    async with Chronicle.of(shop) as told:
        steps = [{"setWeight": 40}, {"pause": {}}]
        await shop.patch(ROLLOUTS, NAME, {"spec": {"strategy": {"canary": {"steps": steps}}}})
        assert (await shop.paused(40)).current_step_index == 1
    assert told.broken() == []


async def test_a_deleted_rollout_takes_what_it_owns_with_it(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    await shop.delete(ROLLOUTS, NAME)

    async def gone() -> bool:
        owned = [await shop.every(kind) for kind in (REPLICA_SETS, PODS, RUNS)]
        return not any(owned)

    await until("its ReplicaSets, pods and runs to be gone", gone)
    assert await shop.get(ROUTES)


async def test_traffic_waits_for_pods_that_take_their_time_to_get_ready(shop: Shop) -> None:
    image = f"shop:v2-{shop.namespace}"
    shop.sandbox.scripts.set("ready", image=image, after_s=1.0)
    await shop.healthy(steps=({"setWeight": 25}, {"setWeight": 50}, {"setWeight": 75}), replicas=4)
    async with Chronicle.of(shop) as told:
        await shop.set_image(image)
        await shop.serving(image)
    assert told.broken() == []
    assert told.weights() == [0, 25, 50, 75, 100, 0]

"""From one version to the next: judged, superseded, taken back."""

import asyncio

from conformance import api, manifests
from conformance.manifests import CANARY, IN_STEPS, NAME
from conformance.mirror import at
from conformance.needs import Need
from conformance.telling import Stage, story

ROLLOUT = f"{api.ROLLOUTS.argument}/{NAME}"


@story(Need.METRICS)
async def promotion(stage: Stage) -> None:
    """A good version is judged at each step and promoted; kubectl wait sees it"""
    async with stage.shop() as shop:
        await shop.judged(steps=IN_STEPS)
        others = _other_rule(shop.mirror.get(api.ROUTES, NAME))
        await shop.release("v2")
        await shop.weighs(25)
        waiting = asyncio.create_task(
            shop.kubectl("wait", ROLLOUT, "--for=condition=Healthy", "--timeout=120s")
        )
        await shop.weighs(50)
        await waiting
        await shop.serving("v2")
        status = await shop.phase("Healthy")
        assert status["history"][-1]["verdict"] == "Promoted", status["history"]
        assert shop.weights() == [0, 25, 50, 100, 0], shop.weights()
        assert _other_rule(shop.mirror.get(api.ROUTES, NAME)) == others, (
            "a rule that is none of ours was changed"
        )


@story(Need.METRICS)
async def rollback_on_errors(stage: Stage) -> None:
    """A version with more errors goes back at the first step, and stays refused"""
    async with stage.shop() as shop:
        await shop.judged(steps=IN_STEPS)
        await shop.release("v2-bad")
        await shop.weighs(25)
        await shop.kubectl("wait", ROLLOUT, "--for=condition=RolledBack", "--timeout=90s")
        await shop.serving("v1")
        status = await shop.phase("Degraded")
        assert status["verdict"] == "RolledBack", status
        assert "errors" in status["verdictReason"], status
        await shop.told("AnalysisFailed")
        await shop.apply(shop.rollout("v2-bad", steps=IN_STEPS, canary=manifests.JUDGED))
        await asyncio.sleep(3)
        assert shop.weights() == [0, 25, 0], shop.weights()


@story()
async def superseded_canary(stage: Stage) -> None:
    """A newer version takes the place of a canary under way"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await shop.release("v3")
        await shop.until("v3 beside v1", lambda: set(shop.versions) == {"v1", "v3"})
        await shop.paused(50)
        await shop.annotate("promote")
        await shop.serving("v3")
        await shop.phase("Healthy")
        verdicts = [each["verdict"] for each in shop.status["history"]]
        assert "Superseded" in verdicts, verdicts
        assert shop.weights() == [0, 50, 0, 50, 100, 0], shop.weights()


@story()
async def template_equal_to_stable(stage: Stage) -> None:
    """The stable version applied again ends a canary at once"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await shop.release("v1")
        await shop.serving("v1")
        await shop.phase("Healthy")
        await shop.told("StableReapplied")
        assert shop.weights() == [0, 50, 0], shop.weights()


@story()
async def pauses_that_end_by_themselves(stage: Stage) -> None:
    """Steps with timed pauses and no analysis run to the end"""
    async with stage.shop() as shop:
        steps = (
            {"setWeight": 10},
            {"pause": {"duration": "1s"}},
            {"setWeight": 50},
            {"pause": {"duration": 1}},
        )
        await shop.healthy(steps=steps)
        await shop.release("v2")
        await shop.serving("v2")
        await shop.phase("Healthy")
        assert shop.weights() == [0, 10, 50, 100, 0], shop.weights()


@story()
async def scaled_under_way(stage: Stage) -> None:
    """kubectl scale during a canary scales both sides, and stays at its step"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        before = shop.status["currentStepIndex"]
        await shop.kubectl("scale", ROLLOUT, "--replicas=4")
        await shop.until("4 and 2 pods", lambda: shop.versions == {"v1": 4, "v2": 2})
        await shop.kubectl("scale", ROLLOUT, "--replicas=2")
        await shop.until("2 and 1 pods", lambda: shop.versions == {"v1": 2, "v2": 1})
        status = await shop.paused(50)
        assert status["currentStepIndex"] == before, status
        assert shop.weights() == [0, 50], shop.weights()


@story()
async def nothing_to_do_is_nothing_written(stage: Stage) -> None:
    """A healthy and a paused Rollout cost no write"""
    async with stage.shop() as healthy, stage.shop() as paused:
        await asyncio.gather(healthy.healthy(), paused.at_a_pause())
        await asyncio.sleep(8)  # what was begun is done
        before = [len(shop.mirror.journal) for shop in (healthy, paused)]
        await asyncio.sleep(10)
        for shop, count in zip((healthy, paused), before, strict=True):
            found = [f"{each.kind} {each.object['metadata']['name']}" for each in shop.mirror.journal[count:]]
            assert not found, found


def _other_rule(route: api.Object | None) -> api.Object | None:
    found: api.Object | None = at(route, "spec", "rules", 1)
    assert found is None or CANARY not in str(found)
    return found

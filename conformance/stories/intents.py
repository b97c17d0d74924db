"""What people ask for by `kubectl annotate` is done once, and acknowledged."""

import asyncio

from conformance.manifests import NAME
from conformance.telling import Stage, story


@story()
async def abort_and_retry(stage: Stage) -> None:
    """An abort takes the traffic and refuses the version; a retry gives it another try"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await shop.annotate("abort")
        await shop.acknowledged("abort", "Acted")
        await shop.weighs(0)
        await shop.stage("Refused")
        assert shop.status["verdict"] == "Aborted", shop.status
        await shop.phase("Degraded")
        await shop.annotate("abort", "again")
        await shop.acknowledged("abort", "NothingToDo", "again")
        await asyncio.sleep(
            1.1
        )  # managedFields tell whole seconds, and in doubt an abort counts as the later
        await shop.annotate("retry")
        await shop.acknowledged("retry", "Acted")
        await shop.paused(50)
        await shop.annotate("promote")
        await shop.acknowledged("promote", "Acted")
        await shop.serving("v2")
        await shop.phase("Healthy")


@story()
async def pause_and_resume(stage: Stage) -> None:
    """A person's pause holds until a person resumes, beside the step's own pause"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await shop.annotate("pause", "lunch")
        await shop.acknowledged("pause", "Acted", "lunch")
        await shop.annotate("resume", "back")
        await shop.acknowledged("resume", "Acted", "back")
        await shop.paused(50)
        await shop.annotate("resume", "go on")
        await shop.acknowledged("resume", "Acted", "go on")
        await shop.serving("v2")


@story()
async def promote_full(stage: Stage) -> None:
    """promote-full skips all further steps"""
    async with stage.shop() as shop:
        await shop.at_a_pause(steps=({"setWeight": 50}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}))
        await shop.annotate("promote-full")
        await shop.acknowledged("promote-full", "Acted")
        await shop.serving("v2")
        await shop.phase("Healthy")
        assert 75 not in shop.weights(), shop.weights()


@story()
async def intent_for_another_revision(stage: Stage) -> None:
    """A promotion that was meant for another revision does nothing"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await shop.annotate("promote", "for=6c9f7d4b5d: what I looked at")
        await shop.acknowledged("promote", "Superseded", "what I looked at")
        await shop.told("IntentSuperseded", "6c9f7d4b5d")
        await shop.paused(50)


@story()
async def intent_at_rest(stage: Stage) -> None:
    """An abort with nothing under way is acknowledged by an Event"""
    async with stage.shop() as shop:
        await shop.healthy()
        await shop.annotate("abort", "nervous")
        message = await shop.told("IntentNothingToDo", "nothing is rolling out")
        assert "nervous" in message, message
        described = await shop.kubectl("describe", f"rollouts.progressive.delivery/{NAME}")
        assert "IntentNothingToDo" in described, described

"""From one version to the next, judged by metrics."""

from conformance.manifests import IN_STEPS
from conformance.needs import Need
from conformance.telling import Stage, story


@story(Need.METRICS)
async def promotion(stage: Stage) -> None:
    """A good version is judged at each step and promoted."""
    async with stage.shop() as shop:
        await shop.judged(steps=IN_STEPS)
        await shop.release("v2")
        await shop.weighs(25)
        await shop.weighs(50)
        status = await shop.phase("Healthy")
        await shop.serving("v2")
        assert status["history"][-1]["verdict"] == "Promoted", status["history"]
        assert shop.weights()[-3:] == [50, 100, 0], shop.weights()

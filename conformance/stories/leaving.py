"""Rollouts and namespaces that go."""

from conformance import api
from conformance.manifests import CANARY, NAME, STABLE
from conformance.needs import Need
from conformance.telling import Stage, story


@story()
async def deletion(stage: Stage) -> None:
    """A Rollout deleted under way gives the traffic back before it goes, and takes what it owns with it"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await shop.kubectl("delete", f"{api.ROLLOUTS.argument}/{NAME}", "--timeout=60s")
        owned = (api.REPLICA_SETS, api.PODS, api.RUNS)
        await shop.until("what it owned to be gone", lambda: not any(map(shop.mirror.every, owned)))
        assert shop.weights() == [0, 50, 0], shop.weights()
        assert not shop.selected(STABLE), shop.selected(STABLE)
        assert not shop.selected(CANARY), shop.selected(CANARY)
        assert shop.mirror.get(api.ROUTES, NAME)


@story(Need.CONTROLLERS)
async def namespace_deletion(stage: Stage) -> None:
    """A namespace deleted under way goes"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        shop.abandon()
        await stage.given.kubectl("delete", "namespace", shop.namespace, "--timeout=90s")

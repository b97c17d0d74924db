"""Rollouts and namespaces that go."""

from conformance import api
from conformance.manifests import NAME, STABLE
from conformance.needs import Need
from conformance.telling import Stage, story


@story(Need.CONTROLLERS)
async def deletion(stage: Stage) -> None:
    """A Rollout deleted under way takes what it owns with it, and leaves route and Services"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await shop.kubectl("delete", f"{api.ROLLOUTS.argument}/{NAME}", "--timeout=60s")
        owned = (api.REPLICA_SETS, api.PODS, api.RUNS)
        await shop.until("what it owned to be gone", lambda: not any(map(shop.mirror.every, owned)))
        assert shop.mirror.get(api.ROUTES, NAME)
        assert shop.mirror.get(api.SERVICES, STABLE)


@story(Need.CONTROLLERS)
async def namespace_deletion(stage: Stage) -> None:
    """A namespace deleted under way goes"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        shop.abandon()
        await stage.given.kubectl("delete", "namespace", shop.namespace, "--timeout=90s")

"""What a turn recorded is told to people, though a write of it met somebody else's."""

from dataclasses import dataclass

from manifests import NAME, STABLE
from stage import OPERATOR, ROUTES, SERVICES, Shop, until
from weather import conflict

from rollout.sandbox.apiserver.requests import Fault, Request


@dataclass(slots=True)
class Collision:
    """The operator's next write to an object is refused, as beside a controller that writes its status."""

    path: str
    struck: bool = False

    async def __call__(self, request: Request) -> Fault | None:
        if self.struck or request.user != OPERATOR or not request.writes or request.path != self.path:
            return None
        self.struck = True
        return conflict()


async def test_a_drift_is_told_though_the_first_write_that_undoes_it_is_refused(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    collision = Collision(
        f"/apis/{ROUTES.group}/{ROUTES.version}/namespaces/{shop.namespace}/{ROUTES.plural}/{NAME}"
    )
    shop.sandbox.server.fault = collision
    refs = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{at}/weight", "value": weight}
        for at, weight in ((0, 0), (1, 100))
    ]
    await shop.patch(ROUTES, NAME, refs)
    await shop.told("WeightDrift", "100 % to 50 %")
    await shop.paused(50)
    assert collision.struck
    assert (await shop.reasons()).count("WeightDrift") == 1


async def test_that_the_canary_serves_all_and_the_switch_are_told_though_the_switch_is_refused_at_first(
    shop: Shop,
) -> None:
    await shop.healthy(steps=())
    collision = Collision(f"/api/v1/namespaces/{shop.namespace}/{SERVICES.plural}/{STABLE}")
    shop.sandbox.server.fault = collision
    await shop.set_image("shop:v2")
    await shop.serving("shop:v2")
    assert collision.struck
    revision = (await shop.status()).stable_rs

    async def told() -> bool:
        events = await shop.events()
        switched = ("SwitchService", f"Service {STABLE} selects revision {revision}")
        served = ("CanaryServesAll", f"revision {revision}: the new version serves all traffic")
        return events.count(switched) == 1 and events.count(served) == 1

    await until("both Events, once", told)

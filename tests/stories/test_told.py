"""What a turn recorded is told to people, though a write of it met somebody else's."""

from dataclasses import dataclass

from manifests import NAME
from stage import OPERATOR, ROUTES, Shop
from weather import conflict

from rollout.sandbox.apiserver.requests import Fault, Request


@dataclass(slots=True)
class Collision:
    """The operator's next write to a route is refused, as beside a controller that writes its status."""

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

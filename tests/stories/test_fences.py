"""Every write is planned on what was seen: overtaken by somebody else, it is refused and planned anew."""

from dataclasses import dataclass, field

from manifests import JUDGED, NAME, STABLE, Manifest, errors
from stage import OPERATOR, ROLLOUTS, Shop, until

from rollout.api.status import Phase
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.resource import REPLICA_SETS, SERVICES, Resource

RUNS = Resource("progressive.delivery", "v1alpha1", "analysisruns")
ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
KINDS = (ROLLOUTS, ROUTES, SERVICES, REPLICA_SETS, RUNS)
REFUSED = {409, 422}
STEPS: tuple[Manifest, ...] = (
    {"setWeight": 50},
    {"judge": {"minDuration": "1s", "maxDuration": "2m"}},
)


@dataclass(slots=True)
class Interloper:
    """Touches an object just before the operator's first write to it, once for each kind of write."""

    shop: Shop
    struck: dict[str, Request] = field(default_factory=dict)
    switched: bool = False

    async def __call__(self, request: Request) -> Fault | None:
        what = self._what(request)
        if what and what not in self.struck:
            self.struck[what] = request
            await self._touch(request.path)
        return None

    def _what(self, request: Request) -> str:
        """Which kind of write it is; '' for what is not struck at."""
        if request.user != OPERATOR or f"/namespaces/{self.shop.namespace}/" not in request.path:
            return ""
        parts = request.path.partition(f"/namespaces/{self.shop.namespace}/")[2].split("/")
        plural, name, sub = (*parts, "", "")[:3]
        if plural == RUNS.plural and request.method == "GET" and name and self.switched:
            return "the end of a run"
        if not name or request.method not in {"PUT", "PATCH"} or request.query.get("dryRun"):
            return ""
        self.switched |= (plural, name) == (SERVICES.plural, STABLE)
        return f"{request.method} {plural}{'/status' if sub == 'status' else ''}"

    async def _touch(self, path: str) -> None:
        plural, name = path.partition(f"/namespaces/{self.shop.namespace}/")[2].split("/")[:2]
        resource = next(each for each in KINDS if each.plural == plural)
        await self.shop.patch(
            resource, name, {"metadata": {"annotations": {"touched": f"{len(self.struck)}"}}}
        )


async def test_a_write_that_somebody_overtook_is_refused_and_planned_anew(shop: Shop) -> None:
    await shop.healthy("shop:v1", errors(shop.prometheus.url), canary=JUDGED, steps=STEPS)
    interloper = Interloper(shop)
    shop.sandbox.server.fault = interloper
    await shop.set_image("shop:v2")
    await shop.serving("shop:v2")
    await shop.phase(Phase.HEALTHY)
    await shop.delete(ROLLOUTS, NAME)

    async def gone() -> bool:
        return not await shop.every(ROLLOUTS)

    await until("the Rollout to be gone", gone)
    shop.sandbox.server.fault = None
    found = {what: request.status for what, request in interloper.struck.items()}
    ended = interloper.struck["the end of a run"]
    assert found.keys() == {
        "PUT rollouts/status",
        "PATCH rollouts",
        "PATCH httproutes",
        "PATCH services",
        "PATCH replicasets",
        "PUT analysisruns/status",
        "the end of a run",
    }
    assert {what for what, status in found.items() if status not in REFUSED} == {"the end of a run"}
    entries = [each for each in shop.sandbox.server.requests.entries if each.user == OPERATOR]
    after = [each for each in entries[entries.index(ended) + 1 :] if ended.path in each.path]
    assert after[0].method == "GET", "a run was ended that had changed since it was seen"
    assert "PUT" in [each.method for each in after]

"""Accepts HTTPRoutes and GRPCRoutes where no proxy runs: writes the status that a data plane would.

For tests with scripted pods; it routes nothing.
"""

from rollout.sandbox import clock
from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import Object, Resource
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.queue import Queue

GROUP = "gateway.networking.k8s.io"
ROUTES = (Resource(GROUP, "v1", "httproutes"), Resource(GROUP, "v1", "grpcroutes"))
CONTROLLER = "progressive.delivery/sandbox"
_REASONS = {"Accepted": "Accepted", "ResolvedRefs": "ResolvedRefs"}


class Routes:
    """The controller."""

    def __init__(self, client: LocalClient, informers: Informers) -> None:
        self.client = client
        self.queue: Queue[tuple[Resource, Key]] = Queue("routes", self.turn)
        for resource in ROUTES:
            self._follow(informers, resource)

    def _follow(self, informers: Informers, resource: Resource) -> None:
        def notice(before: Object | None, after: Object | None) -> None:
            del before
            if after is not None:
                self.queue.add((resource, key_of(after)))

        informers.on(resource, notice)

    async def turn(self, key: tuple[Resource, Key]) -> float | None:
        """Say of one route that it is accepted."""
        resource, (namespace, name) = key
        try:
            route = await self.client.get(resource, namespace, name)
        except ApiError as refused:
            if refused.status == 404:
                return None
            raise
        parents = [_parent(route, ref) for ref in route["spec"].get("parentRefs") or ()]
        if _generations(route.get("status", {}).get("parents") or []) != _generations(parents):
            body = {**route, "status": {"parents": parents}}
            await self.client.replace(resource, namespace, name, body, subresource="status")
        return None


def _parent(route: Object, ref: Object) -> Object:
    now = clock.stamp()
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": "",
            "lastTransitionTime": now,
            "observedGeneration": route["metadata"]["generation"],
        }
        for kind, reason in _REASONS.items()
    ]
    return {"parentRef": ref, "controllerName": CONTROLLER, "conditions": conditions}


def _generations(parents: list[Object]) -> list[tuple[str, list[int]]]:
    """What of the status changes when the route or its parents do."""
    return [
        (p["parentRef"]["name"], [c.get("observedGeneration", 0) for c in p["conditions"]]) for p in parents
    ]

"""PodDisruptionBudgets: how many pods may go now."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from rollout.sandbox.apiserver.eviction import ALLOWED_CONDITION, with_condition
from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, Object, Resource
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.ownership import controller_of, deleting, matches
from rollout.sandbox.controllers.pods import condition, instant, is_ready
from rollout.sandbox.controllers.queue import Queue

EVICTION_TAKES = timedelta(minutes=2)
"""So long an evicted pod counts as gone; if it is still there then, it counts again."""


class UncountableError(Exception):
    """Nobody says how many pods there should be."""


class Disruptions:
    """The controller."""

    def __init__(self, client: LocalClient, informers: Informers) -> None:
        self.client = client
        self.queue: Queue[Key] = Queue("disruption", self.turn)
        self._selectors: dict[Key, Object | None] = {}
        informers.on(POD_DISRUPTION_BUDGETS, self._on_budget)
        informers.on(PODS, self._on_pod)

    def _on_budget(self, before: Object | None, after: Object | None) -> None:
        if after is not None:
            self._selectors[key_of(after)] = after["spec"].get("selector")
            self.queue.add(key_of(after))
        elif before is not None:
            self._selectors.pop(key_of(before), None)

    def _on_pod(self, before: Object | None, after: Object | None) -> None:
        for pod in (before, after):
            if pod is None:
                continue
            meta = pod["metadata"]
            for key, selector in self._selectors.items():
                if key[0] == meta["namespace"] and matches(selector, meta.get("labels")):
                    self.queue.add(key)

    async def turn(self, key: Key) -> float | None:
        """Count for one budget."""
        try:
            budget = await self.client.get(POD_DISRUPTION_BUDGETS, *key)
        except ApiError as refused:
            if refused.status == 404:
                return None
            raise
        selector = budget["spec"].get("selector")
        found, _ = await self.client.list(PODS, key[0])
        pods = [pod for pod in found if matches(selector, pod["metadata"].get("labels"))]
        status, again = await self._counted(budget, pods)
        if status != budget["status"]:
            body = {**budget, "status": status}
            await self.client.replace(POD_DISRUPTION_BUDGETS, *key, body, subresource="status")
        return again

    async def _counted(self, budget: Object, pods: list[Object]) -> tuple[Object, float | None]:
        status = {**budget["status"], "observedGeneration": budget["metadata"]["generation"]}
        try:
            expected, desired = await self._wanted(budget["spec"], pods)
        except UncountableError as failed:
            return _unsynced(status, str(failed)), None
        going, again = _still_going(status.pop("disruptedPods", {}), pods)
        healthy = sum(
            is_ready(pod) and not deleting(pod) and pod["metadata"]["name"] not in going for pod in pods
        )
        counts = {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": max(healthy - desired, 0) if expected > 0 else 0,
        }
        return with_condition(status | counts | ({"disruptedPods": going} if going else {})), again

    async def _wanted(self, spec: Object, pods: list[Object]) -> tuple[int, int]:
        """Pods that there should be, and that must stay healthy."""
        most_gone, least = spec.get("maxUnavailable"), spec.get("minAvailable")
        if most_gone is not None:
            expected = await self._scale(pods)
            return expected, max(expected - _of(most_gone, expected), 0)
        if isinstance(least, str):
            expected = await self._scale(pods)
            return expected, _of(least, expected)
        return (0, 0) if least is None else (len(pods), int(least))

    async def _scale(self, pods: list[Object]) -> int:
        """The replicas that the pods' controllers ask for, together."""
        found: dict[str, int] = {}
        for pod in pods:
            owner = controller_of(pod)
            if owner is not None and owner["uid"] not in found:
                found[owner["uid"]] = await self._replicas(owner, pod["metadata"])
        return sum(found.values())

    async def _replicas(self, owner: Object, pod: Object) -> int:
        resource = self.client.kind_resource(owner["apiVersion"], owner["kind"])
        try:
            if resource is None:
                raise UncountableError(f'found no controllers for pod "{pod["name"]}"')
            holder = await self.client.get(resource, pod["namespace"], owner["name"])
            above = controller_of(holder)
            if above is not None and above["kind"] == "Deployment":
                resource, owner = DEPLOYMENTS, above
            scale = await self.client.get(resource, pod["namespace"], owner["name"], subresource="scale")
        except ApiError as refused:
            raise UncountableError(_why(resource, pod)) from refused
        return int(scale["spec"].get("replicas", 0))


def _why(resource: Resource | None, pod: Object) -> str:
    if resource is None:
        return f'found no controllers for pod "{pod["name"]}"'
    return f"{resource.qualified} does not implement the scale subresource"


def _of(limit: Any, expected: int) -> int:
    """A number, or a percentage rounded up."""
    return math.ceil(int(limit[:-1]) * expected / 100) if isinstance(limit, str) else int(limit)


def _still_going(evicted: Object, pods: list[Object]) -> tuple[Object, float | None]:
    """The evicted pods that are not being deleted yet, and when to look at them again."""
    there = {pod["metadata"]["name"] for pod in pods if not deleting(pod)}
    now = datetime.now(UTC)
    left = {
        name: (since + EVICTION_TAKES - now).total_seconds()
        for name, at in evicted.items()
        if name in there and (since := instant(at)) is not None
    }
    held = {name: evicted[name] for name, seconds in left.items() if seconds > 0}
    return held, min((left[name] for name in held), default=None)


def _unsynced(status: Object, why: str) -> Object:
    """Nothing may go, since nobody can say what would be left."""
    wanted = with_condition({**status, "disruptionsAllowed": 0})
    held = condition({"status": wanted}, ALLOWED_CONDITION)
    assert held is not None
    others = [each for each in wanted["conditions"] if each["type"] != ALLOWED_CONDITION]
    return {**wanted, "conditions": [*others, {**held, "reason": "SyncFailed", "message": why}]}

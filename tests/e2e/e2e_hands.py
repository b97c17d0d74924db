"""Other hands in the cluster than the operator's: pods that are taken away at chosen moments."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from e2e_stage import HASH, NAME, USER, Shop

from rollout.kube import kinds
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.resource import PODS, Object, Resource

ROLLOUTS = Resource(kinds.ROLLOUTS.group, kinds.ROLLOUTS.version, kinds.ROLLOUTS.plural)
ORDER = {
    name: index
    for index, name in enumerate(
        ("Resetting", "Stepping", "Promoting", "Switching", "Returning", "RollingBack")
    )
}


@dataclass(frozen=True, slots=True)
class Place:
    """From this stage and step on, before one of the operator's first `few` writes to `of`."""

    stage: str
    step: int = 0
    of: str = ""
    few: int = 3


class Thief:
    """Takes all pods of an arm, or of both, at each place in turn; each time they were all ready before."""

    def __init__(self, shop: Shop, arms: tuple[str, ...], places: list[Place]) -> None:
        self.due = list(places)
        self._shop = shop
        self._arms = arms
        self._client = shop.stage.sandbox.client

    async def __call__(self, request: Request) -> Fault | None:
        """Asked by the API server before it serves a request."""
        if self.due and self._counts(request):
            rollout = await self._client.get(ROLLOUTS, self._shop.namespace, NAME)
            pods = [each for arm in self._arms for each in await self._pods(rollout["status"][arm])]
            if self.due and reached(rollout["status"], self.due[0]) and pods and all(map(_ready, pods)):
                self.due.pop(0)
                await asyncio.gather(*(self._take(pod) for pod in pods))
        return None

    def _counts(self, request: Request) -> bool:
        own = request.user == USER and f"/namespaces/{self._shop.namespace}/" in request.path
        return own and request.writes and self.due[0].of in request.path and "/events" not in request.path

    async def _pods(self, revision: str) -> list[Object]:
        found, _ = await self._client.list(PODS, self._shop.namespace)
        return [
            pod
            for pod in found
            if pod["metadata"]["labels"].get(HASH) == revision
            and not pod["metadata"].get("deletionTimestamp")
        ]

    async def _take(self, pod: Object) -> None:
        await self._client.delete(PODS, self._shop.namespace, pod["metadata"]["name"])


def reached(status: Mapping[str, Any], place: Place) -> bool:
    """Whether a Rollout is at a place, or beyond it."""
    if status.get("stage") not in ORDER:
        return False
    here = (ORDER[status["stage"]], status.get("currentStepIndex") or 0)
    return here >= (ORDER[place.stage], place.step)


def _ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

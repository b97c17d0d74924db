"""What a turn reads besides the Rollout itself, kept at hand.

ReplicaSets and pods carry our label, so one watch of each covers all of them and nothing else. Services,
routes and EndpointSlices carry no label of ours: they are followed a namespace at a time, where Rollouts
live.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from rollout.api.base import Manifest
from rollout.kube.client import Kube
from rollout.kube.kinds import ENDPOINT_SLICES, HTTP_ROUTES, PODS, REPLICA_SETS, SERVICES, Resource
from rollout.kube.reflector import Change, Reflector
from rollout.workloads import endpoints, pods, replicasets, services
from rollout.workloads.labels import HASH_LABEL

T = TypeVar("T")

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What surrounds the Rollouts of one namespace."""

    services: Reflector[Manifest]
    routes: Reflector[Manifest]
    endpoint_slices: Reflector[endpoints.EndpointSlice]

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """Each of them."""
        return self.services, self.routes, self.endpoint_slices


class Caches:
    """Caches of one cluster, or of one `namespace` of it; they live while `run` runs.

    `on_change` hears of every change that a turn could see, `on_trouble` of every failure to follow;
    neither may block.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str | None = None,
        on_change: Callable[[Change[Any]], None] = lambda _change: None,
        on_trouble: Callable[[Resource, Exception], None] = lambda _resource, _error: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube = kube
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._clock = clock
        self._started = asyncio.Event()
        self._near: dict[str, Neighbourhood] = {}
        self._tasks: dict[str, tuple[asyncio.Task[None], ...]] = {}
        self._moved: dict[tuple[str, str], datetime] = {}
        self.replica_sets = self._reflector(REPLICA_SETS, replicasets.read, namespace, HASH_LABEL)
        self.pods = self._reflector(PODS, pods.read, namespace, HASH_LABEL)

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            ExceptionGroup: a cache broke by a mistake of ours; what the API server does never breaks one.
        """
        async with asyncio.TaskGroup() as self._group:
            for each in (self.replica_sets, self.pods):
                self._group.create_task(each.run(), name=f"follow {each.resource}")
            self._started.set()

    async def synced(self, seconds: float = 30.0) -> None:
        """Wait for the first complete list of ReplicaSets and pods.

        Raises:
            Retry, Stalled: what keeps them from being listed.
        """
        for each in (self.replica_sets, self.pods):
            await each.ready(seconds)

    async def near(self, namespace: str, seconds: float = 10.0) -> Neighbourhood:
        """What surrounds the Rollouts of `namespace`, followed from now on, once it is listed completely.

        Raises:
            Retry, Stalled: what keeps it from being listed.
        """
        await self._started.wait()
        if namespace not in self._near:
            self._join(namespace)
        found = self._near[namespace]
        for each in found.reflectors:
            await each.ready(seconds)
        return found

    def leave(self, namespace: str) -> None:
        """Stop following what surrounds `namespace`: no Rollout lives there any more."""
        for task in self._tasks.pop(namespace, ()):
            task.cancel()
        self._near.pop(namespace, None)
        self._moved = {key: when for key, when in self._moved.items() if key[0] != namespace}

    def hashes(self, namespace: str) -> Mapping[str, str]:
        """Revision hash by pod name."""
        return {pod.name: pod.hash for pod in self.pods.list(namespace)}

    def settled(self, service: Manifest, least: timedelta) -> bool:
        """Whether a Service's selector, as it was just read, and its serving endpoints have stood for
        `least`.
        """
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        near = self._near.get(namespace)
        followed = near.services.get(namespace, name) if near else None
        moved = self._moved.get((namespace, name))
        if followed is None or moved is None or _selected(followed) != _selected(service):
            return False
        return self._clock() - moved >= least

    def _join(self, namespace: str) -> None:
        found = Neighbourhood(
            self._reflector(SERVICES, without_bookkeeping, namespace),
            self._reflector(HTTP_ROUTES, without_bookkeeping, namespace),
            self._reflector(ENDPOINT_SLICES, endpoints.read, namespace),
        )
        self._near[namespace] = found
        self._tasks[namespace] = tuple(
            self._group.create_task(each.run(), name=f"follow {each.resource} in {namespace}")
            for each in found.reflectors
        )

    def _reflector(
        self, resource: Resource, project: Callable[[Manifest], T], namespace: str | None, labels: str = ""
    ) -> Reflector[T]:
        return Reflector(
            self._kube,
            resource,
            project,
            namespace=namespace,
            labels=labels,
            on_change=self._changed,
            on_trouble=self._on_trouble,
        )

    def _changed(self, change: Change[Any]) -> None:
        match change.after or change.before:
            case endpoints.EndpointSlice(service=service):
                self._moved[change.namespace, service] = self._clock()
            case _ if change.resource == SERVICES and _selected(change.before) != _selected(change.after):
                self._moved[change.namespace, change.name] = self._clock()
        self._on_change(change)


def without_bookkeeping(manifest: Manifest) -> Manifest:
    """An object without what only its writers need: managed fields and the last applied configuration."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    if _LAST_APPLIED in (metadata.get("annotations") or {}):
        marks = metadata["annotations"]
        metadata["annotations"] = {key: value for key, value in marks.items() if key != _LAST_APPLIED}
    return {**manifest, "metadata": metadata}


def _selected(service: Manifest | None) -> str | None:
    return services.selected_hash(service) if service else None

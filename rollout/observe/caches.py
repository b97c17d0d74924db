"""What is watched: only what is ours, projected to the fields that a turn reads.

ReplicaSets, pods and AnalysisRuns carry a label of ours and are followed wherever we look; Services, routes,
EndpointSlices and templates carry none and are followed a namespace at a time, where Rollouts live.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.reflector import Change, Reflector
from rollout.plan import observed
from rollout.workloads import endpoints, pods, replicasets, runs
from rollout.workloads.labels import HASH_LABEL

OnChange = Callable[[Change[Any]], None]

PATIENCE_SECONDS = 5.0
"""How long a turn waits for the first list of a namespace: it holds a place in the queue meanwhile."""


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What belongs to a namespace in which Rollouts live."""

    services: Reflector[Manifest]
    routes: Reflector[Manifest]
    slices: Reflector[endpoints.EndpointSlice]
    templates: Reflector[Manifest]

    def __iter__(self) -> Iterator[Reflector[Any]]:
        """All of its reflectors."""
        return iter((self.services, self.routes, self.slices, self.templates))


@dataclass(frozen=True, slots=True)
class OwnedRun:
    """An AnalysisRun and whose it is."""

    owner_uid: str
    run: observed.Run


class Caches:
    """All reflectors of one operator. `namespace` None: all namespaces."""

    def __init__(self, kube: Kube, namespace: str | None, on_change: OnChange) -> None:
        self._kube = kube
        self._namespace = namespace
        self._on_change = on_change
        self._tasks: asyncio.TaskGroup | None = None
        self._neighbourhoods: dict[str, Neighbourhood] = {}
        self.replica_sets = self._own(kinds.REPLICA_SETS, replicasets.read, HASH_LABEL)
        self.pods = self._own(kinds.PODS, pods.read, HASH_LABEL)
        self.runs = self._own(kinds.ANALYSIS_RUNS, _owned_run, runs.ROLLOUT_LABEL)
        self.cluster_templates: Reflector[Manifest] = Reflector(
            kube, kinds.CLUSTER_ANALYSIS_TEMPLATES, without_ballast, on_change=on_change
        )

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for reflector in self._everywhere:
                tasks.create_task(reflector.run())
            await asyncio.Event().wait()

    async def synced(self) -> None:
        """Wait until every cache that is there from the start holds its first list."""
        for reflector in self._everywhere:
            await reflector.synced.wait()

    async def of(self, namespace: str) -> Neighbourhood:
        """What belongs to `namespace`, followed from the first time it is asked for.

        Raises:
            Retry, Stalled: what keeps it from being listed (a CRD that is missing, a right that we lack).
        """
        around = self.follow(namespace)
        for reflector in around:
            await reflector.ready(PATIENCE_SECONDS)
        return around

    def follow(self, namespace: str) -> Neighbourhood:
        """The same without waiting: it may be empty yet."""
        if namespace not in self._neighbourhoods:
            assert self._tasks is not None, "the caches run before anybody asks"
            found = self._neighbourhood(namespace)
            self._neighbourhoods[namespace] = found
            for reflector in found:
                self._tasks.create_task(reflector.run())
        return self._neighbourhoods[namespace]

    @property
    def _everywhere(self) -> tuple[Reflector[Any], ...]:
        return (self.replica_sets, self.pods, self.runs, self.cluster_templates)

    def _own(
        self, resource: kinds.Resource, project: Callable[[Manifest], Any], label: str
    ) -> Reflector[Any]:
        return Reflector(
            self._kube,
            resource,
            project,
            namespace=self._namespace,
            labels=label,
            on_change=self._on_change,
        )

    def _neighbourhood(self, namespace: str) -> Neighbourhood:
        def follow(resource: kinds.Resource, project: Callable[[Manifest], Any]) -> Reflector[Any]:
            return Reflector(self._kube, resource, project, namespace=namespace, on_change=self._on_change)

        return Neighbourhood(
            services=follow(kinds.SERVICES, without_ballast),
            routes=follow(kinds.HTTP_ROUTES, without_ballast),
            slices=follow(kinds.ENDPOINT_SLICES, endpoints.read),
            templates=follow(kinds.ANALYSIS_TEMPLATES, without_ballast),
        )


def without_ballast(manifest: Manifest) -> Manifest:
    """An object without what nobody here reads: managedFields, annotations."""
    left_out = ("managedFields", "annotations")
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in left_out}
    return {**manifest, "metadata": metadata}


def _owned_run(run: Manifest) -> OwnedRun:
    return OwnedRun(pods.controller_uid(run["metadata"]), runs.read(run))

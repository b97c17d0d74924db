"""What is watched: only what is ours, projected to the fields that a turn reads.

ReplicaSets, pods and AnalysisRuns carry a label of ours and are followed wherever we look. Services, routes,
EndpointSlices and templates carry none: they are followed a namespace at a time, where Rollouts live, and by
one watch a kind once there are many such namespaces; then too nothing is kept of any other.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rollout.api.analysis import (
    AnalysisTemplate,
    AnalysisTemplateSpec,
    parse_analysis_template,
    parse_cluster_analysis_template,
)
from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Retry, Stalled
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.reflector import Change, Reflector
from rollout.plan import observed
from rollout.workloads import endpoints, pods, replicasets, runs
from rollout.workloads.labels import HASH_LABEL

OnChange = Callable[[Change[Any]], None]

PATIENCE_SECONDS = 5.0
"""How long a turn waits for the first list of a namespace: it holds a place in the queue meanwhile."""


NARROW = 12
"""Namespaces that are followed one at a time, at four watches each; more of them share one watch a kind."""


@dataclass(frozen=True, slots=True)
class Template:
    """An AnalysisTemplate (or ClusterAnalysisTemplate), parsed once; `broken` says why it can't be."""

    key: runs.TemplateKey
    spec: AnalysisTemplateSpec | None
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What belongs to the namespaces in which Rollouts live, or to one of them."""

    services: Reflector[Manifest]
    routes: Reflector[Manifest]
    slices: Reflector[endpoints.EndpointSlice]
    templates: Reflector[Template]

    def __iter__(self) -> Iterator[Reflector[Any]]:
        """All of its reflectors."""
        return iter((self.services, self.routes, self.slices, self.templates))

    @property
    def synced(self) -> bool:
        """Whether each holds its first list."""
        return all(each.synced.is_set() for each in self)


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
        self._narrow: dict[str, tuple[Neighbourhood, tuple[asyncio.Task[None], ...]]] = {}
        self._wide: Neighbourhood | None = None
        self.replica_sets: Reflector[replicasets.ReplicaSet] = self._own(
            kinds.REPLICA_SETS, replicasets.read, HASH_LABEL, _owner
        )
        self.pods: Reflector[pods.Pod] = self._own(kinds.PODS, pods.read, HASH_LABEL, _owner)
        self.runs: Reflector[OwnedRun] = self._own(
            kinds.ANALYSIS_RUNS, _owned_run, runs.ROLLOUT_LABEL, _owner
        )
        self.cluster_templates: Reflector[Template] = Reflector(
            kube, kinds.CLUSTER_ANALYSIS_TEMPLATES, _cluster_template, on_change=on_change
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
            await reflector.include(namespace)
        return around

    def follow(self, namespace: str) -> Neighbourhood:
        """The same without waiting: it may be empty yet."""
        if namespace in self._narrow:
            return self._narrow[namespace][0]
        if self._wide is None and len(self._narrow) >= NARROW:
            self._wide = self._widened()
        if self._wide is not None:
            return self._wide
        found = self._neighbourhood(namespace)
        self._narrow[namespace] = (found, self._begun(found))
        return found

    def leave(self, namespace: str) -> None:
        """No Rollout lives there any more."""
        _, tasks = self._narrow.pop(namespace, (None, ()))
        for task in tasks:
            task.cancel()
        for reflector in self._wide or ():
            reflector.leave(namespace)

    def _widened(self) -> Neighbourhood:
        """One watch a kind; the narrow ones go when it has caught up."""
        wide = self._neighbourhood(None)
        self._begun(wide)
        assert self._tasks is not None, "the caches run before anybody asks"
        self._tasks.create_task(self._replace_narrow(wide))
        return wide

    async def _replace_narrow(self, wide: Neighbourhood) -> None:
        for reflector in wide:
            await reflector.synced.wait()
        for namespace in tuple(self._narrow):
            try:
                for reflector in wide:
                    await reflector.include(namespace)
            except (Retry, Stalled):
                continue  # it stays with its own watches
            _, tasks = self._narrow.pop(namespace, (None, ()))
            for task in tasks:
                task.cancel()

    def _begun(self, around: Neighbourhood) -> tuple[asyncio.Task[None], ...]:
        assert self._tasks is not None, "the caches run before anybody asks"
        return tuple(self._tasks.create_task(reflector.run()) for reflector in around)

    @property
    def _everywhere(self) -> tuple[Reflector[Any], ...]:
        return (self.replica_sets, self.pods, self.runs, self.cluster_templates)

    def _own(
        self,
        resource: kinds.Resource,
        project: Callable[[Manifest], Any],
        label: str,
        index: Callable[[Any], str],
    ) -> Reflector[Any]:
        return Reflector(
            self._kube,
            resource,
            project,
            namespace=self._namespace,
            labels=label,
            index=index,
            on_change=self._on_change,
        )

    def _neighbourhood(self, namespace: str | None) -> Neighbourhood:
        def follow(
            resource: kinds.Resource,
            project: Callable[[Manifest], Any],
            index: Callable[[Any], str] | None = None,
        ) -> Reflector[Any]:
            return Reflector(
                self._kube,
                resource,
                project,
                namespace=namespace,
                index=index,
                chosen=namespace is None,
                on_change=self._on_change,
            )

        return Neighbourhood(
            services=follow(kinds.SERVICES, _service),
            routes=follow(kinds.HTTP_ROUTES, _route),
            slices=follow(kinds.ENDPOINT_SLICES, endpoints.read, _of_service),
            templates=follow(kinds.ANALYSIS_TEMPLATES, _template),
        )


def _service(service: Manifest) -> Manifest:
    """Name, version and selector: what a turn reads of a Service."""
    spec = service.get("spec") or {}
    return {**_identity(service), "spec": {"selector": spec.get("selector")}}


def _route(route: Manifest) -> Manifest:
    """Parents, backends and what the status says of them: what a turn reads of a route."""
    spec, status = route.get("spec") or {}, route.get("status") or {}
    rules = [
        {key: rule[key] for key in ("name", "backendRefs") if key in rule} for rule in spec.get("rules") or ()
    ]
    parents = [
        {key: parent[key] for key in ("parentRef", "controllerName", "conditions") if key in parent}
        for parent in status.get("parents") or ()
    ]
    return {
        **_identity(route),
        "spec": {"parentRefs": spec.get("parentRefs"), "rules": rules},
        "status": {"parents": parents},
    }


def _identity(manifest: Manifest) -> Manifest:
    kept = ("name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp")
    metadata = {key: manifest["metadata"][key] for key in kept if key in manifest["metadata"]}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}


def _template(manifest: Manifest) -> Template:
    return _parsed(manifest, parse_analysis_template, cluster=False)


def _cluster_template(manifest: Manifest) -> Template:
    return _parsed(manifest, parse_cluster_analysis_template, cluster=True)


def _parsed(manifest: Manifest, parse: Callable[[Manifest], AnalysisTemplate], *, cluster: bool) -> Template:
    key = (str(manifest["metadata"]["name"]), cluster)
    try:
        return Template(key, parse(manifest).spec)
    except InvalidSpec as invalid:
        return Template(key, None, str(invalid))


def _owned_run(run: Manifest) -> OwnedRun:
    return OwnedRun(pods.controller_uid(run["metadata"]), runs.read(run))


def _owner(owned: pods.Pod | replicasets.ReplicaSet | OwnedRun) -> str:
    return owned.owner_uid


def _of_service(told: endpoints.EndpointSlice) -> str:
    return told.service

"""What stands around a Rollout, from the caches, or from the server where writes rest on it."""

from collections.abc import Iterable, Mapping

from rollout.api.analysis import AnalysisTemplateSpec
from rollout.api.base import Manifest
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.kinds import Resource
from rollout.kube.reflector import Reflector
from rollout.observe.caches import Caches, Neighbourhood
from rollout.observe.reading import Reading
from rollout.plan import observed
from rollout.workloads import endpoints, pods, replicasets, runs, services
from rollout.workloads.endpoints import EndpointSlice

Reached = tuple[Iterable[EndpointSlice], Mapping[str, str]]
"""Endpoints of a Service, and the revision of each pod by its name."""


class Surroundings:
    """Reads them."""

    def __init__(self, kube: Kube, caches: Caches) -> None:
        self._kube = kube
        self._caches = caches

    async def services(
        self, around: Neighbourhood, namespace: str, reading: Reading, *, live: bool
    ) -> dict[str, Manifest]:
        """Those of its Services that are there, by name."""
        names = (reading.traffic.stable_service, reading.traffic.canary_service) if reading.traffic else ()
        return await self._named(kinds.SERVICES, around.services, namespace, names, live=live)

    async def routes(
        self, around: Neighbourhood, namespace: str, reading: Reading, *, live: bool
    ) -> dict[str, Manifest]:
        """Those of its routes that are there, by name."""
        names = {route.name for route in reading.routes}
        return await self._named(kinds.HTTP_ROUTES, around.routes, namespace, names, live=live)

    async def _named(
        self, kind: Resource, cache: Reflector[Manifest], namespace: str, names: Iterable[str], *, live: bool
    ) -> dict[str, Manifest]:
        found: dict[str, Manifest] = {}
        for name in names:
            one = await self._kube.find(kind, namespace, name) if live else cache.get(namespace, name)
            if one is not None:
                found[name] = one
        return found

    def templates(
        self, around: Neighbourhood, namespace: str
    ) -> tuple[dict[runs.TemplateKey, AnalysisTemplateSpec], dict[runs.TemplateKey, str]]:
        """Templates of the namespace and the cluster, and why others can't be read."""
        found = (*around.templates.list(namespace), *self._caches.cluster_templates.list())
        parsed = {each.key: each.spec for each in found if each.spec is not None}
        return parsed, {each.key: each.broken for each in found if each.spec is None}

    def replica_sets(self, namespace: str, uid: str) -> tuple[observed.ReplicaSet, ...]:
        """Those that the Rollout owns, with their pods, oldest revision first."""
        ours = [each for each in self._caches.replica_sets.find(namespace, uid) if not each.deleting]
        return tuple(
            replicasets.observe(each, self._caches.pods.find(namespace, each.uid))
            for each in sorted(ours, key=lambda each: each.revision.number)
        )

    def runs(self, namespace: str, uid: str) -> tuple[observed.Run, ...]:
        """Its AnalysisRuns."""
        return tuple(each.run for each in self._caches.runs.find(namespace, uid))

    async def reached(self, around: Neighbourhood, service: Manifest, *, live: bool) -> Reached:
        """Endpoints of a Service, and the revision of each pod by its name.

        Where nobody seems to serve and something may be written, the server is asked: on hearsay, such as a
        list that lay about for a while, a healthy version would lose its traffic.
        """
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        slices: Iterable[EndpointSlice] = around.slices.find(namespace, name)
        hashes = self._hashes(namespace, slices)
        revision = services.selected_hash(service) or ""
        if not live or services.read(service, slices, hashes, settled=False).ready_of(revision):
            return slices, hashes
        listing = await self._kube.list(
            kinds.ENDPOINT_SLICES, namespace, labels=f"{endpoints.SERVICE_LABEL}={name}"
        )
        slices = [endpoints.read(each) for each in listing.items]
        hashes = self._hashes(namespace, slices)
        for who in {who for each in slices for who in each.serving} - hashes.keys():
            pod = await self._kube.find(kinds.PODS, namespace, who)
            if pod is not None:
                hashes[who] = pods.read(pod).hash
        return slices, hashes

    def _hashes(self, namespace: str, slices: Iterable[EndpointSlice]) -> dict[str, str]:
        found = (self._caches.pods.get(namespace, who) for each in slices for who in each.serving)
        return {pod.name: pod.hash for pod in found if pod is not None}

"""One shop on the cluster: what stands there now, what became of it write by write, and what it breaks."""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import manifests
import yaml
from chronicle import HASH, Entry, World, percent
from manifests import CANARY, STABLE, Manifest

from rollout.api.status import RolloutStatus
from rollout.git.mirror import Mirrors
from rollout.manifests import secrets_in
from rollout.observe.reading import read_status
from rollout.sandbox import clock
from rollout.sandbox import manifests as applying
from rollout.sandbox.apiserver.local import JSON_PATCH, ApiError
from rollout.sandbox.apiserver.resource import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Resource,
)
from rollout.sandbox.apiserver.store import Event, Storage
from rollout.sandbox.controllers.pods import is_ready
from tests.forge.forge_servers import Host, Hub

from .campaign_repository import InlineMirrors, Repository, Started
from .checks import Checks
from .cluster import GIT_SOURCES, NAMESPACE, ROLLOUTS, ROUTES, RUNS, Cluster
from .prometheus import Prometheus

WATCHED = (ROLLOUTS, ROUTES, SERVICES, REPLICA_SETS, ENDPOINT_SLICES, PODS, RUNS, GIT_SOURCES, CONFIG_MAPS)


class Never(AssertionError):  # noqa: N818 -- it reads as what it says
    """Something that was waited for did not come."""


def errors(image: str) -> float:
    """The share of requests that a version fails."""
    return 0.06 if "bad" in image else 0.01


@dataclass(slots=True)
class Scene:
    """The objects of the shop as they stand, by reference to what the API server holds."""

    cluster: Cluster
    prometheus: Prometheus = field(init=False)
    objects: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    """By plural and name."""
    history: list[Entry] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    world: World = field(default_factory=World)
    moment: float = 0.0
    """When people act in stories in which they may act at any time: seconds after the change."""
    repository: Repository | None = None
    """Where its manifests come from, in stories of Git."""
    disk: Path = Path()
    """Of the newest operator."""
    host: Host = field(default_factory=lambda: Hub(anything=True))
    """Of that repository, in stories in which it is told of verdicts."""
    checks: Checks | None = None
    """What writes are held to, from when they are watched."""
    _pulse: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.prometheus = Prometheus(clock.now, errors)

    def open(self) -> None:
        """Take in what stands, and follow it."""
        held = self.cluster.api.store.objects
        kinds = {(each.group, each.plural): each for each in WATCHED}
        for storage, resource in kinds.items():
            for (namespace, _), stored in sorted(held.get(storage, {}).items()):
                if namespace == NAMESPACE:
                    self._take(resource.plural, stored.obj, stored.version, gone=False)
        self.cluster.listen(set(kinds), self._hear)

    def _hear(self, storage: Storage, event: Event) -> None:
        if event.key[0] == NAMESPACE:
            self._take(storage[1], event.after.obj, event.version, gone=event.deleted)
            self._pulse.set()

    def _take(self, kind: str, obj: Manifest, version: int, *, gone: bool) -> None:
        name = obj["metadata"]["name"]
        at = asyncio.get_running_loop().time()
        entry = Entry(version, kind, obj, gone, at, ours=bool(self.cluster.writer))
        self.objects.pop((kind, name), None)
        if not gone:
            self.objects[kind, name] = obj
        words = self.world.becomes(entry)
        if self.checks is not None:
            self.history.append(entry)
            words += self.checks.broken(entry, self.revisions(), self.cluster.writer)
            self.broken += [f"{each} (at {at:.3f} s)" for each in words]
        self._count(kind, name, obj, gone=gone)

    def watch(self, checks: Checks) -> None:
        """From now on every write of ours is held to the invariants."""
        self.checks = checks
        self.world.meddled.clear()  # what stood before was nobody's meddling

    def ours(self) -> list[Entry]:
        """The operators' writes since then."""
        return [each for each in self.history if each.ours]

    def revisions(self) -> dict[str, str]:
        """The image of each revision."""
        return {
            each["metadata"]["labels"].get(HASH, ""): each["spec"]["template"]["spec"]["containers"][0][
                "image"
            ]
            for each in self.replica_sets()
        }

    def _count(self, kind: str, name: str, obj: Manifest, *, gone: bool) -> None:
        """Tell Prometheus what changes for the pods."""
        if kind == PODS.plural:
            if gone:
                self.prometheus.left(name)
            elif is_ready(obj):
                self.prometheus.appeared(name, obj["spec"]["containers"][0]["image"])
        if kind in (PODS.plural, ROUTES.plural, ENDPOINT_SLICES.plural):
            self.prometheus.shared(self._shares())

    def _shares(self) -> dict[str, float]:
        """Which share of all requests each pod gets now."""
        route = self.objects.get((ROUTES.plural, manifests.NAME))
        canary = percent_exact(route) if route else None
        if canary is None:
            return {}
        found: dict[str, float] = {}
        for service, weight in ((STABLE, 1 - canary), (CANARY, canary)):
            pods = self.endpoints(service)
            for pod in pods:
                found[pod] = found.get(pod, 0.0) + weight / len(pods)
        return found

    def endpoints(self, service: str) -> list[str]:
        """The ready pods that a Service reaches."""
        return [
            end["targetRef"]["name"]
            for (kind, _), each in self.objects.items()
            if kind == ENDPOINT_SLICES.plural
            and each["metadata"]["labels"]["kubernetes.io/service-name"] == service
            for end in each.get("endpoints") or ()
            if end["conditions"]["ready"]
        ]

    def mirrors(self, disk: str | Path, started: Started) -> Mirrors | None:
        """What an operator has of the repository, on its disk; `started` hears of each git."""
        if self.repository is None:
            return None
        self.disk = self.repository.home / disk
        return InlineMirrors(self.disk, self.repository, started)

    # What stands

    @property
    def rollout(self) -> Manifest | None:
        """The Rollout, while it is there."""
        return self.objects.get((ROLLOUTS.plural, manifests.NAME))

    @property
    def status(self) -> RolloutStatus:
        """What it says of itself."""
        return read_status((self.rollout or {}).get("status") or {})

    @property
    def told(self) -> Mapping[str, Any]:
        """The same, unread: for conditions that are looked at often."""
        return (self.rollout or {}).get("status") or {}

    @property
    def weight(self) -> int:
        """Percent of the pair that the route gives the canary."""
        return percent(self.objects[ROUTES.plural, manifests.NAME]) or 0

    @property
    def current(self) -> bool:
        """Whether the status speaks of the present spec."""
        found = self.rollout
        return found is not None and self.told.get("observedGeneration") == found["metadata"]["generation"]

    def selects(self, service: str) -> str:
        """The revision that a Service's selector names."""
        return str(self.objects[SERVICES.plural, service]["spec"]["selector"].get(HASH, ""))

    def replica_sets(self) -> Iterator[Manifest]:
        """All of them."""
        return (each for (kind, _), each in self.objects.items() if kind == REPLICA_SETS.plural)

    def images(self) -> dict[str, int]:
        """Pods wanted, by image; versions without pods are left out."""
        found: dict[str, int] = {}
        for each in self.replica_sets():
            if each["spec"].get("replicas", 0):
                image = each["spec"]["template"]["spec"]["containers"][0]["image"]
                found[image] = found.get(image, 0) + each["spec"]["replicas"]
        return found

    def pods(self, service: str = "") -> list[str]:
        """Pods: all, or those of the revision that a Service selects."""
        revision = self.selects(service) if service else ""
        return sorted(
            name
            for (kind, name), each in self.objects.items()
            if kind == PODS.plural and (not service or each["metadata"]["labels"].get(HASH) == revision)
        )

    def weights(self) -> list[int]:
        """The canary's weights since it is watched, one after the other."""
        found = [0]
        for entry in self.history:
            weight = percent(entry.object) if entry.kind == ROUTES.plural and not entry.gone else None
            if weight is not None and found[-1] != weight:
                found.append(weight)
        return found

    def follows_git(self) -> bool:
        """Whether the last commit is applied, and its source is ready."""
        assert self.repository is not None
        told = (self.objects.get((GIT_SOURCES.plural, manifests.NAME)) or {}).get("status") or {}
        ready = [each["status"] for each in told.get("conditions") or () if each["type"] == "Ready"]
        head = self.repository.head
        return ready == ["True"] and bool(head) and str(told.get("lastAppliedRevision")).endswith(head)

    # What people and others do

    async def until(self, what: str, look: Callable[[], Any], seconds: float) -> None:
        """Wait until `look` gives something true; it is asked after each write."""
        try:
            async with asyncio.timeout(seconds):
                while not look():
                    self._pulse.clear()
                    await self._pulse.wait()
        except TimeoutError:
            raise Never(f"{what}: not within {seconds:g} s") from None

    async def apply(self, *objects: Manifest) -> None:
        """Apply as a person would."""
        named = [{**each, "metadata": {**each["metadata"], "namespace": NAMESPACE}} for each in objects]
        await applying.apply(self.cluster.client(), named)

    async def may_read_secrets(self, *secrets: Manifest) -> None:
        """An administrator lets the operator read the namespace's Secrets, of which some are made."""
        await applying.apply(self.cluster.client(), list(yaml.safe_load_all(secrets_in([NAMESPACE]))))
        await self.apply(*secrets)

    async def patch(self, resource: Resource, name: str, body: Any) -> None:
        """A merge patch, or a JSON patch where `body` is a list."""
        form = {"content_type": JSON_PATCH} if isinstance(body, list) else {}
        await self.cluster.client().patch(resource, NAMESPACE, name, body, **form)

    async def annotate(self, key: str, value: str) -> None:
        """What `kubectl annotate` does."""
        annotations = {f"progressive.delivery/{key}": value}
        await self.patch(ROLLOUTS, manifests.NAME, {"metadata": {"annotations": annotations}})

    async def delete(self, resource: Resource, name: str) -> None:
        """Delete, if it is there."""
        try:
            await self.cluster.client().delete(resource, NAMESPACE, name)
        except ApiError as refused:
            if refused.status != 404:
                raise


def percent_exact(route: Manifest) -> float | None:
    """The canary's share of the pair."""
    for rule in route["spec"].get("rules") or ():
        weights = {ref["name"]: int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or ()}
        total = weights.get(STABLE, 0) + weights.get(CANARY, 0)
        if total and not math.isnan(total):
            return weights.get(CANARY, 0) / total
    return None

"""What happened to one shop, write by write, and the safety invariants of it.

Nothing here asks the operator: weights, selectors, endpoints and pods are read from the objects as the API
server held them, in the order of its resourceVersions.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import manifests
from manifests import CANARY, STABLE, Manifest
from stage import ROLLOUTS, ROUTES, RUNS, Shop

from rollout.plan.schedule import DRAIN
from rollout.sandbox.apiserver.resource import ENDPOINT_SLICES, PODS, REPLICA_SETS, SERVICES, Resource

HASH = "rollouts-pod-template-hash"
CLOCK_S = 0.5
"""By how much a time may differ between where it was measured: here and there."""
WATCHED = (ROLLOUTS, ROUTES, SERVICES, REPLICA_SETS, ENDPOINT_SLICES, PODS, RUNS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as it stood after one write; `at` is the monotonic time at which it was seen, `ours` whether
    the operator may have written it.
    """

    version: int
    kind: str
    object: Manifest
    gone: bool = False
    at: float = 0.0
    ours: bool = True


@dataclass(slots=True)
class Chronicle:
    """All writes to a shop's objects."""

    entries: list[Entry] = field(default_factory=list)
    began: int = 0
    """What stood at this version was given: it broke nothing here."""

    @classmethod
    @asynccontextmanager
    async def of(cls, shop: Shop) -> AsyncIterator["Chronicle"]:
        """Follow a shop for as long as the context lasts."""
        _, version = await shop.sandbox.client.list(ROLLOUTS, shop.namespace)
        chronicle = cls(began=int(version))
        stop = asyncio.Event()
        following = shop.sandbox.submit(chronicle._follow_all(shop, stop))
        try:
            yield chronicle
        finally:
            shop.sandbox.submit(_set(stop)).result()
            following.result()

    async def _follow_all(self, shop: Shop, stop: asyncio.Event) -> None:
        tasks = [asyncio.create_task(self._follow(shop, resource)) for resource in WATCHED]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, shop: Shop, resource: Resource) -> None:
        """Watch, and go on where a watch was cut."""
        since = ""
        while True:
            async for event in shop.sandbox.client.watch(resource, shop.namespace, since=since):
                since = event.object["metadata"]["resourceVersion"]
                gone = event.type == "DELETED"
                kind = resource.plural
                self.entries.append(Entry(int(since), kind, event.object, gone, time.monotonic()))

    def broken(self) -> list[str]:
        """Every write that breaks an invariant, in words that name it."""
        world = World()
        return [
            f"{words} (at resourceVersion {entry.version})"
            for entry in sorted(self.entries, key=lambda each: each.version)
            for words in world.becomes(entry)
            if entry.version > self.began
        ]

    def weights(self) -> list[int]:
        """The canary's weights, one after the other."""
        found: list[int] = []
        for entry in sorted(self.entries, key=lambda each: each.version):
            if entry.kind == ROUTES.plural and not entry.gone:
                weight = percent(entry.object)
                if weight is not None and (not found or found[-1] != weight):
                    found.append(weight)
        return found

    def names(self, resource: Resource) -> set[str]:
        """Every object of a kind that was ever there."""
        return {each.object["metadata"]["name"] for each in self.entries if each.kind == resource.plural}


async def _set(event: asyncio.Event) -> None:
    event.set()


def percent(route: Manifest) -> int | None:
    """The canary's share of the pair, rounded up; None where the route does not hold the pair."""
    for rule in route["spec"].get("rules") or ():
        weights = {ref["name"]: int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or ()}
        if {STABLE, CANARY} <= set(weights) and weights[STABLE] + weights[CANARY]:
            return math.ceil(100 * weights[CANARY] / (weights[STABLE] + weights[CANARY]))
    return None


@dataclass(slots=True)
class World:
    """A shop at one resourceVersion."""

    weight: int = 0
    recorded: int = 0
    wanted: int = 0
    stable_rs: str = ""
    deleting: bool = False
    """A Rollout that is being deleted opens its Services, once no pods of another version are left."""
    selectors: dict[str, str] = field(default_factory=dict)
    ready: dict[str, dict[str, int]] = field(default_factory=dict)
    """Ready endpoints by slice and revision; a slice's Service is the first word of its name."""
    pods: dict[str, int] = field(default_factory=dict)
    """Pods that a ReplicaSet shall have, by revision."""
    stale_s: float = 0.0
    """How old a snapshot's endpoints may be when it is acted on."""
    before: list[tuple[float, str, dict[str, int]]] = field(default_factory=list)
    """What Services reached until then."""
    last_traffic: dict[str, float] = field(default_factory=dict)
    meddled: set[str] = field(default_factory=set)
    """Services whose selector somebody else wrote last: it may be restored at any weight."""
    named: dict[str, str] = field(default_factory=dict)
    """The last revision that each Service named."""

    def becomes(self, entry: Entry) -> list[str]:
        """Take one write in; what it breaks: a foreign one breaks nothing that is ours to keep."""
        found = list(self._becomes(entry))
        return found if entry.ours else []

    def _becomes(self, entry: Entry) -> Iterator[str]:
        match entry.kind:
            case ROLLOUTS.plural if entry.object["metadata"]["name"] == manifests.NAME:
                self._recorded(entry.object)
            case ROUTES.plural if not entry.gone:
                yield from self._routed(percent(entry.object), entry.at)
            case SERVICES.plural if not entry.gone:
                yield from self._selected(entry.object, entry.at, ours=entry.ours)
            case ENDPOINT_SLICES.plural:
                self._reached(entry)
            case REPLICA_SETS.plural:
                yield from self._sized(entry)

    def _recorded(self, rollout: Manifest) -> None:
        status = rollout.get("status") or {}
        self.recorded = (status.get("canary") or {}).get("desiredWeight", 0)
        self.wanted = rollout["spec"].get("replicas", self.wanted)
        self.stable_rs = status.get("stableRS", "")
        self.deleting = "deletionTimestamp" in rollout["metadata"]

    def _routed(self, weight: int | None, at: float) -> Iterator[str]:
        if weight is None or weight == self.weight:
            return
        if weight > self.weight:
            if weight > self.recorded:
                yield f"I3: the canary is raised to {weight} %, recorded is {self.recorded} %"
            lately = self.lately(CANARY, at)
            revision = self.selectors.get(CANARY, "")
            if all(set(each) != {revision} for each in lately):
                yield f"I4: the canary is raised to {weight} %, its Service reaches {lately[0]}"
            needed = math.ceil(weight * self.wanted / 100)
            counts = [each.get(revision, 0) for each in lately]
            if all(0 < count < needed for count in counts) and self.reached(STABLE):
                yield f"I4: the canary is raised to {weight} % with {counts[0]} of {needed} pods"
        if weight < self.weight and not any(self.lately(STABLE, at)):
            yield f"I1: stable is raised to {100 - weight} % without an endpoint"
        self._mark(at)
        self.weight = weight
        self._mark(at)

    def _selected(self, service: Manifest, at: float, *, ours: bool) -> Iterator[str]:
        name = service["metadata"]["name"]
        revision = (service["spec"].get("selector") or {}).get(HASH, "")
        before = self.selectors.get(name, "")
        carries = {STABLE: 100 - self.weight, CANARY: self.weight}.get(name, 0)
        others = sum(count for each, count in self.pods.items() if each != before)
        opens = self.deleting and not revision and not others
        if before and before != revision and carries and name not in self.meddled and not opens:
            yield f"I4: {name} turns from {before} to {revision or 'all pods'} while it carries {carries} %"
        if before != revision:
            (self.meddled.discard if ours else self.meddled.add)(name)
        self._mark(at)
        self.selectors[name] = revision
        if revision:
            self.named[name] = revision

    def _reached(self, entry: Entry) -> None:
        meta = entry.object["metadata"]
        counts: dict[str, int] = {}
        for endpoint in entry.object.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") and not entry.gone:
                pod = endpoint["targetRef"]["name"]
                revision = pod.split("-")[1]
                counts[revision] = counts.get(revision, 0) + 1
        service = meta["labels"]["kubernetes.io/service-name"]
        self.before.append((entry.at, service, self.reached(service)))
        self.before = [each for each in self.before if each[0] >= entry.at - self.stale_s]
        self.ready[f"{service} {meta['name']}"] = counts

    def _sized(self, entry: Entry) -> Iterator[str]:
        revision = entry.object["metadata"]["labels"].get(HASH, "")
        count = 0 if entry.gone else entry.object["spec"].get("replicas", 0)
        before = self.pods.get(revision, 0)
        self.pods[revision] = count
        if count >= before or count >= self.wanted:
            return
        share = self._share(revision)
        if count < math.ceil(share * self.wanted / 100):
            yield f"I2: {revision} is sized from {before} to {count} while it carries {share} %"
        if share == 0 and revision in self.last_traffic:
            idle = entry.at - self.last_traffic[revision]
            if idle < DRAIN.total_seconds() - CLOCK_S:
                yield f"I2: {revision} loses pods {idle:.1f} s after its last traffic"
        if revision == self.stable_rs and count < self.wanted:
            yield f"I5: stable is sized from {before} to {count} of {self.wanted}"

    def _mark(self, at: float) -> None:
        for revision in {self._serving(STABLE), self._serving(CANARY)}:
            if self._share(revision):
                self.last_traffic[revision] = at

    def _share(self, revision: str) -> int:
        stable = 100 - self.weight if self._serving(STABLE) == revision else 0
        return stable + (self.weight if self._serving(CANARY) == revision else 0)

    def _serving(self, service: str) -> str:
        """Whom a Service reaches; where somebody else has opened it to all, it reaches that one still."""
        revision = self.selectors.get(service, "")
        return self.named.get(service, "") if not revision and service in self.meddled else revision

    def lately(self, service: str, at: float) -> list[dict[str, int]]:
        """What a Service reaches, and what it reached lately: a turn may have seen any of it."""
        former = [
            reached for until, name, reached in self.before if name == service and until >= at - self.stale_s
        ]
        return [self.reached(service), *former]

    def reached(self, service: str) -> dict[str, int]:
        """Ready endpoints of a Service, by revision."""
        found: dict[str, int] = {}
        for key, counts in self.ready.items():
            if key.split()[0] == service:
                for revision, count in counts.items():
                    found[revision] = found.get(revision, 0) + count
        return found


def entries(*told: tuple[str, Any]) -> Iterable[Entry]:
    """Entries for a test of this module: (kind, object) in their order, a second apart."""
    return [Entry(n, kind, body, at=float(n)) for n, (kind, body) in enumerate(told, 1)]

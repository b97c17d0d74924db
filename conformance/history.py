"""What always holds, read off the writes that the watches of one namespace told of.

Nothing here asks the operator: weights, selectors and endpoints are read from the objects as the API server
held them, in the order of their resourceVersions, which one etcd counts for all kinds.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from conformance import api
from conformance.api import Object
from conformance.manifests import CANARY, HASH, NAME, STABLE, percent
from conformance.mirror import Entry, at

SERVICE = "kubernetes.io/service-name"


def broken(journal: Iterable[Entry], foreign: Sequence[range] = ()) -> list[str]:
    """Every write that breaks an invariant, in words that name it.

    What stands at the versions in `foreign` was written by others than the operator.
    """
    world = World(foreign)
    return [
        f"  {words} (at resourceVersion {entry.version})"
        for entry in sorted(journal, key=lambda each: each.version)
        for words in list(world.becomes(entry))
    ]


@dataclass(slots=True)
class World:
    """A shop at one resourceVersion."""

    foreign: Sequence[range] = ()
    weight: int = 0
    recorded: int = 0
    replicas: int = 0
    stable: str = ""
    leaving: bool = False
    gone: bool = False
    """Nobody is asked to look after it any more."""
    selectors: dict[str, str] = field(default_factory=dict)
    slices: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    """By slice: its Service, and the names of ready pods behind it."""
    owners: dict[str, str] = field(default_factory=dict)
    """By pod: its revision."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Pods that a ReplicaSet shall have, by revision."""

    def becomes(self, entry: Entry) -> Iterator[str]:
        """Take one write in; what it breaks."""
        words = list(self._takes(entry))
        if not any(entry.version in versions for versions in self.foreign):
            yield from words

    def _takes(self, entry: Entry) -> Iterator[str]:
        found, gone = entry.object, entry.gone
        match entry.kind:
            case api.ROLLOUTS.plural if found["metadata"]["name"] == NAME:
                self._rollout(found, gone=gone)
            case api.ROUTES.plural if not gone:
                yield from self._routed(found)
            case api.SERVICES.plural if not gone:
                yield from self._selected(found)
            case api.SLICES.plural:
                self._sliced(found, gone=gone)
            case api.PODS.plural:
                self.owners[found["metadata"]["name"]] = at(found, "metadata", "labels", HASH) or ""
            case api.REPLICA_SETS.plural:
                yield from self._sized(found, gone=gone)

    def _rollout(self, rollout: Object, *, gone: bool) -> None:
        self.recorded = at(rollout, "status", "canary", "desiredWeight") or 0
        self.replicas = at(rollout, "spec", "replicas") or self.replicas
        self.stable = at(rollout, "status", "stableRS") or ""
        self.leaving = bool(rollout["metadata"].get("deletionTimestamp"))
        self.gone = gone or (self.leaving and not rollout["metadata"].get("finalizers"))

    def _routed(self, route: Object) -> Iterator[str]:
        weight = percent(route)
        if weight is None or weight == self.weight:
            return
        if weight > self.weight:
            yield from self._raised(weight)
        elif not self.reached(STABLE) and self.reached(CANARY) and not self.gone:
            yield f"I1: stable is raised to {100 - weight} % without an endpoint"
        self.weight = weight

    def _raised(self, weight: int) -> Iterator[str]:
        if weight > self.recorded:
            yield f"I3: the canary is raised to {weight} %, recorded is {self.recorded} %"
        reached, revision = self.reached(CANARY), self.selectors.get(CANARY, "")
        if set(reached) != {revision}:
            yield f"I4: the canary is raised to {weight} %, its Service reaches {reached}"
        needed = math.ceil(weight * self.replicas / 100)
        if reached.get(revision, 0) < needed and self.reached(STABLE):
            yield f"I4: the canary is raised to {weight} % with {reached.get(revision, 0)} of {needed} pods"

    def _selected(self, service: Object) -> Iterator[str]:
        name = service["metadata"]["name"]
        revision, before = at(service, "spec", "selector", HASH) or "", self.selectors.get(name, "")
        carries = {STABLE: 100 - self.weight, CANARY: self.weight}.get(name, 0)
        if self.leaving and not revision and not self.weight:
            carries = 0  # what selects all pods reaches those that it reached, too
        if before and before != revision and carries and not self.gone:
            yield f"I4: {name} turns from {before} to {revision or 'all pods'} while it carries {carries} %"
        self.selectors[name] = revision

    def _sliced(self, found: Object, *, gone: bool) -> None:
        ready = frozenset(
            at(each, "targetRef", "name") or ""
            for each in found.get("endpoints") or ()
            if at(each, "conditions", "ready") is not False and not gone
        )
        service = at(found, "metadata", "labels", SERVICE) or ""
        self.slices[found["metadata"]["name"]] = (service, ready)

    def _sized(self, found: Object, *, gone: bool) -> Iterator[str]:
        revision = at(found, "metadata", "labels", HASH) or ""
        count = 0 if gone else at(found, "spec", "replicas") or 0
        before, self.sizes[revision] = self.sizes.get(revision, 0), count
        share = self._share(revision)
        if self.gone or count >= before or count >= self.replicas:
            return
        if count < math.ceil(share * self.replicas / 100):
            yield f"I2: {revision} is sized from {before} to {count} while it carries {share} %"
        if revision == self.stable:
            yield f"I5: stable is sized from {before} to {count} of {self.replicas}"

    def _share(self, revision: str) -> int:
        stable = 100 - self.weight if self.selectors.get(STABLE) == revision else 0
        return stable + (self.weight if self.selectors.get(CANARY) == revision else 0)

    def reached(self, service: str) -> dict[str, int]:
        """Ready endpoints of a Service, by revision."""
        found: dict[str, int] = {}
        pods = frozenset[str]().union(*(pods for name, pods in self.slices.values() if name == service))
        for pod in pods:
            revision = self.owners.get(pod, "")
            found[revision] = found.get(revision, 0) + 1
        return found

"""The door to Leases: who leads, as the API server holds it. Nothing is decided here."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rollout.api.base import Manifest
from rollout.api.meta import GROUP
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.reflector import Change, Reflector

LEASES_LABEL = f"{GROUP}/leases"
"""Which Leases belong together: the name that those who take turns share."""
SHARDS = f"{GROUP}/shards"
"""Annotation: over how many shards the holder spreads the work."""
WANTED_BY = f"{GROUP}/wanted-by"
"""Annotation: who asks the holder, which holds more, for this shard."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as it was read. Its times are another machine's: they are compared with themselves alone."""

    name: str
    version: str
    """Its resourceVersion."""
    holder: str
    """Empty where it is free."""
    seconds: float
    """How long others wait for the holder."""
    renewed: str
    """When the holder renewed it, by the holder's clock."""
    transitions: int
    shards: int
    """0 where nothing is said."""
    wanted_by: str

    @property
    def sign(self) -> tuple[str, str, int]:
        """What changes with each sign of life of its holder, and with nothing else."""
        return (self.holder, self.renewed, self.transitions)


def read(manifest: Manifest) -> Lease:
    """A Lease; what is missing or unreadable counts as absent."""
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    notes = metadata.get("annotations") or {}
    shards = str(notes.get(SHARDS, ""))
    return Lease(
        name=metadata["name"],
        version=metadata["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        renewed=spec.get("renewTime") or "",
        transitions=int(spec.get("leaseTransitions") or 0),
        shards=int(shards) if shards.isdecimal() else 0,
        wanted_by=notes.get(WANTED_BY, ""),
    )


class Leases:
    """The Leases of those who take turns under one name, in one namespace.

    Every write is over the Lease as it was read (`Conflict` otherwise), and none is sent twice.
    """

    def __init__(self, kube: Kube, namespace: str, family: str, shards: int, seconds: float) -> None:
        self.namespace = namespace
        self._kube = kube
        self._family = family
        self._shards = shards
        self._seconds = math.ceil(seconds)

    async def get(self, name: str) -> Lease | None:
        """One Lease as it is now."""
        found = await self._kube.find(kinds.LEASES, self.namespace, name)
        return read(found) if found else None

    async def all(self) -> tuple[Lease, ...]:
        """All Leases under our name as they are now, those of another number of shards among them."""
        listing = await self._kube.list(kinds.LEASES, self.namespace, labels=self._labels)
        return tuple(read(item) for item in listing.items)

    def followed(self, on_change: Callable[[Change[Lease]], None]) -> Reflector[Lease]:
        """A cache of the same."""
        return Reflector(
            self._kube,
            kinds.LEASES,
            read,
            namespace=self.namespace,
            labels=self._labels,
            on_change=on_change,
        )

    async def take(self, name: str, before: Lease | None, holder: str) -> Lease:
        """Write `holder` onto a Lease that is free or was given up, or that isn't there.

        Raises:
            Conflict: somebody else wrote first.
            NotFound: the namespace does not exist.
        """
        now = _now()
        transitions = before.transitions + 1 if before else 0
        spec = {**self._held(holder, now), "acquireTime": now, "leaseTransitions": transitions}
        if before is not None:
            return await self._patch(before, spec)
        metadata = {"name": name, "namespace": self.namespace, **self._marks()}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        return read(await self._kube.create(kinds.LEASES, body))

    async def renew(self, held: Lease) -> Lease:
        """A sign of life of its holder, which turns down whoever asks for it.

        Raises:
            Conflict: somebody else wrote: read it again.
        """
        return await self._patch(held, self._held(held.holder, _now()))

    async def release(self, held: Lease) -> Lease:
        """Free it at once, for the one that asked for it or for anybody.

        Raises:
            Conflict: somebody else wrote: read it again.
        """
        return await self._patch(held, self._held("", _now()), held.wanted_by)

    async def ask(self, lease: Lease, who: str) -> Lease:
        """Ask its holder for it.

        Raises:
            Conflict: it was renewed, or somebody else asked first.
        """
        return await self._patch(lease, {}, who)

    @property
    def _labels(self) -> str:
        return f"{LEASES_LABEL}={self._family}"

    def _held(self, holder: str, now: str) -> dict[str, Any]:
        return {"holderIdentity": holder, "leaseDurationSeconds": self._seconds, "renewTime": now}

    def _marks(self) -> dict[str, Any]:
        labels = {LEASES_LABEL: self._family, "app.kubernetes.io/name": "rollout"}
        return {"labels": labels, "annotations": {SHARDS: str(self._shards)}}

    async def _patch(self, lease: Lease, spec: dict[str, Any], wanted_by: str = "") -> Lease:
        marks = self._marks()
        annotations = {**marks["annotations"], WANTED_BY: wanted_by or None}
        metadata = {**marks, "resourceVersion": lease.version, "annotations": annotations}
        body = {"metadata": metadata, "spec": spec}
        return read(await self._kube.merge_patch(kinds.LEASES, self.namespace, lease.name, body))


def _now() -> str:
    """As a MicroTime is written; for people: nobody's clock is compared with another's."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

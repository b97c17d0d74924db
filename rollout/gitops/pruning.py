"""What left Git goes: only what this source applied, only what nobody needs any more."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rollout.api.errors import Stalled
from rollout.api.sourcestatus import InventoryEntry
from rollout.gitops import composing, inventory
from rollout.gitops.trying import Trier
from rollout.kube import kinds
from rollout.kube.errors import Conflict, NotFound, NotServed
from rollout.observe.reading import Reading

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pruned:
    """What came of it; an object in neither is no longer this source's."""

    deleted: list[str] = field(default_factory=list)
    waiting: dict[InventoryEntry, str] = field(default_factory=dict)
    """Why it is still there."""

    def joined(self, other: "Pruned") -> "Pruned":
        """Both."""
        return Pruned([*self.deleted, *other.deleted], self.waiting | other.waiting)

    def notices(self, why: str = "which left Git") -> list[tuple[str, str]]:
        """What there is to tell: Events' reasons and messages."""
        told = []
        if self.deleted:
            told.append(("Pruned", f"deleted {', '.join(self.deleted)}, {why}"))
        if self.waiting:
            words = ", ".join(f"{entry} stays: {reason}" for entry, reason in self.waiting.items())
            told.append(("PruneDeferred", words))
        return told


class Pruner:
    """Deletes objects of a source, as whom `trier` tries them."""

    def __init__(self, trier: Trier) -> None:
        self._trier = trier

    async def prune(self, source: str, gone: Sequence[InventoryEntry], now: datetime) -> Pruned:
        """Delete what is gone; what is still needed waits for a later poll.

        Raises:
            Retry: the API server can't be reached.
        """
        pruned = Pruned()
        namespace, _, _ = source.partition("/")
        needed, rollouts = await self._needed(namespace), await self._trier.rollouts(namespace, now)
        for entry in gone:
            user = _user(entry, rollouts)
            if (entry.kind, entry.name) in needed:
                pruned.waiting[entry] = "pods that run need it"
            elif user:
                pruned.waiting[entry] = f"the Rollout {user!r} uses it"
            else:
                await self._delete(source, entry, pruned)
        return pruned

    async def _needed(self, namespace: str) -> frozenset[tuple[str, str]]:
        """What pods can't start without, of every ReplicaSet that wants some."""
        listing = await self._trier.own.list(kinds.REPLICA_SETS, namespace)
        templates = [each["spec"]["template"] for each in listing.items if each["spec"].get("replicas")]
        return frozenset().union(*(inventory.needs(template) for template in templates))

    async def _delete(self, source: str, entry: InventoryEntry, pruned: Pruned) -> None:
        try:
            resource = await self._trier.discovery.resource(entry.api_version, entry.kind)
            live = await self._trier.kube.find(resource, entry.namespace or None, entry.name)
            if live is None or not inventory.owned(live, source):
                return
            metadata = live["metadata"]
            await self._trier.kube.delete(resource, entry.namespace or None, entry.name, uid=metadata["uid"])
        except (NotServed, NotFound):
            return
        except Conflict:
            pruned.waiting[entry] = "it was replaced while it was deleted"
        except Stalled as refused:
            pruned.waiting[entry] = str(refused)
        else:
            pruned.deleted.append(str(entry))
            log.info("%s: deleted %s", source, entry)


def _user(entry: InventoryEntry, rollouts: dict[str, Reading]) -> str:
    return next((name for name, each in rollouts.items() if composing.uses(each, entry.kind, entry.name)), "")

"""A GitSource that is deleted: with `deletionPolicy: Delete` all that it applied goes before it, else stays.

What is deleted, and what waits, is as for what leaves Git. On any error nothing is let go; where the
namespace goes, all of it goes without us.
"""

from datetime import datetime, timedelta

from rollout.api.base import Manifest
from rollout.api.errors import Retry, Stalled
from rollout.api.gitsource import DeletionPolicy, GitSource, parse_git_source
from rollout.api.meta import APPLIED_FINALIZER
from rollout.api.sourcestatus import GitSourceStatus, InventoryEntry
from rollout.gitops.clusters import Clusters
from rollout.gitops.conditions import Outcome
from rollout.gitops.inventory import NEVER
from rollout.gitops.pruning import Pruned, Pruner
from rollout.gitops.telling import Teller
from rollout.gitops.visit import status_of
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Conflict, Forbidden, NotFound, Unavailable
from rollout.workloads import finalizers

SOON, LATER = timedelta(seconds=2), timedelta(seconds=30)
_RIGHTS = frozenset({"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})
"""What the others may have to be deleted by."""
_WAY_OUT = "nothing is deleted until that is mended; spec.deletionPolicy: Orphan lets it go, and all stays"


class Leaver:
    """Holds GitSources until what they applied is gone."""

    def __init__(self, kube: Kube, clusters: Clusters, teller: Teller) -> None:
        self._kube = kube
        self._clusters = clusters
        self._teller = teller

    async def hold(self, source: GitSource, live: Manifest) -> Manifest:
        """Have a GitSource carry the finalizer if its deletion has to wait; the object as it is then.

        Raises:
            Retry: somebody wrote at the same time, or the API server can't be reached.
        """
        return await self._carry(live, wanted=source.spec.deletion_policy is DeletionPolicy.DELETE)

    async def leave(self, live: Manifest, now: datetime) -> datetime | None:
        """Clear away after a GitSource that is being deleted; returns when to look again.

        Raises:
            Retry: somebody wrote at the same time, or the API server can't be reached.
        """
        if not finalizers.held(live, APPLIED_FINALIZER):
            return None
        status = status_of(live)
        try:
            source = parse_git_source(live)
            stays = source.spec.deletion_policy is DeletionPolicy.ORPHAN or source.spec.suspend
            if stays or await self._namespace_goes(source.metadata.namespace):
                await self._carry(live, wanted=False)
                return None
            pruned = await self._prune(source, status, now)
        except (Stalled, Unavailable) as failed:
            if isinstance(failed, Unavailable) and source.spec.kube_config is None:
                raise  # nor could anybody be told
            reason = failed.reason if isinstance(failed, Stalled) else "ClusterUnavailable"
            refused = Outcome.refused(reason, f"{failed}; {_WAY_OUT}")
            await self._teller.record(live, status, refused, now)
            return now + LATER
        told = "; ".join(message for _, message in pruned.notices("as its GitSource is deleted"))
        if not pruned.waiting:
            await self._teller.tell(live, "Pruned", told or "nothing was left to be deleted", now)
            await self._carry(live, wanted=False)
            return None
        going = Outcome("Deleting", told, inventory=tuple(pruned.waiting))
        await self._teller.record(live, status, going, now)
        return now + SOON

    async def _prune(self, source: GitSource, status: GitSourceStatus, now: datetime) -> Pruned:
        """Rollouts first, since others wait for their pods; rights when there is nothing else."""
        name = f"{source.metadata.namespace}/{source.metadata.name}"
        pruner = Pruner((await self._clusters.applier(source)).trier)
        mine = [each for each in status.inventory if each.kind not in NEVER]
        rights = [each for each in mine if each.kind in _RIGHTS]
        others = sorted((each for each in mine if each.kind not in _RIGHTS), key=_is_no_rollout)
        pruned = await pruner.prune(name, others, now)
        if not pruned.waiting:
            return pruned.joined(await pruner.prune(name, rights, now))
        return pruned.joined(Pruned(waiting=dict.fromkeys(rights, "others are deleted first")))

    async def _namespace_goes(self, namespace: str) -> bool:
        try:
            found = await self._kube.find(kinds.NAMESPACES, None, namespace)
        except Forbidden:
            return False
        return found is not None and bool(found["metadata"].get("deletionTimestamp"))

    async def _carry(self, live: Manifest, *, wanted: bool) -> Manifest:
        operations = finalizers.patch(live, wanted=wanted, finalizer=APPLIED_FINALIZER)
        if not operations:
            return live
        metadata = live["metadata"]
        try:
            return await self._kube.json_patch(
                kinds.GIT_SOURCES, metadata["namespace"], metadata["name"], operations
            )
        except (Conflict, NotFound) as raced:
            raise Retry(str(raced), timedelta(milliseconds=200)) from raced


def _is_no_rollout(entry: InventoryEntry) -> bool:
    return entry.kind != "Rollout"

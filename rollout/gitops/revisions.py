"""A revision is applied as a whole: read, verified, tried, applied, and then what left Git is deleted."""

from dataclasses import replace
from functools import partial

from rollout.api.errors import Stalled
from rollout.api.gitsource import InvalidPolicy, VerifyMode
from rollout.api.sourcestatus import GitSourceStatus, InventoryEntry
from rollout.git.manifests import Parser
from rollout.git.revision import Revision
from rollout.git.signers import Signers
from rollout.gitops import inventory
from rollout.gitops.applying import Applied
from rollout.gitops.clusters import Clusters
from rollout.gitops.conditions import Fact, Outcome
from rollout.gitops.keeping import Keeper
from rollout.gitops.pruning import Pruner
from rollout.gitops.recovering import Recovered, recover
from rollout.gitops.refusals import Refusals
from rollout.gitops.secrets import read_secret
from rollout.gitops.standing import stand
from rollout.gitops.telling import Teller
from rollout.gitops.visit import Visit
from rollout.kube.client import Kube


class Revisions:
    """Applies revisions, and tells `keeper` what stands."""

    def __init__(self, kube: Kube, clusters: Clusters, keeper: Keeper, teller: Teller) -> None:
        self._kube = kube
        self._clusters = clusters
        self._keeper = keeper
        self._teller = teller
        self._parsers: dict[tuple[str, str], Parser] = {}

    def forget(self, name: tuple[str, str]) -> None:
        """A GitSource is gone."""
        self._parsers.pop(name, None)

    async def apply(self, visit: Visit, revision: Revision) -> Outcome:
        """Apply a revision of a GitSource, if nothing speaks against any of it.

        Raises:
            Retry: Git or the API server can't be reached.
        """
        source, status = visit.source, visit.status
        parser = self._parsers.setdefault(visit.name, Parser())
        facts: tuple[Fact, ...] = ()

        async def begin() -> None:
            coming = inventory.joined(status.inventory, inventory.applied(refusals.spared(stands.manifests)))
            await self._teller.begin(visit, revision, coming)

        refusals = Refusals(spares=source.spec.on_invalid is InvalidPolicy.SKIP_OBJECT)
        try:
            notices = await self._rewritten(visit, revision)
            facts = await self._verified(visit, revision)
            applier = await self._clusters.applier(source)
            home, discovery = self._clusters.rules.home, applier.trier.discovery
            stands = await stand(source, visit.mirror, revision, discovery, home, parser, refusals)
            recovery = await recover(
                visit, revision, stands.manifests, applier.trier.kube, partial(self._verified, visit)
            )
            stands = replace(stands, manifests=recovery.manifests)
            applied = await applier.apply(stands.source, stands.manifests, visit.now, refusals, begin)
        except Stalled as stalled:
            if stalled.reason == "VerificationFailed":
                facts = (("SourceVerified", False, stalled.reason, str(stalled)),)
            return Outcome.refused(stalled.reason, str(stalled), revision).stating(*facts)
        notices = (*notices, *recovery.notices)
        if applied.failed or applied.waiting or refusals.problems or recovery.first:
            stands = replace(stands, manifests=refusals.spared(stands.manifests))
            short = _short(revision, applied, refusals, recovery)
            if short.stands:
                self._keeper.applied(visit.name, stands, visit.now, whole=False)
            joined = inventory.joined(status.inventory, inventory.applied(stands.manifests))
            notices = (*notices, *_ignored(applied.ignored))
            return short.with_inventory(joined).telling(*notices).stating(*facts)
        self._keeper.applied(visit.name, stands, visit.now)
        outcome = Outcome.applied(revision, applied.changed).stating(*facts)
        outcome = outcome.telling(*notices, *_ignored(applied.ignored))
        known = status.model_copy(update={"inventory": inventory.after(status.inventory, stands.manifests)})
        return await self.prune(visit, known, outcome, revision)

    async def prune(
        self, visit: Visit, status: GitSourceStatus, outcome: Outcome, revision: Revision
    ) -> Outcome:
        """Delete what left Git, unless it is still needed or too much to go without being asked for.

        Raises:
            Stalled: nobody is there to act as.
            Retry: the API server can't be reached.
        """
        source = visit.source
        kept = tuple(entry for entry in status.inventory if not entry.stale)
        gone = tuple(entry for entry in status.inventory if entry.stale) if source.spec.prune else ()
        approved = (visit.live["metadata"].get("annotations") or {}).get(inventory.APPROVED, "")
        if why := inventory.held(gone, kept, approved, revision):
            return _news(outcome, status, (*kept, *gone), ("PruneHeld", why))
        if not gone:
            return _news(outcome, status, kept)
        applier = await self._clusters.applier(source)
        pruned = await Pruner(applier.trier).prune("/".join(visit.name), gone, visit.now)
        return _news(outcome, status, (*kept, *pruned.waiting), *pruned.notices())

    async def _verified(self, visit: Visit, revision: Revision) -> tuple[Fact, ...]:
        """Check who signed a revision.

        Raises:
            Stalled: it can't be checked, or was not signed by who has to.
        """
        asked = visit.source.spec.verify
        if asked is None:
            return (("SourceVerified", False, "", ""),)
        namespace = visit.source.metadata.namespace
        held = await read_secret(self._kube, namespace, asked.secret_ref.name, "spec.verify.secretRef.name")
        told = visit.status.last_applied_revision
        since = Revision.told(told).sha if told and asked.mode is VerifyMode.RANGE else ""
        await visit.mirror.verify(revision, Signers.from_secret(held), since)
        return (("SourceVerified", True, "Verified", f"{revision.short} is signed by who has to"),)

    async def _rewritten(self, visit: Visit, revision: Revision) -> tuple[tuple[str, str], ...]:
        """What there is to tell of a branch that no longer holds what was applied last.

        Raises:
            Stalled: such a branch is not followed.
        """
        told = visit.status.last_applied_revision
        before = Revision.told(told) if told else None
        if before is None or before.branch != revision.branch or not revision.branch:
            return ()
        if not await visit.mirror.rewritten(before.sha, revision.sha):
            return ()
        message = f"{before.short}, which was applied, is no longer part of the history of {revision.short}"
        if not visit.source.spec.allow_history_rewrite:
            remedy = "push it back, or set spec.allowHistoryRewrite: true"
            raise Stalled("HistoryRewritten", f"{message}: {remedy}")
        return (("HistoryRewritten", message),)


def _short(revision: Revision, applied: Applied, refusals: Refusals, recovery: Recovered) -> Outcome:
    """How a revision was taken that is not applied as a whole."""
    if recovery.first and not applied.failed:
        said = "; ".join([*recovery.first, *applied.waiting, *map(str, refusals.problems)])
        return Outcome.recovering(said, revision)
    if not applied.failed and not applied.waiting:
        return Outcome.with_gaps(revision, str(refusals))
    done = f"applied {', '.join(applied.changed)}; " if applied.changed else ""
    left = done + "; ".join([*(applied.failed or applied.waiting), *map(str, refusals.problems)])
    return Outcome.partly(left, revision) if applied.failed else Outcome.waiting(left, revision)


def _news(
    outcome: Outcome, status: GitSourceStatus, entries: tuple[InventoryEntry, ...], *notices: tuple[str, str]
) -> Outcome:
    """A poll that finds the same objects waiting as the one before says nothing of them."""
    if not outcome.read and entries == status.inventory:
        return outcome
    return outcome.with_inventory(entries, *notices)


def _ignored(objects: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not objects:
        return ()
    what = f"{', '.join(objects)}: an autoscaler decides how many replicas there are, not Git"
    return (("ReplicasIgnored", f"{what}; leave spec.replicas out"),)

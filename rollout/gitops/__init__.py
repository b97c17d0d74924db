"""One turn of one GitSource: poll, parse, try everything, apply, and write back what became of it.

On any error before the first write nothing is applied and the last good state stays. A poll that finds
nothing new writes nothing to the cluster.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Retry, Stalled
from rollout.api.gitsource import GitSource, VerifyMode, parse_git_source
from rollout.api.sourcestatus import GitSourceStatus, InventoryEntry
from rollout.api.writeback import WriteBackMode
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.errors import NoteRefused, WriteBackRefused
from rollout.git.manifests import Parser, apply_order
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.revision import Revision
from rollout.git.signers import Signers
from rollout.gitops import inventory, notes
from rollout.gitops.applying import Applier
from rollout.gitops.clusters import Clusters
from rollout.gitops.conditions import UNFINISHED, Fact, Outcome, after, requested_at
from rollout.gitops.images import Images
from rollout.gitops.keeping import Keeper, Told, standing
from rollout.gitops.notes import WAYS, Due, Notebook
from rollout.gitops.policy import CLUSTER_SCOPED
from rollout.gitops.reverts import revert
from rollout.gitops.secrets import read_secret
from rollout.gitops.statuses import Statuses
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Conflict, NotFound, Unavailable
from rollout.kube.events import event
from rollout.telemetry import Metrics

log = logging.getLogger(__name__)

CALM = frozenset({"Pruned", "ReplicasIgnored", "ImageUpdated", "ImageFound"})
"""Events that nobody has to look at."""
JITTER = 0.1
"""Polls of many sources must not fall on the same second."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One turn of one GitSource."""

    source: GitSource
    live: Manifest
    status: GitSourceStatus
    mirror: Mirror
    now: datetime


class GitOps:
    """Turns of GitSources."""

    def __init__(
        self,
        kube: Kube,
        mirrors: Mirrors,
        clusters: Clusters,
        metrics: Metrics,
        clock: Callable[[], datetime],
        policy: GitPolicy | None = None,
        cluster: str = "",
    ) -> None:
        self._kube = kube
        self._mirrors = mirrors
        self._clusters = clusters
        self.keeper = Keeper(clusters.rules.home)
        self._metrics = metrics
        self._clock = clock
        self._parsers: dict[tuple[str, str], Parser] = {}
        self._pushed: set[tuple[str, str]] = set()
        self._policy = policy or GitPolicy()
        self._statuses = Statuses(kube, self._policy, cluster)
        self._images = Images(kube, self._policy)
        self.notebook = Notebook(self._statuses.reports)

    def pushed(self, namespace: str, name: str) -> None:
        """A webhook says that something was pushed."""
        self._pushed.add((namespace, name))

    def _told(self, source: GitSource) -> bool:
        key = (source.metadata.namespace, source.metadata.name)
        told = key in self._pushed
        self._pushed.discard(key)
        return told

    async def turn(self, namespace: str, name: str) -> datetime | None:
        """Bring the cluster to what Git says; returns when to poll again."""
        live = await self._kube.find(kinds.GIT_SOURCES, namespace, name)
        if live is None:
            self._parsers.pop((namespace, name), None)
            self.keeper.forget((namespace, name))
            return None
        now = self._clock()
        status = _status(live)
        try:
            source = parse_git_source(live)
        except InvalidSpec as invalid:
            await self._record(live, status, Outcome.refused("InvalidSpec", str(invalid)), now)
            return None
        if source.spec.suspend:
            return None
        self.keeper.knows((namespace, name), status.inventory, followed=source.spec.kube_config is None)
        try:
            outcome = await self._pull(source, live, status, now)
        except Unavailable as away:
            if source.spec.kube_config is None:
                raise  # nor could anybody be told
            outcome = Outcome("ClusterUnavailable", f"spec.kubeConfig: {away}")
        outcome = replace(outcome, excluded=self._images.excluded(source))
        self._metrics.git(namespace, name, None if outcome.fetch_failed else now)
        await self._record(live, status, outcome, now)
        if refusal := await self._statuses.send(source, outcome, now):
            await self._tell(live, *refusal, now, warning=True)
        wait = source.spec.interval * random.uniform(1, 1 + JITTER)
        wait = min(wait, outcome.again or (timedelta(seconds=30) if outcome.fetch_failed else wait))
        return min(now + wait, self.keeper.due(source, now), self._images.due(source, now))

    async def look(self, namespace: str, name: str) -> datetime | None:
        """Put back what changed of what was applied, without asking Git; returns when to look again."""
        live = await self._kube.find(kinds.GIT_SOURCES, namespace, name)
        if live is None:
            return None
        now, status = self._clock(), _status(live)
        try:
            source = parse_git_source(live)
        except InvalidSpec:
            return None
        if source.spec.suspend or _is_unfinished(status):
            return None
        told = await self.keeper.look(source, status, self._clusters.applier, now)
        await self._tell_drift(live, told, now)
        return self.keeper.waits_until(source, now)

    async def _pull(
        self, source: GitSource, live: Manifest, status: GitSourceStatus, now: datetime
    ) -> Outcome:
        try:
            mirror = await self._mirror(source)
        except Stalled as stalled:
            return Outcome.failed_fetch(stalled.reason, str(stalled), stalls=True)
        visit = Visit(source, live, status, mirror, now)
        kept = await self._keep(visit)
        try:
            asked = requested_at(live) != status.last_handled_reconcile_at or self._told(source)
            revision = await mirror.poll(source.spec.ref, expected=asked)
        except Stalled as stalled:
            return Outcome.failed_fetch(stalled.reason, str(stalled), stalls=True).stating(*kept)
        except Retry as retry:
            return Outcome.failed_fetch("GitOperationFailed", str(retry), stalls=False).stating(*kept)
        if await self._write_back(source, live, mirror, now):
            revision = await mirror.poll(source.spec.ref)
        scan = await self._images.scan(source, status, mirror, revision, now)
        for reason, message in scan.told:
            await self._tell(live, reason, message, now, warning=reason not in CALM)
        if scan.moved:
            revision = await mirror.poll(source.spec.ref)
        if not _is_applied(source, live, status, revision):
            return (await self._apply(visit, revision)).stating(*kept)
        unchanged = Outcome.unchanged(revision).stating(*kept)
        if any(entry.stale for entry in status.inventory):
            return await self._prune(visit, await self._clusters.applier(source), status, unchanged, revision)
        return unchanged

    async def _keep(self, visit: Visit) -> tuple[Fact, ...]:
        """Look after what was applied last, before Git is asked: it may be away."""
        if _is_unfinished(visit.status):
            return ()
        found = await self.keeper.keep(
            visit.source, visit.status, self._clusters.applier, visit.mirror, visit.now
        )
        await self._tell_drift(visit.live, found.told, visit.now)
        return found.facts

    async def _tell_drift(self, live: Manifest, told: Sequence[Told], now: datetime) -> None:
        for reason, message in told:
            if reason != "DriftUnknown":
                self._metrics.drift(live["metadata"]["namespace"], live["metadata"]["name"])
            await self._tell(live, reason, message, now, warning=True)

    async def _apply(self, visit: Visit, revision: Revision) -> Outcome:
        source, status = visit.source, visit.status
        metadata = source.metadata
        parser = self._parsers.setdefault((metadata.namespace, metadata.name), Parser())
        facts: tuple[Fact, ...] = ()
        try:
            notices = await self._rewritten(visit, revision)
            facts = await self._verified(visit, revision)
            blobs = await visit.mirror.read(revision, source.spec.path)
            parsed = await asyncio.to_thread(parser.parse, blobs, metadata.namespace, CLUSTER_SCOPED)
            applier = await self._clusters.applier(source)
            home = self._clusters.rules.home
            manifests = await applier.allowed(apply_order(parsed), home, at_home=home == metadata.namespace)
            stands = standing(
                source, visit.mirror, revision, {blob.path: blob.oid for blob in blobs}, manifests
            )
            applied = await applier.apply(stands.source, manifests, visit.now)
        except Stalled as stalled:
            if stalled.reason == "VerificationFailed":
                facts = (("SourceVerified", False, stalled.reason, str(stalled)),)
            return Outcome.refused(stalled.reason, str(stalled), revision).stating(*facts)
        if applied.failed or applied.waiting:
            done = f"applied {', '.join(applied.changed)}; " if applied.changed else ""
            left = done + "; ".join(applied.failed or applied.waiting)
            short = Outcome.partly(left, revision) if applied.failed else Outcome.waiting(left, revision)
            joined = inventory.joined(status.inventory, inventory.applied(manifests))
            return short.with_inventory(joined).telling(*notices).stating(*facts)
        self.keeper.applied((metadata.namespace, metadata.name), stands, visit.now)
        outcome = Outcome.applied(revision, applied.changed).stating(*facts)
        outcome = outcome.telling(*notices, *_ignored(applied.ignored))
        known = status.model_copy(update={"inventory": inventory.after(status.inventory, manifests)})
        return await self._prune(visit, applier, known, outcome, revision)

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

    async def _prune(
        self,
        visit: Visit,
        applier: Applier,
        status: GitSourceStatus,
        outcome: Outcome,
        revision: Revision,
    ) -> Outcome:
        """Delete what left Git, unless it is still needed or too much to go without being asked for."""
        source = visit.source
        kept = tuple(entry for entry in status.inventory if not entry.stale)
        gone = tuple(entry for entry in status.inventory if entry.stale) if source.spec.prune else ()
        approved = (visit.live["metadata"].get("annotations") or {}).get(inventory.APPROVED, "")
        if why := inventory.held(gone, kept, approved, revision):
            return _news(outcome, status, (*kept, *gone), ("PruneHeld", why))
        if not gone:
            return _news(outcome, status, kept)
        name = f"{source.metadata.namespace}/{source.metadata.name}"
        pruned = await applier.prune(name, gone, visit.now)
        return _news(outcome, status, (*kept, *pruned.waiting), *pruned.notices)

    async def _write_back(self, source: GitSource, live: Manifest, mirror: Mirror, now: datetime) -> bool:
        """Write what is due; a remote that refuses is named by an Event, once a verdict.

        Returns whether the branch was moved.
        """
        moved = False
        namespace, name = source.metadata.namespace, source.metadata.name
        for mode in WAYS:
            wanted = mode in source.spec.write_back.modes
            for verdict in self.notebook.due(namespace, name, mode):
                try:
                    said = await self._write(mode, verdict, source, mirror) if wanted else ""
                except (NoteRefused, WriteBackRefused) as refused:
                    await self._tell(live, refused.reason, str(refused), now, warning=True)
                except (Retry, Stalled) as failed:
                    log.warning("%s/%s: a verdict waits: %s", namespace, name, failed)
                    return moved
                else:
                    if said:
                        moved = True
                        await self._tell(live, "WriteBackPushed", said, now, warning=False)
                self.notebook.done(mode, verdict)
        return moved

    async def _write(self, mode: WriteBackMode, verdict: Due, source: GitSource, mirror: Mirror) -> str:
        """Write one verdict in one way; what people should be told of it."""
        if mode is WriteBackMode.NOTES:
            await notes.note(verdict, mirror)
            return ""
        return await revert(self._kube, self._policy, source, mirror, verdict, mode)

    async def _mirror(self, source: GitSource) -> Mirror:
        reference, namespace = source.spec.secret_ref, source.metadata.namespace
        if reference is None:
            return self._mirrors.of(source.spec.url, f"{namespace}/")
        data = await read_secret(self._kube, namespace, reference.name, "spec.secretRef.name")
        owner = f"{namespace}/{reference.name}"
        return self._mirrors.of(source.spec.url, owner, Credential.from_secret(data))

    async def _record(self, live: Manifest, status: GitSourceStatus, outcome: Outcome, now: datetime) -> None:
        """Write the status if it changed, and an Event for what is new in it."""
        wanted = after(status, outcome, live, now)
        if wanted == status:
            return
        try:
            await self._kube.replace_status(kinds.GIT_SOURCES, {**live, "status": wanted.manifest()})
        except (Conflict, NotFound) as raced:
            raise Retry(str(raced), timedelta(milliseconds=200)) from raced
        if outcome.tells:
            await self._tell(live, outcome.reason, outcome.message, now, warning=outcome.warning)
        for reason, message in outcome.notices:
            await self._tell(live, reason, message, now, warning=reason not in CALM)

    async def _tell(self, live: Manifest, reason: str, message: str, now: datetime, *, warning: bool) -> None:
        try:
            await self._kube.create(kinds.EVENTS, event(live, reason, message, now, warning=warning))
        except (Retry, Stalled) as lost:
            log.warning("an Event was lost: %s", lost)


def _status(live: Manifest) -> GitSourceStatus:
    try:
        return GitSourceStatus.model_validate(live.get("status") or {})
    except ValueError:
        return GitSourceStatus()


def _news(
    outcome: Outcome, status: GitSourceStatus, entries: tuple[InventoryEntry, ...], *notices: tuple[str, str]
) -> Outcome:
    """A poll that finds the same objects waiting as the one before says nothing of them."""
    if not outcome.read and entries == status.inventory:
        return outcome
    return outcome.with_inventory(entries, *notices)


def _is_unfinished(status: GitSourceStatus) -> bool:
    """Whether the cluster is between two revisions."""
    return any(each.type == "Ready" and each.reason in UNFINISHED for each in status.conditions)


def _ignored(objects: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not objects:
        return ()
    what = f"{', '.join(objects)}: an autoscaler decides how many replicas there are, not Git"
    return (("ReplicasIgnored", f"{what}; leave spec.replicas out"),)


def _is_applied(source: GitSource, live: Manifest, status: GitSourceStatus, revision: Revision) -> bool:
    """Whether a poll has nothing to do; a refusal of this commit since (the source was edited) is no end."""
    return (
        status.last_applied_revision == str(revision)
        and [each.result for each in status.history[:1]] == ["Applied"]
        and status.observed_generation == source.metadata.generation
        and requested_at(live) == status.last_handled_reconcile_at
    )

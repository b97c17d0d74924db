"""One turn of one GitSource: poll, parse, try everything, apply, and write back what became of it.

On any error before the first write nothing is applied and the last good state stays. A poll that finds
nothing new writes nothing to the cluster.
"""

import asyncio
import base64
import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Retry, Stalled
from rollout.api.gitsource import GitSource, GitSourceStatus, InventoryEntry, WriteBackMode, parse_git_source
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.errors import ManifestsRefused, NoteRefused, WriteBackRefused
from rollout.git.manifests import Parser, apply_order
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.revision import Revision
from rollout.gitops import inventory, notes
from rollout.gitops.applying import Applier, Exclusive, Source
from rollout.gitops.conditions import Outcome, after, requested_at
from rollout.gitops.notes import WAYS, Due, Notebook
from rollout.gitops.reverts import revert
from rollout.gitops.statuses import Statuses
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Conflict, Forbidden, NotFound
from rollout.kube.events import event
from rollout.manifests import SECRETS_BINDING
from rollout.telemetry import Metrics

log = logging.getLogger(__name__)

CLUSTER_SCOPED = frozenset(
    {
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("progressive.delivery", "ClusterAnalysisTemplate"),
    }
)
JITTER = 0.1
"""Polls of many sources must not fall on the same second."""


class GitOps:
    """Turns of GitSources."""

    def __init__(
        self,
        kube: Kube,
        mirrors: Mirrors,
        exclusive: Exclusive,
        metrics: Metrics,
        clock: Callable[[], datetime],
        policy: GitPolicy | None = None,
        cluster: str = "",
    ) -> None:
        self._kube = kube
        self._mirrors = mirrors
        self._applier = Applier(kube, exclusive)
        self._metrics = metrics
        self._clock = clock
        self._parsers: dict[tuple[str, str], Parser] = {}
        self._policy = policy or GitPolicy()
        self._statuses = Statuses(kube, self._policy, cluster)
        self.notebook = Notebook(self._statuses.reports)

    async def turn(self, namespace: str, name: str) -> datetime | None:
        """Bring the cluster to what Git says; returns when to poll again."""
        live = await self._kube.find(kinds.GIT_SOURCES, namespace, name)
        if live is None:
            self._parsers.pop((namespace, name), None)
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
        outcome = await self._pull(source, live, status, now)
        self._metrics.git(namespace, name, None if outcome.fetch_failed else now)
        await self._record(live, status, outcome, now)
        if refusal := await self._statuses.send(source, outcome, now):
            await self._tell(live, *refusal, now, warning=True)
        wait = source.spec.interval * random.uniform(1, 1 + JITTER)
        return now + (min(wait, timedelta(seconds=30)) if outcome.fetch_failed else wait)

    async def _pull(
        self, source: GitSource, live: Manifest, status: GitSourceStatus, now: datetime
    ) -> Outcome:
        try:
            mirror = await self._mirror(source)
            revision = await mirror.poll(source.spec.ref)
        except Stalled as stalled:
            return Outcome.failed_fetch(stalled.reason, str(stalled), stalls=True)
        except Retry as retry:
            return Outcome.failed_fetch("GitOperationFailed", str(retry), stalls=False)
        if await self._write_back(source, live, mirror, now):
            revision = await mirror.poll(source.spec.ref)
        if not _is_applied(source, live, status, revision):
            return await self._apply(source, live, status, mirror, revision, now)
        unchanged = Outcome.unchanged(revision)
        if any(entry.stale for entry in status.inventory):
            return await self._prune(source, live, status, unchanged, revision, now)
        return unchanged

    async def _apply(
        self,
        source: GitSource,
        live: Manifest,
        status: GitSourceStatus,
        mirror: Mirror,
        revision: Revision,
        now: datetime,
    ) -> Outcome:
        metadata = source.metadata
        parser = self._parsers.setdefault((metadata.namespace, metadata.name), Parser())
        try:
            blobs = await mirror.read(revision, source.spec.path)
            parsed = await asyncio.to_thread(parser.parse, blobs, metadata.namespace, CLUSTER_SCOPED)
            manifests = apply_order(parsed)
            place = Source(
                metadata.namespace, metadata.name, mirror, revision, {blob.path: blob.oid for blob in blobs}
            )
            applied = await self._applier.apply(place, manifests, now)
        except ManifestsRefused as refused:
            return Outcome.refused(refused.reason, str(refused), revision)
        except Stalled as stalled:
            return Outcome.refused(stalled.reason, str(stalled), revision)
        if applied.failed:
            done = f"applied {', '.join(applied.changed)}; " if applied.changed else ""
            partly = Outcome.partly(done + "; ".join(applied.failed), revision)
            return partly.with_inventory(inventory.joined(status.inventory, inventory.applied(manifests)))
        outcome = Outcome.applied(revision, applied.changed)
        known = status.model_copy(update={"inventory": inventory.after(status.inventory, manifests)})
        return await self._prune(source, live, known, outcome, revision, now)

    async def _prune(
        self,
        source: GitSource,
        live: Manifest,
        status: GitSourceStatus,
        outcome: Outcome,
        revision: Revision,
        now: datetime,
    ) -> Outcome:
        """Delete what left Git, unless it is still needed or too much to go without being asked for."""
        kept = tuple(entry for entry in status.inventory if not entry.stale)
        gone = tuple(entry for entry in status.inventory if entry.stale) if source.spec.prune else ()
        approved = (live["metadata"].get("annotations") or {}).get(inventory.APPROVED, "")
        if why := inventory.held(gone, kept, approved, revision):
            return _news(outcome, status, (*kept, *gone), ("PruneHeld", why))
        if not gone:
            return _news(outcome, status, kept)
        pruned = await self._applier.prune(f"{source.metadata.namespace}/{source.metadata.name}", gone, now)
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
        try:
            secret = await self._kube.get(kinds.SECRETS, namespace, reference.name)
        except NotFound:
            message = f"spec.secretRef.name: the Secret {reference.name!r} does not exist; create it"
            raise Stalled("SecretNotFound", message) from None
        except Forbidden:
            message = (
                f"spec.secretRef.name: the operator may not read Secrets in the namespace {namespace!r}: the "
                f"RoleBinding {SECRETS_BINDING!r} is missing there; an administrator prints it by "
                f"`rollout manifests --secrets-in {namespace}` and applies it"
            )
            raise Stalled("SecretForbidden", message) from None
        data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
        return self._mirrors.of(
            source.spec.url, f"{namespace}/{reference.name}", Credential.from_secret(data)
        )

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
            await self._tell(live, reason, message, now, warning=reason != "Pruned")

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


def _is_applied(source: GitSource, live: Manifest, status: GitSourceStatus, revision: Revision) -> bool:
    return (
        status.last_applied_revision == str(revision)
        and status.observed_generation == source.metadata.generation
        and requested_at(live) == status.last_handled_reconcile_at
    )

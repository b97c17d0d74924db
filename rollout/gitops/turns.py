"""Turns of GitSources: poll, apply what is new, look after what stands, write back what became of it.

On any error before the first write nothing is applied and the last good state stays. A poll that finds
nothing new writes nothing to the cluster.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Retry, Stalled
from rollout.api.gitsource import GitSource, parse_git_source
from rollout.api.sourcestatus import GitSourceStatus
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirror, Mirrors
from rollout.gitops.clusters import Clusters
from rollout.gitops.conditions import Fact, Outcome, is_applied, is_unfinished, requested_at
from rollout.gitops.images import Images
from rollout.gitops.keeping import Keeper, Told
from rollout.gitops.leaving import Leaver
from rollout.gitops.notes import Notebook
from rollout.gitops.revisions import Revisions
from rollout.gitops.secrets import read_secret
from rollout.gitops.statuses import Statuses
from rollout.gitops.telling import Teller
from rollout.gitops.visit import Visit, status_of
from rollout.gitops.writing import Writer
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Unavailable
from rollout.telemetry import Metrics

JITTER = 0.1
"""Polls of many sources must not fall on the same second."""


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
        self._pushed: set[tuple[str, str]] = set()
        policy = policy or GitPolicy()
        self._statuses = Statuses(kube, policy, cluster)
        self._images = Images(kube, policy)
        self.notebook = Notebook(self._statuses.reports)
        self._teller = Teller(kube)
        self._writer = Writer(kube, policy, self.notebook, self._teller)
        self._revisions = Revisions(kube, clusters, self.keeper, self._teller)
        self._leaver = Leaver(kube, clusters, self._teller)

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
        live: Manifest | None = await self._kube.find(kinds.GIT_SOURCES, namespace, name)
        now = self._clock()
        if live is None or live["metadata"].get("deletionTimestamp"):
            self._revisions.forget((namespace, name))
            self.keeper.forget((namespace, name))
            return None if live is None else await self._leaver.leave(live, now)
        status = status_of(live)
        try:
            source = parse_git_source(live)
        except InvalidSpec as invalid:
            await self._teller.record(live, status, Outcome.refused("InvalidSpec", str(invalid)), now)
            return None
        live = await self._leaver.hold(source, live)
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
        await self._teller.record(live, status, outcome, now)
        if refusal := await self._statuses.send(source, outcome, now):
            await self._teller.tell(live, *refusal, now)
        wait = source.spec.interval * random.uniform(1, 1 + JITTER)
        wait = min(wait, outcome.again or (timedelta(seconds=30) if outcome.fetch_failed else wait))
        return min(now + wait, self.keeper.due(source, now), self._images.due(source, now))

    async def look(self, namespace: str, name: str) -> datetime | None:
        """Put back what changed of what was applied, without asking Git; returns when to look again."""
        live = await self._kube.find(kinds.GIT_SOURCES, namespace, name)
        if live is None or live["metadata"].get("deletionTimestamp"):
            return None
        now, status = self._clock(), status_of(live)
        try:
            source = parse_git_source(live)
        except InvalidSpec:
            return None
        if source.spec.suspend or is_unfinished(status):
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
        if await self._writer.write(visit):
            revision = await mirror.poll(source.spec.ref)
        scan = await self._images.scan(source, status, mirror, revision, now)
        for reason, message in scan.told:
            await self._teller.tell(live, reason, message, now)
        if scan.moved:
            revision = await mirror.poll(source.spec.ref)
        if not is_applied(source, live, status, revision):
            return (await self._revisions.apply(visit, revision)).stating(*kept)
        unchanged = Outcome.unchanged(revision).stating(*kept)
        if any(entry.stale for entry in status.inventory):
            return await self._revisions.prune(visit, status, unchanged, revision)
        return unchanged

    async def _keep(self, visit: Visit) -> tuple[Fact, ...]:
        """Look after what was applied last, before Git is asked: it may be away."""
        if is_unfinished(visit.status):
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
            await self._teller.tell(live, reason, message, now)

    async def _mirror(self, source: GitSource) -> Mirror:
        reference, namespace = source.spec.secret_ref, source.metadata.namespace
        patience = source.spec.timeout
        if reference is None:
            return self._mirrors.of(source.spec.url, f"{namespace}/").within(patience)
        data = await read_secret(self._kube, namespace, reference.name, "spec.secretRef.name")
        owner = f"{namespace}/{reference.name}"
        return self._mirrors.of(source.spec.url, owner, Credential.from_secret(data)).within(patience)

"""A revision becomes what the cluster holds: all of it is tried first, then it is applied in order.

What a Rollout writes too is applied inside that Rollout's turn, composed with what is live: one writer.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollout.api.analysis import parse_analysis_template, parse_cluster_analysis_template
from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem, Retry, Stalled
from rollout.api.gitsource import InventoryEntry, parse_git_source
from rollout.api.identity import template_hash
from rollout.api.meta import ARGO_GROUP, GROUP
from rollout.api.rollout import parse_rollout
from rollout.git.errors import FileProblem, ManifestsRefused
from rollout.git.manifests import Manifest as Written
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.gitops import composing, inventory
from rollout.gitops.pruning import Pruned, Pruner
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.discovery import Discovery
from rollout.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotServed
from rollout.observe.reading import Reading, read
from rollout.workloads import replicasets

log = logging.getLogger(__name__)

MANAGER = "rollout-git"
"""The field manager of what Git owns."""
FIRST = frozenset({"CustomResourceDefinition", "Namespace"})
"""Kinds that others of the same revision need before they can be tried."""

Exclusive = Callable[[str, str], AbstractAsyncContextManager[None]]
"""Holds the turn of the Rollout (namespace, name)."""


@dataclass(frozen=True, slots=True)
class Source:
    """The GitSource whose revision it is, and how its files are found."""

    namespace: str
    name: str
    mirror: Mirror
    revision: Revision
    blobs: dict[str, str]
    """Content id by path."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it."""

    changed: tuple[str, ...]
    failed: tuple[str, ...]


class Applier:
    """Tries and applies manifests."""

    def __init__(self, kube: Kube, exclusive: Exclusive) -> None:
        self._kube = kube
        self._discovery = Discovery(kube)
        self._pruner = Pruner(kube, self._discovery)
        self._exclusive = exclusive

    async def apply(self, source: Source, manifests: Sequence[Written], now: datetime) -> Applied:
        """Try everything, then apply what differs, in order; what fails then is listed and ends it.

        Raises:
            ManifestsRefused: something of it would be refused; nothing was applied.
            Retry: the API server can't be reached.
        """
        problems = [problem for manifest in manifests for problem in _invalid(manifest)]
        if problems:
            raise ManifestsRefused(tuple(problems), "InvalidManifest")
        rollouts = await self._rollouts(source.namespace, now)
        early = [manifest for manifest in manifests if manifest.kind in FIRST]
        rest = [manifest for manifest in manifests if manifest.kind not in FIRST]
        changed: list[str] = []
        for stage in (early, rest):
            tried = await self._try_all(source, stage, rollouts)
            failed = await self._apply_all(source, tried, rollouts, changed, now)
            if failed:
                return Applied(tuple(changed), (failed,))
        return Applied(tuple(changed), ())

    async def prune(self, source: str, gone: Sequence[InventoryEntry], now: datetime) -> Pruned:
        """Delete what left Git, but for what is still needed."""
        namespace, _, _ = source.partition("/")
        return await self._pruner.prune(source, namespace, gone, await self._rollouts(namespace, now))

    async def _rollouts(self, namespace: str, now: datetime) -> dict[str, Reading]:
        listing = await self._kube.list(kinds.ROLLOUTS, namespace)
        return {item["metadata"]["name"]: read(item, now) for item in listing.items}

    async def _try_all(
        self, source: Source, manifests: Sequence[Written], rollouts: dict[str, Reading]
    ) -> list[Written]:
        """Those that would change something.

        Raises:
            ManifestsRefused: with every problem of every object.
        """
        problems: list[FileProblem] = []
        differing: list[Written] = []
        for manifest in manifests:
            try:
                if await self._differs(source, manifest, _users(manifest, rollouts)):
                    differing.append(manifest)
            except (InvalidSpec, Invalid) as refused:
                problems += _placed(manifest, refused.problems, str(refused))
            except (NotServed, Forbidden) as refused:
                problems.append(manifest.problem("kind", str(refused)))
        if problems:
            raise ManifestsRefused(tuple(problems), "DryRunFailed")
        return differing

    async def _differs(self, source: Source, manifest: Written, users: dict[str, Reading]) -> bool:
        resource = await self._discovery.resource(manifest.api_version, manifest.kind)
        live = await self._kube.find(resource, manifest.namespace or None, manifest.name)
        body = await self._body(source, manifest, live, users)
        answer = await self._kube.apply(resource, body, manager=MANAGER, dry_run=True)
        if manifest.kind == "Rollout":
            await self._try_template(answer)
        return live is None or not composing.same(live, answer)

    async def _body(
        self, source: Source, manifest: Written, live: Manifest | None, users: dict[str, Reading]
    ) -> dict[str, Any]:
        body = inventory.marked(manifest.body, f"{source.namespace}/{source.name}")
        if manifest.kind == "Rollout":
            return await self._with_source(source, manifest, body, live)
        return composing.compose(body, live, users.values()) if users else body

    async def _with_source(
        self, source: Source, manifest: Written, body: dict[str, Any], live: Manifest | None
    ) -> dict[str, Any]:
        blob = source.blobs[manifest.path]
        known, commit = composing.told_blob(live)
        brought = source.revision
        if known != blob:
            found = await source.mirror.last_commit_touching(source.revision, manifest.path, since=commit)
            brought = found or source.revision
        return composing.with_source(body, live, source.name, brought, manifest.path, blob)

    async def _try_template(self, rollout: Manifest) -> None:
        """A strict dry-run of the ReplicaSet that the Rollout's template would become."""
        revision = template_hash(rollout["spec"]["template"])
        body = replicasets.render(rollout, replicasets.Revision(revision, 1), 0)
        try:
            await self._kube.create(kinds.REPLICA_SETS, body, dry_run=True)
        except AlreadyExists:
            return

    async def _apply_all(
        self,
        source: Source,
        manifests: Sequence[Written],
        rollouts: dict[str, Reading],
        changed: list[str],
        now: datetime,
    ) -> str:
        """Apply in order; the first failure ends it and is returned in words."""
        for manifest in manifests:
            try:
                await self._apply_one(source, manifest, _users(manifest, rollouts), now)
            except Stalled as refused:
                return str(manifest.problem("", str(refused)))
            changed.append(str(manifest))
            if manifest.kind == "CustomResourceDefinition":
                self._discovery.forget(_served_version(manifest))
        return ""

    async def _apply_one(
        self, source: Source, manifest: Written, users: dict[str, Reading], now: Any
    ) -> None:
        resource = await self._discovery.resource(manifest.api_version, manifest.kind)
        async with AsyncExitStack() as turns:
            for name in sorted(users):
                await turns.enter_async_context(self._exclusive(source.namespace, name))
            # In this order: a Rollout of another operator's shard may take its turn between the two reads;
            # what it writes then changes `live`, so that the apply fails.
            live = await self._kube.find(resource, manifest.namespace or None, manifest.name)
            fresh = users and await self._rollouts(source.namespace, now)
            body = await self._body(
                source, manifest, live, {name: fresh[name] for name in users if name in fresh}
            )
            try:
                await self._kube.apply(resource, body, manager=MANAGER)
            except Conflict as raced:
                raise Retry(f"{manifest} changed while it was applied: {raced}") from raced
        log.info("%s/%s: applied %s at %s", source.namespace, source.name, manifest, source.revision.short)


def _users(manifest: Written, rollouts: dict[str, Reading]) -> dict[str, Reading]:
    return {
        name: reading
        for name, reading in rollouts.items()
        if composing.uses(reading, manifest.kind, manifest.name)
    }


def _invalid(manifest: Written) -> tuple[FileProblem, ...]:
    """What our own models refuse of our own kinds."""
    parsers = {
        "Rollout": parse_rollout,
        "AnalysisTemplate": parse_analysis_template,
        "ClusterAnalysisTemplate": parse_cluster_analysis_template,
        "GitSource": parse_git_source,
    }
    if manifest.group not in (GROUP, ARGO_GROUP) or manifest.kind not in parsers:
        return ()
    try:
        parsers[manifest.kind](manifest.body)
    except InvalidSpec as invalid:
        return _placed(manifest, invalid.problems, str(invalid))
    return ()


def _placed(manifest: Written, problems: Sequence[Problem], text: str) -> tuple[FileProblem, ...]:
    """Problems of an object as places in its file."""
    if not problems:
        return (manifest.problem("", text),)
    return tuple(manifest.problem(problem.path, str(problem)) for problem in problems)


def _served_version(definition: Written) -> str:
    spec = definition.body.get("spec") or {}
    versions = spec.get("versions") or [{}]
    return f"{spec.get('group', '')}/{versions[0].get('name', '')}"

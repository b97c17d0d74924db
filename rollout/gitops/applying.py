"""A revision becomes what the cluster holds: all of it is tried first, then it is applied in order.

What a Rollout writes too is applied inside that Rollout's turn, composed with what is live: one writer.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem, Retry, Stalled
from rollout.api.gitsource import Ignore
from rollout.api.identity import template_hash
from rollout.api.sourcestatus import InventoryEntry
from rollout.git.errors import FileProblem, ManifestsRefused
from rollout.git.manifests import Manifest as Written
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.gitops import checking, composing, desired, inventory, ownership, policy, sealed
from rollout.gitops.ownership import MANAGER, Change
from rollout.gitops.pruning import Pruned, Pruner
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.discovery import Discovery
from rollout.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotServed
from rollout.kube.kinds import Resource
from rollout.observe.reading import Reading, read
from rollout.workloads import replicasets

log = logging.getLogger(__name__)

AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
FIRST = frozenset({"CustomResourceDefinition", "Namespace"})
"""Kinds that others of the same revision need before they can be tried."""

Exclusive = Callable[[str, str], AbstractAsyncContextManager[None]]
"""Holds the turn of the Rollout (namespace, name)."""


Users = Callable[[str, str, str], Iterable[tuple[str, str]]]
"""The Rollouts (namespace, name) that are known to use an object (namespace, kind, name)."""


@dataclass(frozen=True, slots=True)
class Source:
    """The GitSource whose revision it is, and how its files are found."""

    namespace: str
    name: str
    mirror: Mirror
    revision: Revision
    blobs: dict[str, str]
    """Content id by path."""
    ignore: tuple[Ignore, ...] = ()
    takes_back: bool = True
    """Whether fields that people added by hand are removed."""

    def __str__(self) -> str:
        """Render as `shop/shop`, as objects say whose they are."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Around:
    """What else lives where a source is applied."""

    rollouts: dict[str, Reading]
    scaled: desired.Scaled


@dataclass(frozen=True, slots=True)
class Difference:
    """An object that is not as Git says."""

    manifest: Written
    live: Manifest | None
    changes: tuple[Change, ...]
    wanted: Manifest = field(default_factory=dict)
    """What applying it would make of it."""

    def __str__(self) -> str:
        """Render for an Event."""
        if self.live is None:
            return f"{self.manifest} was deleted"
        return f"{self.manifest}: {', '.join(str(each) for each in self.changes)}"


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it."""

    changed: tuple[str, ...]
    failed: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    """What was left out until a Secret is made, and why."""
    ignored: tuple[str, ...] = ()
    """Objects whose replicas an autoscaler decides, whatever Git says."""


class Applier:
    """Tries and applies manifests; `kube` acts, `own` looks at what an operator has to know besides."""

    def __init__(
        self,
        kube: Kube,
        own: Kube,
        discovery: Discovery,
        exclusive: Exclusive,
        users: Users = lambda _namespace, _kind, _name: (),
    ) -> None:
        self._users = users
        self._kube = kube
        self._own = own
        self._discovery = discovery
        self._pruner = Pruner(kube, own, self._discovery)
        self._exclusive = exclusive

    async def apply(self, source: Source, manifests: Sequence[Written], now: datetime) -> Applied:
        """Try everything, then apply what differs, in order; what fails then is listed and ends it.

        Raises:
            ManifestsRefused: something of it would be refused; nothing was applied.
            Retry: the API server can't be reached.
        """
        checking.refuse_invalid(manifests)
        around = await self._around(source, manifests, now)
        early = [manifest for manifest in manifests if manifest.kind in FIRST]
        rest = [manifest for manifest in manifests if manifest.kind not in FIRST]
        changed: list[str] = []
        waiting: list[str] = []
        makers = sealed.made_by(manifests)
        ignored = tuple(str(each) for each in manifests if desired.replicas_ignored(each, around.scaled))
        for stage in (early, rest):
            tried = [each.manifest for each in await self._try_all(source, stage, around)]
            failed = await self._apply_all(source, tried, around, makers, changed, waiting, now)
            if failed:
                return Applied(tuple(changed), (failed,), (), ignored)
        return Applied(tuple(changed), (), tuple(waiting), ignored)

    async def allowed(self, manifests: Sequence[Written], home: str, *, at_home: bool) -> tuple[Written, ...]:
        """The manifests of a GitSource as they may be applied: a kind without namespaces has none.

        `home` is the operator's own namespace, and `at_home` whether the GitSource lies there.

        Raises:
            ManifestsRefused: something of it is not a tenant's to apply.
            Retry: the API server can't be reached.
        """
        problems: list[FileProblem] = []
        kept: list[Written] = []
        coming = {
            (spec.get("group"), (spec.get("names") or {}).get("kind")): spec.get("scope") == "Namespaced"
            for each in manifests
            if each.kind == "CustomResourceDefinition" and isinstance(spec := each.body.get("spec"), dict)
        }
        for manifest in manifests:
            namespaced = await self._is_namespaced(manifest, coming)
            problems += policy.problems(manifest, home, at_home=at_home, namespaced=namespaced)
            kept.append(manifest if namespaced else manifest.of_the_cluster())
        if problems:
            raise ManifestsRefused(tuple(problems), "PolicyDenied")
        return tuple(kept)

    async def _is_namespaced(self, manifest: Written, coming: Mapping[tuple[Any, Any], bool]) -> bool:
        """As the API server tells; what it does not serve yet as its definition says."""
        kind = (manifest.group, manifest.kind)
        if kind in policy.CLUSTER_SCOPED:
            return False
        try:
            return (await self._discovery.resource(manifest.api_version, manifest.kind)).namespaced
        except NotServed:
            return coming.get(kind, True)

    async def drift(
        self, source: Source, manifests: Sequence[Written], now: datetime
    ) -> tuple[Difference, ...]:
        """Objects of an applied revision that are no longer as it says.

        Raises:
            ManifestsRefused: the API server would refuse one of them by now.
            Retry: it can't be reached.
        """
        around = await self._around(source, manifests, now)
        return tuple(await self._try_all(source, manifests, around))

    async def would(
        self, source: Source, manifests: Sequence[Written], now: datetime
    ) -> tuple[Difference, ...]:
        """What applying a revision would change; nothing is written.

        Raises:
            ManifestsRefused: something of it would be refused.
            Retry: the API server can't be reached.
        """
        checking.refuse_invalid(manifests)
        return await self.drift(source, manifests, now)

    async def suspected(
        self, source: Source, manifests: Sequence[Written], now: datetime
    ) -> tuple[Difference, ...]:
        """The same for a few objects, at little cost where nothing has drifted.

        Which Rollouts use an object is taken from memory at first. Where that is not all of them the object
        seems to differ, and is looked at again with what the API server says.
        """
        try:
            first = await self._try_all(source, manifests, await self._near(source, manifests, now))
        except ManifestsRefused:
            return await self.drift(source, manifests, now)
        if not first:
            return ()
        return await self.drift(source, tuple(each.manifest for each in first), now)

    async def _near(self, source: Source, manifests: Sequence[Written], now: datetime) -> Around:
        users = {
            name
            for each in manifests
            for namespace, name in self._users(source.namespace, each.kind, each.name)
            if namespace == source.namespace
        }
        rollouts = {}
        for name in sorted(users):
            if (live := await self._own.find(kinds.ROLLOUTS, source.namespace, name)) is not None:
                rollouts[name] = read(live, now)
        return Around(rollouts, await self._scaled(source, manifests))

    async def correct(self, source: Source, difference: Difference, now: datetime) -> None:
        """Make an object what Git says.

        Raises:
            Stalled: it is refused by now.
            Retry: it changed meanwhile, or the API server can't be reached.
        """
        around = await self._around(source, (difference.manifest,), now)
        await self._apply_one(source, difference.manifest, around, now)

    async def prune(self, source: str, gone: Sequence[InventoryEntry], now: datetime) -> Pruned:
        """Delete what left Git, but for what is still needed."""
        namespace, _, _ = source.partition("/")
        return await self._pruner.prune(source, namespace, gone, await self._rollouts(namespace, now))

    async def _around(self, source: Source, manifests: Sequence[Written], now: datetime) -> Around:
        rollouts = await self._rollouts(source.namespace, now)
        return Around(rollouts, await self._scaled(source, manifests))

    async def _scaled(self, source: Source, manifests: Sequence[Written]) -> desired.Scaled:
        if not any(each.kind in desired.SCALED for each in manifests):
            return frozenset()
        there = (await self._own.list(AUTOSCALERS, source.namespace)).items
        coming = [each.body for each in manifests if each.kind == AUTOSCALERS.kind]
        return desired.scaled([*there, *coming])

    async def _rollouts(self, namespace: str, now: datetime) -> dict[str, Reading]:
        listing = await self._own.list(kinds.ROLLOUTS, namespace)
        return {item["metadata"]["name"]: read(item, now) for item in listing.items}

    async def _try_all(
        self, source: Source, manifests: Sequence[Written], around: Around
    ) -> list[Difference]:
        """Those that would change something.

        Raises:
            ManifestsRefused: with every problem of every object.
        """
        problems: list[FileProblem] = []
        differing: list[Difference] = []
        for manifest in manifests:
            try:
                found = await self._difference(source, manifest, around)
                if found is not None:
                    differing.append(found)
            except (InvalidSpec, Invalid) as refused:
                problems += checking.placed(manifest, refused.problems, str(refused))
            except (NotServed, Forbidden) as refused:
                problems.append(manifest.problem("kind", str(refused)))
        if problems:
            raise ManifestsRefused(tuple(problems), "DryRunFailed")
        return differing

    async def _difference(self, source: Source, manifest: Written, around: Around) -> Difference | None:
        resource = await self._discovery.resource(manifest.api_version, manifest.kind)
        live = await self._kube.find(resource, manifest.namespace or None, manifest.name)
        if desired.is_left_alone(manifest, live):
            return None
        await self._refuse_contested(source, live)
        body = await self._body(source, manifest, live, around)
        answer = await self._kube.apply(resource, body, manager=MANAGER, dry_run=True)
        if manifest.kind == "Rollout":
            await self._try_template(answer)
        if live is None:
            return Difference(manifest, None, (), answer)
        changes = ownership.changes(live, answer)
        if source.takes_back:
            changes = ownership.joined(changes, ownership.added(live))
        return Difference(manifest, live, changes, answer) if changes else None

    async def _refuse_contested(self, source: Source, live: Manifest | None) -> None:
        """Two sources that hold one object would undo each other's work for ever.

        Raises:
            InvalidSpec: another GitSource holds it.
        """
        owner = inventory.owner(live) if live is not None else ""
        if owner in ("", str(source)) or live is None:
            return
        namespace, _, name = owner.partition("/")
        try:
            other = await self._own.find(kinds.GIT_SOURCES, namespace, name)
        except (NotServed, Forbidden):
            return
        if other is not None and inventory.holds(other, live):
            message = f"the GitSource {owner} holds it, too: take it out of one of the two"
            raise InvalidSpec((Problem("metadata.name", message),))

    async def _body(
        self, source: Source, manifest: Written, live: Manifest | None, around: Around
    ) -> dict[str, Any]:
        body = inventory.marked(manifest.body, str(source))
        if manifest.kind == "Rollout":
            body = await self._with_source(source, manifest, body, live)
        elif users := _users(manifest, around.rollouts):
            body = composing.compose(body, live, users.values())
        return desired.with_live(body, live, source.ignore, around.scaled)

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
            await self._own.create(kinds.REPLICA_SETS, body, dry_run=True)
        except AlreadyExists:
            return

    async def _apply_all(
        self,
        source: Source,
        manifests: Sequence[Written],
        around: Around,
        makers: Mapping[str, Written],
        changed: list[str],
        waiting: list[str],
        now: datetime,
    ) -> str:
        """Apply in order; the first failure ends it and is returned in words."""
        for manifest in manifests:
            try:
                if unmade := await self._unmade(manifest, makers):
                    waiting.append(f"{manifest} waits for {unmade}")
                    continue
                await self._apply_one(source, manifest, around, now)
            except Stalled as refused:
                return str(manifest.problem("", str(refused)))
            changed.append(str(manifest))
            if manifest.kind == "CustomResourceDefinition":
                self._discovery.forget(_served_version(manifest))
        return ""

    async def _unmade(self, manifest: Written, makers: Mapping[str, Written]) -> str:
        """What makes a Secret that its pods need and has not made it yet; empty where all are made."""
        for maker in sealed.needed(manifest, makers):
            resource = await self._discovery.resource(maker.api_version, maker.kind)
            live = await self._kube.find(resource, maker.namespace or None, maker.name)
            if why := sealed.unready(live):
                return f"{maker}: {why}"
        return ""

    async def _apply_one(self, source: Source, manifest: Written, around: Around, now: datetime) -> None:
        resource = await self._discovery.resource(manifest.api_version, manifest.kind)
        users = sorted(_users(manifest, around.rollouts))
        async with AsyncExitStack() as turns:
            for name in users:
                await turns.enter_async_context(self._exclusive(source.namespace, name))
            # In this order: a Rollout of another operator's shard may take its turn between the two reads;
            # what it writes then changes `live`, so that the apply fails.
            live: Manifest | None = await self._kube.find(resource, manifest.namespace or None, manifest.name)
            if users:
                fresh = await self._rollouts(source.namespace, now)
                around = Around({name: fresh[name] for name in users if name in fresh}, around.scaled)
            try:
                live = await self._taken_back(source, resource, live)
                body = await self._body(source, manifest, live, around)
                await self._kube.apply(resource, body, manager=MANAGER)
            except Conflict as raced:
                raise Retry(f"{manifest} changed while it was applied: {raced}") from raced
        log.info("%s: applied %s at %s", source, manifest, source.revision.short)

    async def _taken_back(self, source: Source, resource: Resource, live: Manifest | None) -> Manifest | None:
        """The object with what people added to it claimed for Git, so that an apply removes it."""
        if live is None or not source.takes_back or not ownership.added(live):
            return live
        metadata = live["metadata"]
        operations = (
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "replace", "path": "/metadata/managedFields", "value": ownership.taken_over(live)},
        )
        namespace, name = metadata.get("namespace"), metadata["name"]
        return await self._kube.json_patch(resource, namespace, name, operations, manager=MANAGER)


def _users(manifest: Written, rollouts: dict[str, Reading]) -> dict[str, Reading]:
    return {
        name: reading
        for name, reading in rollouts.items()
        if composing.uses(reading, manifest.kind, manifest.name)
    }


def _served_version(definition: Written) -> str:
    spec = definition.body.get("spec") or {}
    versions = spec.get("versions") or [{}]
    return f"{spec.get('group', '')}/{versions[0].get('name', '')}"

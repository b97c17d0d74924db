"""A revision becomes what the cluster holds: all of it is tried first, then it is applied in order.

What a Rollout writes too is applied inside that Rollout's turn, composed with what is live: one writer.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from rollout.api.base import Manifest
from rollout.api.errors import Retry, Stalled
from rollout.git.manifests import Manifest as Written
from rollout.gitops import checking, desired, ownership, sealed
from rollout.gitops.ownership import MANAGER
from rollout.gitops.refusals import Refusals
from rollout.gitops.trying import Around, Difference, Source, Trier, users
from rollout.kube.errors import Conflict
from rollout.kube.kinds import Resource

log = logging.getLogger(__name__)

FIRST = frozenset({"CustomResourceDefinition", "Namespace"})
"""Kinds that others of the same revision need before they can be tried."""

Exclusive = Callable[[str, str], AbstractAsyncContextManager[None]]
"""Holds the turn of the Rollout (namespace, name)."""


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
    """Applies what `trier` has tried, as whom it tries."""

    def __init__(self, trier: Trier, exclusive: Exclusive) -> None:
        self.trier = trier
        self._exclusive = exclusive

    async def apply(
        self,
        source: Source,
        manifests: Sequence[Written],
        now: datetime,
        refusals: Refusals,
        begin: Callable[[], Awaitable[None]],
    ) -> Applied:
        """Try everything, then apply what differs, in order; what fails then is listed and ends it.

        What `refusals` spares is applied, the rest left as it is. `begin` is awaited before the first write.

        Raises:
            ManifestsRefused: something of it would be refused; nothing was applied.
            Retry: the API server can't be reached.
        """
        checking.refuse_invalid(manifests, refusals)
        manifests = refusals.spared(manifests)
        around = await self.trier.around(source, manifests, now)
        early = [manifest for manifest in manifests if manifest.kind in FIRST]
        rest = [manifest for manifest in manifests if manifest.kind not in FIRST]
        changed: list[str] = []
        waiting: list[str] = []
        makers = sealed.made_by(manifests)
        ignored = tuple(str(each) for each in manifests if desired.replicas_ignored(each, around.scaled))
        for stage in (early, rest):
            differing = await self.trier.differing(source, stage, around, refusals)
            tried = [each.manifest for each in differing]
            if tried and not changed:
                await begin()
            failed = await self._apply_all(source, tried, around, makers, changed, waiting, now)
            if failed:
                return Applied(tuple(changed), (failed,), (), ignored)
        return Applied(tuple(changed), (), tuple(waiting), ignored)

    async def correct(self, source: Source, difference: Difference, now: datetime) -> None:
        """Make an object what Git says.

        Raises:
            Stalled: it is refused by now.
            Retry: it changed meanwhile, or the API server can't be reached.
        """
        around = await self.trier.around(source, (difference.manifest,), now)
        await self._apply_one(source, difference.manifest, around, now)

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
                self.trier.discovery.forget(_served_version(manifest))
        return ""

    async def _unmade(self, manifest: Written, makers: Mapping[str, Written]) -> str:
        """What makes a Secret that its pods need and has not made it yet; empty where all are made."""
        for maker in sealed.needed(manifest, makers):
            resource = await self.trier.discovery.resource(maker.api_version, maker.kind)
            live = await self.trier.kube.find(resource, maker.namespace or None, maker.name)
            if why := sealed.unready(live):
                return f"{maker}: {why}"
        return ""

    async def _apply_one(self, source: Source, manifest: Written, around: Around, now: datetime) -> None:
        resource = await self.trier.discovery.resource(manifest.api_version, manifest.kind)
        using = sorted(users(manifest, around.rollouts))
        async with AsyncExitStack() as turns:
            for name in using:
                await turns.enter_async_context(self._exclusive(source.namespace, name))
            # In this order: a Rollout of another operator's shard may take its turn between the two reads;
            # what it writes then changes `live`, so that the apply fails.
            live: Manifest | None = await self.trier.kube.find(
                resource, manifest.namespace or None, manifest.name
            )
            if using:
                fresh = await self.trier.rollouts(source.namespace, now)
                around = Around({name: fresh[name] for name in using if name in fresh}, around.scaled)
            try:
                live = await self._taken_back(source, resource, live)
                body = await self.trier.body(source, manifest, live, around)
                await self.trier.kube.apply(resource, body, manager=MANAGER)
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
        return await self.trier.kube.json_patch(resource, namespace, name, operations, manager=MANAGER)


def _served_version(definition: Written) -> str:
    spec = definition.body.get("spec") or {}
    versions = spec.get("versions") or [{}]
    return f"{spec.get('group', '')}/{versions[0].get('name', '')}"

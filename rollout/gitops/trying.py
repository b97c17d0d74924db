"""What applying a revision would do: every object of it is tried by a dry-run, and nothing is written.

What a Rollout writes too is tried composed with what is live.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.gitsource import Ignore
from rollout.api.identity import template_hash
from rollout.git.errors import ManifestsRefused
from rollout.git.manifests import Manifest as Written
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.gitops import checking, composing, desired, inventory, ownership
from rollout.gitops.ownership import MANAGER, Change
from rollout.gitops.refusals import Refusals
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.discovery import Discovery
from rollout.kube.errors import Forbidden, Invalid, NotServed
from rollout.kube.kinds import Resource
from rollout.observe.reading import Reading, read
from rollout.observe.trials import try_template

AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")

Users = Callable[[str, str, str], Iterable[tuple[str, str]]]
"""The Rollouts (namespace, name) that are known to use an object (namespace, kind, name)."""


@dataclass(frozen=True, slots=True)
class Source:
    """The GitSource whose revision it is, and how its history is found."""

    namespace: str
    name: str
    mirror: Mirror
    revision: Revision
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

    @property
    def is_drift(self) -> bool:
        """Whether somebody else made it so.

        What we wrote ourselves may lack what its Rollout has recorded since, as a Service that Git has just
        brought lacks the revision that it shall select.
        """
        live = self.live
        return live is None or not all(ownership.is_as_we_wrote_it(live, each) for each in self.changes)

    def __str__(self) -> str:
        """Render for an Event."""
        if self.live is None:
            return f"{self.manifest} was deleted"
        return f"{self.manifest}: {', '.join(str(each) for each in self.changes)}"


def nobody(_namespace: str, _kind: str, _name: str) -> Iterable[tuple[str, str]]:
    """Where nothing is known of who uses what."""
    return ()


class Trier:
    """Tries manifests; `kube` acts, `own` looks at what an operator has to know besides."""

    def __init__(self, kube: Kube, own: Kube, discovery: Discovery, users: Users = nobody) -> None:
        self.kube = kube
        self.own = own
        self.discovery = discovery
        self._users = users

    async def would(
        self, source: Source, manifests: Sequence[Written], now: datetime
    ) -> tuple[Difference, ...]:
        """What applying a revision would change; nothing is written.

        Raises:
            ManifestsRefused: something of it would be refused.
            Retry: the API server can't be reached.
        """
        checking.refuse_invalid(manifests, Refusals())
        return await self.drift(source, manifests, now)

    async def drift(
        self, source: Source, manifests: Sequence[Written], now: datetime
    ) -> tuple[Difference, ...]:
        """Objects of an applied revision that are no longer as it says.

        Raises:
            ManifestsRefused: the API server would refuse one of them by now.
            Retry: it can't be reached.
        """
        around = await self.around(source, manifests, now)
        return tuple(await self.differing(source, manifests, around))

    async def suspected(
        self, source: Source, manifests: Sequence[Written], now: datetime
    ) -> tuple[Difference, ...]:
        """The same for a few objects, at little cost where nothing has drifted.

        Which Rollouts use an object is taken from memory at first. Where that is not all of them the object
        seems to differ, and is looked at again with what the API server says.
        """
        try:
            first = await self.differing(source, manifests, await self._near(source, manifests, now))
        except ManifestsRefused:
            return await self.drift(source, manifests, now)
        if not first:
            return ()
        return await self.drift(source, tuple(each.manifest for each in first), now)

    async def around(self, source: Source, manifests: Sequence[Written], now: datetime) -> Around:
        """What lives beside these, as the API server says."""
        rollouts = await self.rollouts(source.namespace, now)
        return Around(rollouts, await self._scaled(source, manifests))

    async def rollouts(self, namespace: str, now: datetime) -> dict[str, Reading]:
        """All of a namespace, by name."""
        listing = await self.own.list(kinds.ROLLOUTS, namespace)
        return {item["metadata"]["name"]: read(item, now) for item in listing.items}

    async def differing(
        self,
        source: Source,
        manifests: Sequence[Written],
        around: Around,
        refusals: Refusals | None = None,
    ) -> list[Difference]:
        """Those that would change something.

        Raises:
            ManifestsRefused: with every problem of every object.
        """
        refusals = refusals or Refusals()
        differing: list[Difference] = []
        for manifest in manifests:
            try:
                found = await self._difference(source, manifest, around)
                if found is not None:
                    differing.append(found)
            except (InvalidSpec, Invalid) as refused:
                refusals.note(manifest, checking.placed(manifest, refused.problems, str(refused)))
            except (NotServed, Forbidden) as refused:
                refusals.note(manifest, (manifest.problem("kind", str(refused)),))
        refusals.settle("DryRunFailed")
        return differing

    async def body(
        self, source: Source, manifest: Written, live: Manifest | None, around: Around
    ) -> dict[str, Any]:
        """An object as it is applied over what is live."""
        body = inventory.marked(manifest.body, str(source))
        if manifest.kind == "Rollout":
            body = await self._with_source(source, manifest, body, live)
        elif using := users(manifest, around.rollouts):
            body = composing.compose(body, live, using.values())
        return desired.with_live(body, live, source.ignore, around.scaled)

    async def _near(self, source: Source, manifests: Sequence[Written], now: datetime) -> Around:
        names = {
            name
            for each in manifests
            for namespace, name in self._users(source.namespace, each.kind, each.name)
            if namespace == source.namespace
        }
        rollouts = {}
        for name in sorted(names):
            if (live := await self.own.find(kinds.ROLLOUTS, source.namespace, name)) is not None:
                rollouts[name] = read(live, now)
        return Around(rollouts, await self._scaled(source, manifests))

    async def _scaled(self, source: Source, manifests: Sequence[Written]) -> desired.Scaled:
        if not any(each.kind in desired.SCALED for each in manifests):
            return frozenset()
        there = (await self.own.list(AUTOSCALERS, source.namespace)).items
        coming = [each.body for each in manifests if each.kind == AUTOSCALERS.kind]
        return desired.scaled([*there, *coming])

    async def _difference(self, source: Source, manifest: Written, around: Around) -> Difference | None:
        resource = await self.discovery.resource(manifest.api_version, manifest.kind)
        live = await self.kube.find(resource, manifest.namespace or None, manifest.name)
        if desired.is_left_alone(manifest, live):
            return None
        await self._refuse_contested(source, live)
        body = await self.body(source, manifest, live, around)
        answer = await self.kube.apply(resource, body, manager=MANAGER, dry_run=True)
        if manifest.kind == "Rollout":
            await try_template(self.own, answer, template_hash(answer["spec"]["template"]))
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
            other = await self.own.find(kinds.GIT_SOURCES, namespace, name)
        except (NotServed, Forbidden):
            return
        if other is not None and inventory.holds(other, live):
            message = f"the GitSource {owner} holds it, too: take it out of one of the two"
            raise InvalidSpec((Problem("metadata.name", message),))

    async def _with_source(
        self, source: Source, manifest: Written, body: dict[str, Any], live: Manifest | None
    ) -> dict[str, Any]:
        known, commit = composing.told_blob(live)
        brought = manifest.brought_by or source.revision
        if known != manifest.blob and manifest.brought_by is None:
            found = await source.mirror.last_commit_touching(source.revision, manifest.path, since=commit)
            brought = found or source.revision
        return composing.with_source(body, live, source.name, brought, manifest.path, manifest.blob)


def users(manifest: Written, rollouts: dict[str, Reading]) -> dict[str, Reading]:
    """The Rollouts that write to an object, too."""
    return {
        name: reading
        for name, reading in rollouts.items()
        if composing.uses(reading, manifest.kind, manifest.name)
    }

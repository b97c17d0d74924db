"""Images that are followed: newer tags go to Git, those that failed do not, and a canary is waited for."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rollout.api.base import Manifest
from rollout.api.errors import Retry, Stalled
from rollout.api.gitsource import GitSource
from rollout.api.images import Image, UpdateMode
from rollout.api.sourcestatus import GitSourceStatus
from rollout.api.status import HistoryEntry, Stage, Verdict
from rollout.forge.asking import Proposal
from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.git.tagging import Edit, Tagging
from rollout.gitops.notes import GOOD, REFUSALS
from rollout.gitops.proposals import propose
from rollout.gitops.secrets import read_secret, signing_key
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.observe.reading import read_source, read_status
from rollout.plan.transitions import UNDER_WAY
from rollout.registry.choosing import choose, is_newer
from rollout.registry.door import Login, Registry
from rollout.registry.names import parse_name, split

log = logging.getLogger(__name__)

FAR = timedelta(days=1)
EXCLUDED = 100
"""Tags that are remembered to have failed."""
_MOVING = UNDER_WAY | {Stage.INITIAL, Stage.ROLLING_BACK, Stage.RETURNING}

Told = tuple[str, str]
"""An Event's reason and message."""


@dataclass(slots=True)
class _Known:
    """What is known of one image of one source."""

    due: datetime | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """What came of looking."""

    moved: bool = False
    told: tuple[Told, ...] = ()


@dataclass(slots=True)
class Images:
    """Looks after the images of all sources."""

    kube: Kube
    policy: GitPolicy
    _known: dict[tuple[str, str, str], _Known] = field(default_factory=dict)
    _failed: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _unproposed: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """What was pushed for people and could not be shown to them yet."""

    async def scan(
        self, source: GitSource, status: GitSourceStatus, mirror: Mirror, revision: Revision, now: datetime
    ) -> Scan:
        """Ask the registries that are due, and commit newer tags. Raises nothing: it delays no rollout."""
        due = [each for each in source.spec.images if self._is_due(source, each, now)]
        if not due:
            return Scan()
        told: list[Told] = []
        moved = False
        try:
            rollouts = (await self.kube.list(kinds.ROLLOUTS, source.metadata.namespace)).items
            excluded = failed(status.excluded_tags, rollouts, source.metadata.name)
            self._failed[source.metadata.namespace, source.metadata.name] = excluded
            edits: dict[str, list[Edit]] = {}
            for each in due:
                if edit := await self._edit(source, each, excluded, rollouts, told):
                    edits.setdefault(proposed_on(source, each), []).append(edit)
            for branch, asked in edits.items():
                order = Tagging(revision.branch, tuple(asked), now, source.spec.write_back.author, branch)
                moved |= await self._write(source, mirror, order, told)
        except (Retry, Stalled) as trouble:
            self._tell(source, due[0], "ImageScanFailed", str(trouble), told)
        for each in due:
            self._state(source, each).due = now + each.interval
        return Scan(moved, tuple(told))

    def excluded(self, source: GitSource) -> tuple[str, ...] | None:
        """IMAGE:TAG that failed here, as of the last scan; None before the first."""
        return self._failed.get((source.metadata.namespace, source.metadata.name))

    def due(self, source: GitSource, now: datetime) -> datetime:
        """When a registry is to be asked next; far away where none is."""
        times = [due for each in source.spec.images if (due := self._state(source, each).due) is not None]
        return min(times, default=now + FAR)

    async def _edit(
        self,
        source: GitSource,
        image: Image,
        excluded: Iterable[str],
        rollouts: Iterable[Manifest],
        told: list[Told],
    ) -> Edit | None:
        """What is to be written for an image; None where nothing is, or not now."""
        if image.hold_during_canary and any(_is_moving(each, source, image) for each in rollouts):
            return None
        try:
            tag, digest = await self._newest(source, image, excluded)
        except (Retry, Stalled) as trouble:
            self._tell(source, image, "ImageScanFailed", f"{image.image}: {trouble}", told)
            return None
        if not tag:
            return None
        if image.update.mode is UpdateMode.OFF:
            self._tell(source, image, "ImageFound", f"{image.image}:{tag} is what the policy wants", told)
            return None
        return Edit(
            image.update.path,
            image.update.field,
            f"{image.image}:{tag}",
            lambda present: changed(image, present, tag, digest),
        )

    async def _newest(self, source: GitSource, image: Image, excluded: Iterable[str]) -> tuple[str, str]:
        name, login = parse_name(image.image), Login()
        if image.secret_ref is not None:
            field_ = "spec.images.secretRef.name"
            data = await read_secret(self.kube, source.metadata.namespace, image.secret_ref.name, field_)
            login = Login.from_secret(data, name.host)
        bad = {tag for each in excluded for known, tag in [split(each)] if known == image.image}
        async with Registry(name, login, self.policy) as registry:
            tags = await registry.tags()
            # In a thread: a filter and thousands of tags are a matter of seconds.
            tag = await asyncio.to_thread(choose, image.policy, tags, bad)
            return tag, await registry.digest(tag) if tag and image.pin_digest else ""

    async def _write(self, source: GitSource, mirror: Mirror, order: Tagging, told: list[Told]) -> bool:
        """Commit tags, and have people asked where they decide; whether the branch that is followed moved."""
        written = await mirror.tag(replace(order, signing_key=await signing_key(self.kube, source)))
        for problem in written.problems:
            self._tell(source, source.spec.images[0], "ImageUpdateFailed", problem, told)
        said = f"{written.commit[:12]} sets {', '.join(written.images)} on {order.proposed or order.branch}"
        if not order.proposed:
            told += [("ImageUpdated", said)] if written.commit else []
            return bool(written.commit)
        waiting = (source.metadata.namespace, source.metadata.name, order.proposed)
        if written.commit:
            self._unproposed[waiting] = said
        if waiting in self._unproposed:
            page = await propose(self.kube, self.policy, source, _proposal(source, order))
            told.append(("ImageUpdated", f"{self._unproposed.pop(waiting)}: {page}"))
        return False

    def _tell(self, source: GitSource, image: Image, reason: str, message: str, told: list[Told]) -> None:
        """The same trouble is told once."""
        state = self._state(source, image)
        if state.told != message:
            state.told = message
            told.append((reason, message))

    def _state(self, source: GitSource, image: Image) -> _Known:
        key = (source.metadata.namespace, source.metadata.name, image.image)
        return self._known.setdefault(key, _Known())

    def _is_due(self, source: GitSource, image: Image, now: datetime) -> bool:
        due = self._state(source, image).due
        return due is None or due <= now


def proposed_on(source: GitSource, image: Image) -> str:
    """The branch on which people find an image's tag; '' where nobody is asked."""
    if image.update.mode is not UpdateMode.BRANCH:
        return ""
    metadata = source.metadata
    return image.update.branch or f"rollout/images-{metadata.namespace}-{metadata.name}"


def _proposal(source: GitSource, order: Tagging) -> Proposal:
    name = f"{source.metadata.namespace}/{source.metadata.name}"
    body = f"The newest tags that the GitSource {name} may have; later ones are added until this is merged."
    return Proposal(order.proposed, order.branch, f"Update images of {name}", body)


def changed(image: Image, present: str, tag: str, digest: str = "") -> str | None:
    """The text of a field that takes a tag: the present one where that is no older, None for other images."""
    name, was = split(present)
    if name != image.image:
        return None
    if was and not is_newer(image.policy, tag, was):
        return present
    return f"{name}:{tag}@{digest}" if digest else f"{name}:{tag}"


def failed(known: Iterable[str], rollouts: Iterable[Manifest], source: str) -> tuple[str, ...]:
    """IMAGE:TAG that were refused here, the newest last; one that was promoted since is not among them."""
    found = dict.fromkeys(known)
    entries = [each for rollout in rollouts for each in _of(rollout, source)]
    for entry in sorted(entries, key=lambda each: each.at):
        for image in entry.version.split(", "):
            name, tag = split(image)
            found.pop(f"{name}:{tag}", None)
            if tag and entry.verdict in REFUSALS:
                found[f"{name}:{tag}"] = None
    return tuple(found)[-EXCLUDED:]


def _of(rollout: Mapping[str, object], source: str) -> Iterator[HistoryEntry]:
    status = rollout.get("status")
    for entry in read_status(status if isinstance(status, dict) else {}).history:
        if entry.git_source == source and (entry.verdict in REFUSALS or entry.verdict in GOOD):
            yield entry


def _is_moving(rollout: Manifest, source: GitSource, image: Image) -> bool:
    """Whether a Rollout of the file that is to be changed is under way, or has something to begin with."""
    told = read_source(rollout["metadata"].get("annotations") or {})
    if told is None or (told.git_source, told.path) != (source.metadata.name, image.update.path):
        return False
    status = read_status(rollout.get("status") or {})
    behind = status.observed_generation < int(rollout["metadata"].get("generation", 0))
    return behind or status.stage in _MOVING or status.verdict is Verdict.UNDECIDED

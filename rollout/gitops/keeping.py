"""What Git applied stays as Git says: what somebody changed is found, and changed back or told.

Kinds that the operator follows anyway are looked at when they change, all others once an interval. The
measure is the revision that was applied last, whatever became of a newer one, and Git need not be reachable.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rollout.api.errors import Retry, Stalled
from rollout.api.gitsource import DriftPolicy, GitSource
from rollout.api.sourcestatus import GitSourceStatus, InventoryEntry
from rollout.git.manifests import Manifest as Written
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.gitops.applying import Applier
from rollout.gitops.conditions import Fact, has_gaps
from rollout.gitops.pace import Pace
from rollout.gitops.standing import Standing, stand
from rollout.gitops.trying import Difference

log = logging.getLogger(__name__)

FOLLOWED = frozenset({"Rollout", "Service", "HTTPRoute", "AnalysisTemplate"})
"""Kinds that are looked at as soon as they change."""

Name = tuple[str, str]
"""(namespace, name) of a GitSource."""
Thing = tuple[str, str]
"""(kind, name)."""
Told = tuple[str, str]
"""An Event's reason and message."""


@dataclass(slots=True)
class _Kept:
    """What is known of one GitSource."""

    things: frozenset[Thing] = frozenset()
    suspects: set[Thing] = field(default_factory=set)
    standing: Standing | None = None
    compared_at: datetime | None = None
    told: frozenset[str] = frozenset()
    paces: dict[Thing, Pace] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of looking."""

    told: Sequence[Told] = ()
    facts: tuple[Fact, ...] = ()


class Keeper:
    """Keeps what GitSources applied."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._kept: dict[Name, _Kept] = {}

    def suspect(self, namespace: str, kind: str, name: str) -> list[Name]:
        """An object has changed; the GitSources that have to look at it."""
        found = []
        for source, kept in self._kept.items():
            if source[0] == namespace and (kind, name) in kept.things:
                kept.suspects.add((kind, name))
                found.append(source)
        return found

    def knows(self, source: Name, inventory: Iterable[InventoryEntry], *, followed: bool) -> None:
        """What is a source's; `followed`: whether its cluster is ours to watch."""
        things = frozenset(
            (each.kind, each.name)
            for each in inventory
            if followed and each.kind in FOLLOWED and not each.stale
        )
        self._kept.setdefault(source, _Kept()).things = things

    def applied(self, name: Name, standing: Standing, now: datetime, *, whole: bool = True) -> None:
        """A revision was applied; where not as a whole, what it lacks stays as it was known before."""
        kept = self._kept.setdefault(name, _Kept())
        if not whole and kept.standing is not None:
            standing = standing.beside(kept.standing)
        kept.standing, kept.compared_at = standing, now

    def forget(self, name: Name) -> None:
        """A GitSource is gone."""
        self._kept.pop(name, None)

    def due(self, source: GitSource, now: datetime) -> datetime:
        """When all of it has to be compared again."""
        kept = self._kept.setdefault(_name(source), _Kept())
        return (kept.compared_at or now) + source.spec.drift_interval

    def waits_until(self, source: GitSource, now: datetime) -> datetime | None:
        """When what is suspected may be corrected, where that is not now; None where nothing waits."""
        kept = self._kept.get(_name(source)) or _Kept()
        held = (kept.paces[each].waits_until(now) for each in kept.suspects if each in kept.paces)
        return min((each for each in held if each), default=None)

    async def keep(
        self,
        source: GitSource,
        status: GitSourceStatus,
        applier: Callable[[GitSource], Awaitable[Applier]],
        mirror: Mirror,
        now: datetime,
    ) -> Kept:
        """Look at what is suspected, or at all when that is due; what there is to tell of it.

        Raises:
            Retry: the API server can't be reached, or somebody wrote at the same time.
        """
        kept = self._kept.setdefault(_name(source), _Kept())
        if source.spec.drift_policy is DriftPolicy.OFF:
            kept.suspects.clear()
            return Kept(facts=(_drifted(()),))
        whole = kept.compared_at is None or now - kept.compared_at >= source.spec.drift_interval
        if not (whole or kept.suspects):
            return Kept()
        suspects, kept.suspects = kept.suspects, set()
        try:
            by = await applier(source)
            standing = await self._standing(kept, source, status, by, mirror)
            if standing is None:
                kept.suspects |= suspects
                return Kept()
            asked = standing.manifests if whole else _among(standing.manifests, suspects)
            found = await by.trier.drift(standing.source, asked, now)
        except Retry:
            kept.suspects |= suspects
            raise
        except Stalled as refused:
            kept.compared_at = now
            return Kept(self._told_once(kept, {str(refused)}, "DriftUnknown"))
        if whole:
            kept.compared_at = now
        if source.spec.drift_policy is DriftPolicy.DETECT:
            return self._detected(kept, [each for each in found if each.is_drift], whole=whole)
        kept.told = frozenset()
        told = await self._corrected(kept, standing, by, found, now)
        return Kept(told, (_drifted(()),))

    async def look(
        self,
        source: GitSource,
        status: GitSourceStatus,
        applier: Callable[[GitSource], Awaitable[Applier]],
        now: datetime,
    ) -> list[Told]:
        """Look at what is suspected alone, without Git; what there is to tell of it.

        What can't be told so is left to the next poll: where nothing is corrected, or after a restart.

        Raises:
            Retry: the API server can't be reached, or somebody wrote at the same time.
        """
        kept = self._kept.get(_name(source))
        if kept is None or not kept.suspects or source.spec.drift_policy is not DriftPolicy.CORRECT:
            return []
        standing = kept.standing
        if standing is None or not standing.is_of(source, status):
            return []
        suspects, kept.suspects = kept.suspects, set()
        try:
            by = await applier(source)
            found = await by.trier.suspected(standing.source, _among(standing.manifests, suspects), now)
        except Retry:
            kept.suspects |= suspects
            raise
        except Stalled as refused:
            return self._told_once(kept, {str(refused)}, "DriftUnknown")
        return await self._corrected(kept, standing, by, found, now)

    def _detected(self, kept: _Kept, found: Sequence[Difference], *, whole: bool) -> Kept:
        """What is told of objects that stay as they are; what was seen of some says nothing of the others."""
        if not whole and not found:
            kept.compared_at = None  # it may have been put right
        messages = {str(each) for each in found}
        told = self._told_once(kept, messages if whole else messages | kept.told, "DriftDetected")
        return Kept(told, (_drifted(sorted(kept.told)),))

    async def _corrected(
        self,
        kept: _Kept,
        standing: Standing,
        applier: Applier,
        found: Sequence[Difference],
        now: datetime,
    ) -> list[Told]:
        told: list[Told] = []
        for place, each in enumerate(found):
            thing = _thing(each.manifest)
            pace = kept.paces.setdefault(thing, Pace())
            if pace.waits_until(now):
                kept.suspects.add(thing)
                continue
            try:
                await applier.correct(standing.source, each, now)
            except Retry:
                kept.suspects |= {_thing(other.manifest) for other in found[place:]}
                raise
            except Stalled as refused:
                told += self._told_once(kept, {f"{each}; {refused}"}, "DriftNotCorrected")
                continue
            pace.corrected(now)
            if each.is_drift:
                told.append(("DriftCorrected", f"{each}; put back to {standing.source.revision.short}"))
        return told

    def _told_once(self, kept: _Kept, messages: set[str], reason: str) -> list[Told]:
        news = sorted(messages - kept.told)
        kept.told = frozenset(messages)
        return [(reason, each) for each in news]

    async def _standing(
        self, kept: _Kept, source: GitSource, status: GitSourceStatus, by: Applier, mirror: Mirror
    ) -> Standing | None:
        """The revision that was applied last; read again from the mirror after a restart."""
        generation = source.metadata.generation
        if status.observed_generation != generation or not status.last_applied_revision:
            return None
        held = kept.standing
        if held and held.is_of(source, status):
            return held
        revision = Revision.told(status.last_applied_revision)
        if has_gaps(status, revision):
            return None  # the next poll tells which
        try:
            if not await mirror.holds(revision):
                return None  # the next poll brings it
            kept.standing = await stand(source, mirror, revision, by.trier.discovery, self._home)
        except (Retry, Stalled) as unread:
            log.info("%s: the revision that stands can't be read again: %s", "/".join(_name(source)), unread)
            return None
        return kept.standing


def _drifted(messages: Sequence[str]) -> Fact:
    return ("Drifted", bool(messages), "DriftDetected" if messages else "", "; ".join(messages))


def _among(manifests: Sequence[Written], things: set[Thing]) -> tuple[Written, ...]:
    return tuple(each for each in manifests if _thing(each) in things)


def _thing(manifest: Written) -> Thing:
    return manifest.kind, manifest.name


def _name(source: GitSource) -> Name:
    return source.metadata.namespace, source.metadata.name

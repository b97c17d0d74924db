"""The status is written first, whole or, where it is refused, in the least form that decisions need.

What the server answers is compared with what was sent: a field that is missing there is one that its CRD does
not know, so nothing goes forward until somebody applies the CRDs. After a loss the server is asked by a dry
run: memory that would not be kept whole is not written in parts.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rollout.api import caps
from rollout.api.base import Manifest
from rollout.api.errors import Retry, Stalled
from rollout.api.status import RolloutStatus, Stage
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Invalid

log = logging.getLogger(__name__)

FOR_PEOPLE = frozenset(
    {
        "conditions",
        "evidence",
        "evidenceSince",
        "exception",
        "history",
        "message",
        "observedGeneration",
        "phase",
        "reducedSince",
        "source",
        "step",
        "topWeight",
        "verdictReason",
    }
)
"""What nothing on the way back is decided by; all else is memory."""
BACK = frozenset({Stage.ROLLING_BACK, Stage.REFUSED})
"""Stages that an old CRD does not hold up."""
_NAMED = 5


class Outdated(Stalled):
    """Fields of the status are not kept: the Rollout CRD is older than the operator."""

    def __init__(self, lost: frozenset[str], rollout: Manifest | None) -> None:
        named = ", ".join(f"status.{path}" for path in sorted(lost)[:_NAMED])
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        super().__init__(
            "CRDOutdated",
            f"the Rollout CRD drops {named}{more}: apply `rollout crds`; until then nothing goes forward",
        )
        self.rollout = rollout
        """As the server keeps it, with all memory; None where nothing was written."""


class Recorder:
    """Writes statuses, and remembers whether the server keeps them whole."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._whole = True

    async def record(
        self, rollout: Manifest, status: RolloutStatus, now: datetime, *, fences: bool = True
    ) -> Manifest:
        """Write `status` with the snapshot's resourceVersion; returns the Rollout as the server keeps it.

        `fences`: other writes follow.

        Raises:
            Retry: somebody else wrote first, or the server can't be reached.
            Outdated: the CRD drops fields.
            Stalled: the server refuses even the minimal form.
        """
        status = caps.fitting(status, now)
        if not self._whole:
            await self._ask(rollout, status, fences=fences)
        written, sent = await self._written(rollout, status, now)
        lost = lost_of(sent, written)
        self._whole = not lost
        if not lost:
            return written
        if not _for_people(lost):
            await self._take_back(written, rollout)
            raise Outdated(lost, None)
        raise Outdated(lost, written)

    async def _ask(self, rollout: Manifest, status: RolloutStatus, *, fences: bool) -> None:
        """Write nothing that loses memory or goes forward, and nothing only for what is lost.

        Each write wakes the next turn, and what was lost would be written again.
        """
        sent, live = _sent(status), rollout.get("status") or {}
        try:
            lost = lost_of(sent, await self._put(rollout, sent, dry_run=True))
        except Invalid:
            return  # what is refused whole may be taken in its minimal form
        if not lost:
            return
        new = {*missing(sent, live), *missing(live, sent)} - lost - {"turn"}
        if not (_for_people(lost) and status.stage in BACK and (fences or new)):
            raise Outdated(lost, None)

    async def _take_back(self, written: Manifest, before: Manifest) -> None:
        """A decision that is not remembered whole was not made: it will be made again."""
        try:
            await self._put(written, before.get("status") or {})
        except (Retry, Stalled) as failed:
            log.warning("%s: a part of a status stays: %s", _name(before), failed)

    async def _written(
        self, rollout: Manifest, status: RolloutStatus, now: datetime
    ) -> tuple[Manifest, dict[str, Any]]:
        sent = _sent(status)
        try:
            return await self._put(rollout, sent), sent
        except Invalid as refused:
            least = caps.least(caps.reduced(status, now))
            if status.reduced_since is not None:
                raise
            written = await self._put(rollout, least)
            await self._tell(
                written, f"the server refuses the whole status, its least form is kept: {refused}"
            )
            return written, least

    async def _tell(self, rollout: Manifest, message: str) -> None:
        log.warning("%s: %s", _name(rollout), message)
        try:
            await self._kube.event(rollout, "StatusReduced", message, warning=True)
        except (Retry, Stalled) as lost:
            log.warning("an Event was lost: %s", lost)

    async def _put(self, rollout: Manifest, status: Mapping[str, Any], *, dry_run: bool = False) -> Manifest:
        body = {**rollout, "status": status}
        return await self._kube.replace_status(kinds.ROLLOUTS, body, dry_run=dry_run)


def _sent(status: RolloutStatus) -> dict[str, Any]:
    return status.manifest() if status.reduced_since is None else caps.least(status)


def lost_of(sent: Mapping[str, Any], kept: Manifest) -> frozenset[str]:
    """Paths of a status that the server did not keep."""
    return frozenset(missing(sent, kept.get("status") or {}))


def missing(sent: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Paths of what was sent and is not what was kept; defaults that were added are none."""
    if isinstance(sent, Mapping) and isinstance(kept, Mapping):
        for key, value in sent.items():
            below = f"{path}.{key}" if path else key
            if key in kept:
                yield from missing(value, kept[key], below)
            else:
                yield below
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for index, (one, other) in enumerate(zip(sent, kept, strict=True)):
            yield from missing(one, other, f"{path}[{index}]")
    elif sent != kept:
        yield path


def _for_people(lost: frozenset[str]) -> bool:
    return {path.partition(".")[0].partition("[")[0] for path in lost} <= FOR_PEOPLE


def _name(rollout: Manifest) -> str:
    return f"{rollout['metadata']['namespace']}/{rollout['metadata']['name']}"

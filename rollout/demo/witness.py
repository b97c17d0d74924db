"""Sees what happens, as any user of the cluster could: reads objects and Events, counts what users got."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from rollout.api.base import Manifest
from rollout.api.errors import Retry
from rollout.demo.glimpse import Glimpse, rates
from rollout.demo.story import NAME, NAMESPACE
from rollout.kube.client import Kube
from rollout.kube.kinds import EVENTS, GIT_SOURCES, REPLICA_SETS, ROLLOUTS
from rollout.sandbox.shop.load import LoadReport
from rollout.show.sight import sight

LOOK_EVERY_S = 0.25
_OURS = ("Rollout", "GitSource")


class Witness:
    """Looks four times a second; `now` is the last look."""

    def __init__(
        self,
        kube: Kube,
        load: Callable[[], LoadReport],
        say: Callable[[str, str], None],
        show: Callable[[Glimpse], None],
    ) -> None:
        self._kube = kube
        self._load = load
        self._say = say
        self._show = show
        self._heard: dict[str, int] = {}
        self._reports = (LoadReport(), LoadReport())
        self._looked = asyncio.Condition()
        self.now = Glimpse(datetime.now(UTC), None, "", "", LoadReport(), {})
        self.generation = 0

    async def watch(self) -> None:
        """Look until cancelled; a look that the server refuses for now is left out."""
        while True:
            try:
                await self.look()
            except Retry as refused:
                self._say(f"(can't look: {refused})", "dim")
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """One look."""
        rollout = await self._kube.find(ROLLOUTS, NAMESPACE, NAME)
        sets = (await self._kube.list(REPLICA_SETS, NAMESPACE)).items
        source = await self._kube.find(GIT_SOURCES, NAMESPACE, NAME)
        events = (await self._kube.list(EVENTS, NAMESPACE)).items
        self._hear(events)
        report = self._load()
        if report.at != self._reports[1].at:
            self._reports = (self._reports[1], report)
        complaint, handled = told_by(source or {})
        self.generation = (rollout or {}).get("metadata", {}).get("generation", 0)
        self.now = Glimpse(
            at=datetime.now(UTC),
            rollout=sight(rollout, sets) if rollout else None,
            complaint=complaint,
            handled=handled,
            load=report,
            rates=rates(*self._reports),
        )
        self._show(self.now)
        async with self._looked:
            self._looked.notify_all()

    async def until(self, holds: Callable[[Glimpse], bool]) -> Glimpse:
        """The first look from now on for which `holds` is true."""
        while True:
            async with self._looked:
                await self._looked.wait()
            if holds(self.now):
                return self.now

    def _hear(self, events: Iterable[Manifest]) -> None:
        """Tell each Event of ours once, and again when it is counted up."""
        for event in sorted(events, key=_written):
            uid, times = event["metadata"]["uid"], event.get("count") or 1
            if event.get("involvedObject", {}).get("kind") in _OURS and self._heard.get(uid, 0) < times:
                self._heard[uid] = times
                style = "yellow" if event.get("type") == "Warning" else ""
                self._say(f"{event.get('reason')}: {event.get('message')}", style)


def told_by(source: Manifest) -> tuple[str, str]:
    """(complaint, commit tried last) of a GitSource."""
    status: dict[str, Any] = source.get("status") or {}
    ready = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), None)
    complaint = ready.get("message", "") if ready and ready["status"] == "False" else ""
    return complaint, status.get("lastAttemptedRevision", "").rpartition("@")[2].removeprefix("sha1:")


def _written(event: Manifest) -> int:
    """The order in which the server took them: their times have whole seconds only."""
    return int(event["metadata"]["resourceVersion"])

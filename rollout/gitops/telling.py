"""What people are told of a GitSource: its status, and an Event for what is new."""

import logging
from datetime import datetime, timedelta

from rollout.api.base import Manifest
from rollout.api.errors import Retry, Stalled
from rollout.api.sourcestatus import GitSourceStatus, InventoryEntry
from rollout.git.revision import Revision
from rollout.gitops.conditions import Outcome, after, begun, is_unfinished
from rollout.gitops.visit import Visit
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Conflict, NotFound
from rollout.kube.events import event

log = logging.getLogger(__name__)

CALM = frozenset(
    {"Applied", "Deleting", "Pruned", "ReplicasIgnored", "ImageUpdated", "ImageFound", "WriteBackPushed"}
)
"""Events that nobody has to look at."""


class Teller:
    """Writes statuses and Events."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def record(self, live: Manifest, status: GitSourceStatus, outcome: Outcome, now: datetime) -> None:
        """Write the status if it changed, and an Event for what is new in it.

        Raises:
            Retry: somebody wrote at the same time, or the API server can't be reached.
        """
        wanted = after(status, outcome, live, now)
        if wanted == status:
            return
        await self._write(live, wanted)
        if outcome.tells:
            await self.tell(live, outcome.reason, outcome.message, now)
        for reason, message in outcome.notices:
            await self.tell(live, reason, message, now)

    async def begin(self, visit: Visit, revision: Revision, entries: tuple[InventoryEntry, ...]) -> None:
        """Say, before the first write of a revision, that it is being applied, and what will be the source's.

        Raises:
            Retry: somebody wrote at the same time, or the API server can't be reached.
        """
        if not is_unfinished(visit.status):
            await self._write(visit.live, begun(visit.status, revision, entries, visit.now))

    async def _write(self, live: Manifest, status: GitSourceStatus) -> None:
        try:
            written = await self._kube.replace_status(
                kinds.GIT_SOURCES, {**live, "status": status.manifest()}
            )
        except (Conflict, NotFound) as raced:
            raise Retry(str(raced), timedelta(milliseconds=200)) from raced
        live["metadata"]["resourceVersion"] = written["metadata"]["resourceVersion"]

    async def tell(self, live: Manifest, reason: str, message: str, now: datetime) -> None:
        """Write an Event; one that can't be written is lost."""
        try:
            warning = reason not in CALM
            await self._kube.create(kinds.EVENTS, event(live, reason, message, now, warning=warning))
        except (Retry, Stalled) as lost:
            log.warning("an Event was lost: %s", lost)

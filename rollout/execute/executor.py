"""One plan carried out: checkpoint, status, then the rest."""

import logging
from datetime import datetime

from rollout.api.analysisrun import parse_analysis_run
from rollout.execute.running import rendered
from rollout.execute.turn import Turn
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Conflict, NotFound
from rollout.measure import Measured, Measurer
from rollout.observe import Seen
from rollout.plan.actions import Action, EnsureRun, RecordStatus, WakeAt
from rollout.telemetry import Metrics

log = logging.getLogger(__name__)


class Executor:
    """Carries out what was planned for one snapshot."""

    def __init__(self, kube: Kube, measurer: Measurer, metrics: Metrics) -> None:
        self._kube = kube
        self._measurer = measurer
        self._metrics = metrics

    async def execute(
        self, seen: Seen, measured: Measured, actions: list[Action], now: datetime
    ) -> datetime | None:
        """Do `actions`; returns when to look again.

        Raises:
            Retry: somebody else wrote first, or the server can't be reached.
            Stalled: the server refuses something.
        """
        await self._save(measured, actions, now)
        turn = Turn(self._kube, self._measurer, self._metrics, seen, now)
        for action in actions:
            await turn.do(action)
        times = [action.when for action in actions if isinstance(action, WakeAt)]
        if measured.look_at is not None:
            times.append(measured.look_at)
        return min(times, default=None)

    async def renew(self, seen: Seen) -> bool:
        """Begin an AnalysisRun anew whose templates were mended, if it has counted nothing yet.

        A run that has counted keeps asking what it began with: a changed question would forget its evidence.
        """
        asked = self._measurer.uncounted(seen.observed)
        if asked is None or seen.observed.problems:
            return False
        spec, uid, name = asked.spec, asked.metadata.uid, asked.metadata.name
        wanted = EnsureRun(name, spec.role, spec.attempt, spec.canary)
        if parse_analysis_run(rendered(seen, wanted)).spec == spec:
            return False
        await self._kube.delete(kinds.ANALYSIS_RUNS, seen.observed.namespace, name, uid=uid)
        self._measurer.forget(uid)
        log.info("%s/%s: AnalysisRun %s begins anew", seen.observed.namespace, seen.observed.name, name)
        return True

    async def _save(self, measured: Measured, actions: list[Action], now: datetime) -> None:
        """Write the checkpoint before anything that may rest on it."""
        unsaved = measured.unsaved
        decides = any(isinstance(action, RecordStatus) for action in actions)
        if unsaved is None or not (unsaved.due or decides):
            return
        try:
            written = await self._kube.replace_status(kinds.ANALYSIS_RUNS, unsaved.run)
        except (Conflict, NotFound):
            # Somebody else wrote it: what we folded beyond it is not ours to keep.
            self._measurer.forget(unsaved.run["metadata"]["uid"])
            raise
        self._measurer.saved(written, now)

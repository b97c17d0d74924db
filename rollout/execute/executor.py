"""One plan carried out: checkpoint, status, then the rest."""

import logging
from datetime import datetime, timedelta

from rollout.api.analysisrun import parse_analysis_run
from rollout.api.errors import Retry, Stalled
from rollout.execute.recording import BACK, Outdated, Recorder
from rollout.execute.retreat import goes_back, retreat
from rollout.execute.running import rendered
from rollout.execute.saving import save
from rollout.execute.turn import Turn
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Conflict, NotFound
from rollout.measure import Measured, Measurer
from rollout.observe.snapshot import Seen
from rollout.plan.actions import Action, Announce, EnsureRun, RecordStatus, WakeAt
from rollout.telemetry import Metrics

log = logging.getLogger(__name__)

_SOON = timedelta(milliseconds=100)


class Executor:
    """Carries out what was planned for one snapshot."""

    def __init__(self, kube: Kube, measurer: Measurer, metrics: Metrics) -> None:
        self._kube = kube
        self._measurer = measurer
        self._metrics = metrics
        self._recorder = Recorder(kube)
        self._told: dict[str, str] = {}

    async def execute(
        self, seen: Seen, measured: Measured, actions: list[Action], now: datetime
    ) -> datetime | None:
        """Do `actions`; returns when to look again.

        Raises:
            Retry: somebody else wrote first, or the server can't be reached.
            Stalled: the server refuses something.
        """
        await self._save(measured, actions, now)
        fences = any(not isinstance(action, RecordStatus | Announce | WakeAt) for action in actions)
        turn = Turn(self._kube, self._recorder, self._measurer, self._metrics, seen, now, fences=fences)
        for index, action in enumerate(actions):
            done, rest = actions[:index], actions[index + 1 :]
            try:
                await turn.do(action)
            except (Retry, Stalled) as refusal:
                if not isinstance(action, RecordStatus):
                    await _tell(turn, rest, done)
                    raise
                if isinstance(refusal, Retry):
                    raise
                await self._retreat(turn, seen, action, rest, refusal)
                if not goes_back(action.status, refusal):
                    raise
                break
            if isinstance(action, RecordStatus):
                self._told.pop(seen.observed.uid, None)
        times = [action.when for action in actions if isinstance(action, WakeAt)]
        if measured.look_at is not None:
            times.append(measured.look_at)
        return min(times, default=None)

    async def _retreat(
        self, turn: Turn, seen: Seen, record: RecordStatus, rest: list[Action], refusal: Stalled
    ) -> None:
        """The way back needs no record: a canary that fails must not keep its traffic for want of one."""
        for action in retreat(seen.observed, record.status, rest, refusal):
            await turn.do(action)
        outdated = isinstance(refusal, Outdated)
        reason = refusal.reason if outdated else "StatusRefused"
        news = str(refusal) if outdated else reason  # the words of a server may change with each try
        if self._told.get(seen.observed.uid) != news:
            self._told[seen.observed.uid] = news
            await turn.do(Announce(reason, str(refusal), warning=True))

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
        records = [action.status for action in actions if isinstance(action, RecordStatus)]
        if unsaved is None or not (unsaved.due or records):
            return
        body = unsaved.run
        uid = body["metadata"]["uid"]
        try:
            written = await save(self._kube, body)
        except (Conflict, NotFound):
            # Somebody else wrote it: what we folded beyond it is not ours to keep.
            self._measurer.forget(uid)
            raise
        except Stalled as refusal:
            # What can't be saved is no evidence; a way back is recorded in the Rollout itself.
            self._measurer.refuse(uid, f"the evidence can't be saved: {refusal}", now)
            if not any(status.stage in BACK for status in records):
                raise Retry(str(refusal), _SOON) from refusal
        else:
            self._measurer.saved(written, now)


async def _tell(turn: Turn, rest: list[Action], done: list[Action]) -> None:
    """Of a turn that stops half way, what is recorded and what was done: no later one will tell of it."""
    for action in rest:
        if isinstance(action, Announce) and (action.of is None or action.of in done):
            await turn.do(action)

"""One turn of one Rollout: observe, measure, plan, execute. Only `plan` decides."""

import logging
from dataclasses import replace
from datetime import datetime

from rollout.api.status import RolloutStatus
from rollout.execute import Executor
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.measure import NOTHING, Measured, Measurer
from rollout.measure.foresight import Foresight
from rollout.observe.observer import Observer
from rollout.observe.snapshot import Seen
from rollout.plan.actions import Action, RecordStatus, WakeAt
from rollout.plan.planner import plan

log = logging.getLogger(__name__)


class Reconciler:
    """Takes turns; the time of a turn is that of its snapshot."""

    def __init__(
        self,
        kube: Kube,
        observer: Observer,
        measurer: Measurer,
        executor: Executor,
        foresight: Foresight | None = None,
    ) -> None:
        self._kube = kube
        self._foresight = foresight
        self._observer = observer
        self._measurer = measurer
        self._executor = executor

    async def turn(self, namespace: str, name: str) -> datetime | None:
        """Bring one Rollout a step further; returns when to look again."""
        seen = await self._observer.observe(namespace, name)
        if seen is None:
            return None
        measured = await self._measure(seen)
        if measured.evidence.problems and await self._executor.renew(seen):
            return seen.at
        actions = plan(seen.observed, measured.evidence, seen.at)
        if not seen.live and not _only_tells(actions, seen.observed.status):
            # What is written rests on what is there now, not on what a cache last heard.
            look, seen = seen, await self._observer.observe(namespace, name, live=True)
            if seen is None or seen.observed.resource_version != look.observed.resource_version:
                return look.at
            actions = plan(seen.observed, measured.evidence, seen.at)
        log.debug("%s/%s: %s", namespace, name, actions)
        return await self._executor.execute(seen, measured, actions, seen.at)

    async def _measure(self, seen: Seen) -> Measured:
        if seen.observed.deleted_at is not None:
            return NOTHING
        needed = self._measurer.needs(seen.observed)
        run = await self._kube.find(kinds.ANALYSIS_RUNS, seen.observed.namespace, needed) if needed else None
        measured = await self._measurer.measure(seen.observed, run, seen.at)
        if self._foresight is None:
            return measured
        short = await self._foresight.told(seen.observed, run, seen.at)
        return replace(measured, evidence=replace(measured.evidence, short=short))


def _only_tells(actions: list[Action], status: RolloutStatus) -> bool:
    """Whether nothing is done but that numbers are recorded: they need no other look at the world."""
    for action in actions:
        match action:
            case WakeAt():
                pass
            case RecordStatus(after):
                kept = {name: getattr(status, name) for name in ("evidence", "evidence_since", "turn")}
                if after.model_copy(update=kept) != status:
                    return False
            case _:
                return False
    return True

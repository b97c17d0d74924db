"""The loop: measure, plan, obey, and sleep to the next look, in the time of the samples."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis.sources import Source
from rollout.api.intents import IntentKey
from rollout.api.status import PauseReason, RolloutStatus, Stage
from rollout.measure import Measured, Measurer
from rollout.plan import schedule
from rollout.plan.actions import Announce, RecordStatus, WakeAt
from rollout.plan.facts import pauses
from rollout.plan.planner import plan
from rollout.plan.transitions import AT_REST
from rollout.replay.cluster import Cluster

RESUMED = "nobody is asked in a replay"
_AT_ONCE = timedelta(milliseconds=1)
"""What a turn that goes on at once takes: time must pass, whatever is planned."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn measured, and what it made of `before`."""

    at: datetime
    before: RolloutStatus
    status: RolloutStatus
    measured: Measured
    told: tuple[Announce, ...]

    @property
    def step(self) -> int | None:
        """The step that it belongs to, or the number of steps once all passed; None before and after."""
        return self.before.current_step_index if self.before.stage is Stage.STEPPING else None

    @property
    def over(self) -> bool:
        """Whether the rollout has come to its end."""
        return self.status.stage in AT_REST

    @property
    def held(self) -> bool:
        """Whether it waits for somebody to decide."""
        return pauses(self.status, PauseReason.INCONCLUSIVE)


async def turns(cluster: Cluster, source: Source, until: datetime) -> AsyncIterator[Turn]:
    """Turns from `cluster.began`, each when it is due, until the rollout is over, held, or time is up.

    A pause without a duration is resumed at once.
    """
    measurer = Measurer(lambda _address: source, timedelta(0), routed=False)
    now = cluster.began
    while now <= until:
        seen = cluster.observed()
        needed = measurer.needs(seen)
        measured = await measurer.measure(seen, cluster.runs[needed] if needed else None, now)
        await measurer.settled()
        actions = plan(seen, measured.evidence, now)
        _save(cluster, measurer, measured, now, forced=any(isinstance(a, RecordStatus) for a in actions))
        cluster.do(actions)
        began = seen.status.stage not in AT_REST
        told = tuple(action for action in actions if isinstance(action, Announce))
        turn = Turn(now, seen.status, cluster.status, measured, told)
        yield turn
        if began and (turn.over or turn.held):
            return
        _resume(cluster, now)
        due = [action.when for action in actions if isinstance(action, WakeAt)]
        due += [measured.look_at] if measured.look_at is not None else []
        now = max(min(due, default=now), now + _AT_ONCE)


def _save(cluster: Cluster, measurer: Measurer, measured: Measured, now: datetime, *, forced: bool) -> None:
    unsaved = measured.unsaved
    if unsaved is not None and (unsaved.due or forced):
        measurer.saved(cluster.save(unsaved.run), now)


def _resume(cluster: Cluster, now: datetime) -> None:
    step = schedule.step_at(cluster.spec.strategy.canary.steps, cluster.status.current_step_index)
    waits = cluster.status.stage is Stage.STEPPING and schedule.pausing(step)
    if waits and schedule.pause_ends(step, cluster.status) is None:
        cluster.ask(IntentKey.RESUME, RESUMED, now)

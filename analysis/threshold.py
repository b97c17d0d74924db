"""Threshold metrics: measurements against limits, one after the other, to a verdict.

A measurement was judged by its conditions before it comes here. The limits are those of Argo Rollouts'
AnalysisTemplates. What differs is said where it does: no evidence is never success, a source that is away is
never a failure, and what lets a step pass was measured in that step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

ERROR_RETRY = timedelta(seconds=10)
"""After a measurement that failed to be one, whatever the interval, unless that is shorter."""
SHORTEST = timedelta(seconds=1)
"""Between two measurements, however short the interval: a source scrapes no faster."""
RETAINED = 10
"""Measurements that are kept to be shown."""


class Phase(StrEnum):
    """How a measurement, or a metric, stands."""

    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class Limits:
    """How often to measure, and how many measurements of each kind decide; -1 switches a limit off.

    count: measurements of a round, None for as long as it lasts. consecutive_success: so many in a row end
    it, 0 for no such rule.
    """

    count: int | None = 1
    interval: timedelta | None = None
    initial_delay: timedelta = timedelta(0)
    failure: int = 0
    inconclusive: int = 0
    consecutive_error: int = 4
    consecutive_success: int = 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One look. refused: an error that somebody must mend; it does not pass by itself."""

    phase: Phase
    started_at: datetime
    finished_at: datetime
    value: str = ""
    message: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """How many measurements of each kind."""

    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0

    @property
    def count(self) -> int:
        """Measurements that said something: errors are none."""
        return self.successful + self.failed + self.inconclusive

    def plus(self, phase: Phase) -> Tally:
        """One more."""
        name = phase.value.lower()
        return replace(self, **{name: getattr(self, name) + 1})


@dataclass(frozen=True, slots=True)
class State:
    """How far a metric is.

    A round is what the limits count; `since` is when it began. It is over when the metric succeeded or stayed
    without an answer. in_step: of the present step alone. total: of all rounds, to be shown.
    """

    step: str
    since: datetime
    step_since: datetime
    phase: Phase = Phase.RUNNING
    message: str = ""
    in_round: Tally = Tally()
    in_step: Tally = Tally()
    total: Tally = Tally()
    consecutive_error: int = 0
    consecutive_success: int = 0
    measurements: tuple[Measurement, ...] = ()
    """The last ones."""

    @property
    def last(self) -> Measurement | None:
        """The last measurement."""
        return self.measurements[-1] if self.measurements else None

    @property
    def measured(self) -> bool:
        """Whether anything was measured in this step."""
        return self.in_step.count + self.in_step.error > 0


def begin(step: str, at: datetime) -> State:
    """The start: nothing is measured."""
    return State(step, at, at)


def begin_step(state: State, step: str, at: datetime) -> State:
    """The metric in a step whose effect was seen at `at`: what lets it pass is measured anew.

    A round that is over is followed by a new one; one that isn't goes on, its failures not forgotten. Where
    somebody had a round without an answer looked at again, `at` is later than its last measurement.
    """
    last = state.last
    again = state.phase is Phase.INCONCLUSIVE and last is not None and at > last.finished_at
    if state.step == step and not again:
        return state
    fresh = replace(state, step=step, step_since=at, in_step=Tally(), consecutive_success=0)
    if state.phase in (Phase.RUNNING, Phase.ERROR, Phase.FAILED):
        return fresh
    return replace(fresh, since=at, phase=Phase.RUNNING, message="", in_round=Tally(), consecutive_error=0)


def due(limits: Limits, state: State) -> datetime | None:
    """When to measure next; None while the round is over."""
    if state.phase in (Phase.SUCCESSFUL, Phase.FAILED, Phase.INCONCLUSIVE):
        return None
    last = state.last
    if last is None or last.finished_at < state.since:
        return state.since + limits.initial_delay
    interval = limits.interval or ERROR_RETRY
    wait = min(interval, ERROR_RETRY) if last.phase is Phase.ERROR else interval
    return last.finished_at + max(wait, SHORTEST)


def fold(limits: Limits, state: State, measurement: Measurement, retained: int = RETAINED) -> State:
    """Take in one measurement."""
    phase = measurement.phase
    error, success = phase is Phase.ERROR, phase is Phase.SUCCESSFUL
    taken = replace(
        state,
        in_round=state.in_round.plus(phase),
        in_step=state.in_step.plus(phase),
        total=state.total.plus(phase),
        consecutive_error=state.consecutive_error + 1 if error else 0,
        consecutive_success=state.consecutive_success + 1 if success else 0,
        measurements=(*state.measurements, measurement)[-max(retained, 1) :],
    )
    verdict, message = _verdict(limits, taken)
    return replace(taken, phase=verdict, message=message)


def _verdict(limits: Limits, state: State) -> tuple[Phase, str]:
    """(phase, why), in Argo Rollouts' order: what failed weighs more than what is unknown."""
    found, step = state.in_round, state.in_step
    if 0 <= limits.failure < found.failed:
        return Phase.FAILED, f"{found.failed} failed, of at most {limits.failure} (failureLimit)"
    if 0 <= limits.inconclusive < found.inconclusive:
        told = f"{found.inconclusive} inconclusive, of at most {limits.inconclusive} (inconclusiveLimit)"
        return Phase.INCONCLUSIVE, told
    if 0 <= limits.consecutive_error < state.consecutive_error:
        told = f"{state.consecutive_error} errors in a row, of at most {limits.consecutive_error}"
        return Phase.ERROR, f"{told} (consecutiveErrorLimit)"
    wanted = limits.consecutive_success
    if wanted and state.consecutive_success >= wanted:
        return Phase.SUCCESSFUL, f"{wanted} successful in a row"
    if limits.count is None or step.count < limits.count:
        return Phase.RUNNING, ""
    if wanted:
        told = f"never {wanted} successful in a row, in {step.count} measurements (consecutiveSuccessLimit)"
        return (Phase.INCONCLUSIVE if limits.failure >= 0 else Phase.FAILED), told
    if not step.successful:
        return Phase.INCONCLUSIVE, f"none of {step.count} measurements was successful"
    return Phase.SUCCESSFUL, f"{step.successful} of {step.count} measurements successful"


def passes(limits: Limits, state: State) -> bool:
    """Whether the present step may pass: its round succeeded, or for one without end, its last look did."""
    if state.phase is not Phase.RUNNING:
        return state.phase is Phase.SUCCESSFUL
    last = state.last
    endless = limits.count is None and not limits.consecutive_success
    return endless and state.measured and last is not None and last.phase is Phase.SUCCESSFUL

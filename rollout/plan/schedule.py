"""Arithmetic of steps and times: which weight a step means, how long it lasts, when it is due."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from rollout.api.identity import canonical
from rollout.api.rollout import (
    AnalysisStep,
    Canary,
    InlineAnalysis,
    Judge,
    JudgeStep,
    PauseStep,
    SetWeightStep,
    Step,
)
from rollout.api.status import RolloutStatus

MIN_SETTLE = timedelta(seconds=2)
"""How long selector, endpoints or weights must stand before anything builds on them (invariant I4)."""
ACCEPT_WAIT = timedelta(seconds=10)
"""How long a route's status is waited for: implementations lag, or never write it (D2)."""
DRAIN = timedelta(seconds=5)
"""The least time between the last traffic and the end of a pod (invariant I2)."""
SLOW_LOOK = timedelta(seconds=60)
"""A look while nothing is due but somebody: a lost watch event costs no more than this."""

BEFORE_TRAFFIC = "start"


def step_hash(steps: Sequence[Step]) -> str:
    """What tells one list of steps from another."""
    return _step_hash(tuple(steps))


@lru_cache(maxsize=4096)
def _step_hash(steps: tuple[Step, ...]) -> str:
    text = canonical([step.manifest() for step in steps])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def step_at(steps: Sequence[Step], index: int | None) -> Step | None:
    """The step at `index`; None past the last one."""
    return steps[index] if index is not None and index < len(steps) else None


def level(steps: Sequence[Step], index: int | None) -> int:
    """The canary's weight in percent at step `index`: of the last `setWeight` up to it, else 0."""
    upto = steps if index is None else steps[: index + 1]
    return next((step.set_weight for step in reversed(upto) if isinstance(step, SetWeightStep)), 0)


def evidence_key(steps: Sequence[Step], index: int | None) -> str:
    """The step that fresh evidence must belong to: the last `setWeight` or `analysis` up to `index`, as text.

    Evidence of an earlier key never lets a step pass (invariant I6). `start` where no such step came yet.
    """
    upto = steps if index is None else steps[: index + 1]
    found = [at for at, step in enumerate(upto) if isinstance(step, SetWeightStep | AnalysisStep)]
    return str(found[-1]) if found else BEFORE_TRAFFIC


def gate(step: Step | None) -> InlineAnalysis | Judge | None:
    """What a step waits to be proved."""
    match step:
        case AnalysisStep(analysis=found):
            return found
        case JudgeStep(judge=found):
            return found
    return None


def judged(canary: Canary) -> bool:
    """Whether this policy asks for any analysis."""
    return canary.analysis is not None or any(isinstance(step, AnalysisStep) for step in canary.steps)


def least(found: InlineAnalysis | Judge) -> timedelta:
    """How long a gate holds, however soon the proof is there."""
    return found.min_duration if isinstance(found, Judge) else timedelta(0)


def judged_for(status: RolloutStatus, now: datetime) -> timedelta:
    """How long this step has been judged: since its effect, without the time that it was blind or held."""
    if status.step_effect_since is None:
        return timedelta(0)
    until = status.blind_since or now
    return max(until - status.step_effect_since - timedelta(seconds=status.blind_seconds), timedelta(0))


def pause_ends(step: Step | None, status: RolloutStatus) -> datetime | None:
    """When a timed pause is over."""
    if isinstance(step, PauseStep) and step.pause.duration is not None and status.step_since is not None:
        return status.step_since + step.pause.duration
    return None


def pausing(step: Step | None) -> bool:
    """Whether a step is a pause, timed or open."""
    return isinstance(step, PauseStep)


def deadline(status: RolloutStatus, seconds: int) -> datetime | None:
    """When the progress deadline passes; None while the clock stands still."""
    if status.progress_since is None:
        return None
    return status.progress_since + timedelta(seconds=seconds - status.progress_spent_seconds)

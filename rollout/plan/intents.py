"""Taking intents: first thing in every turn, whatever else fails (D3), and each exactly once (invariant I12).

Latched (`status.intent` Taken), acted on, cleared (its annotation removed), acknowledged (Cleared). One at a
time; only an abort does not wait for the one before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollout.api.caps import short
from rollout.api.intents import Intent, IntentKey, recorded
from rollout.api.status import (
    PauseCondition,
    PauseReason,
    RolloutStatus,
    Stage,
    TakenIntent,
    TakenState,
)
from rollout.plan import facts as ask
from rollout.plan import schedule
from rollout.plan.actions import Announce, ClearIntent
from rollout.plan.facts import Facts
from rollout.plan.transitions import TRANSITIONS, Signal

ACTED = "Acted"
SUPERSEDED = "Superseded"
NOTHING_TO_DO = "NothingToDo"
NOT_SUPPORTED = "NotSupported"


@dataclass(frozen=True, slots=True)
class Response:
    """What becomes of an intent."""

    outcome: str
    message: str
    signal: Signal | None = None
    changes: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """The turn's beginning: the status with the intent latched, and what follows from it."""

    status: RolloutStatus
    signal: Signal | None = None
    clear: ClearIntent | None = None
    announce: Announce | None = None


def take(facts: Facts) -> Taken:
    """Latch a new intent, clear the one that was latched, or acknowledge that it is cleared."""
    status = facts.observed.status
    latched = _identity(status.intent)
    present = facts.observed.intents
    waiting = next((each for each in present if each.identity == latched), None)
    fresh = next(
        (
            each
            for each in present
            if each.identity != latched and (waiting is None or each.key is IntentKey.ABORT)
        ),
        None,
    )
    if fresh is not None:
        return _latch(facts, status, fresh)
    if waiting is not None:
        return Taken(status, clear=_clear(waiting))
    if status.intent is not None and status.intent.state is TakenState.TAKEN:
        cleared = status.intent.model_copy(update={"state": TakenState.CLEARED})
        return Taken(status.model_copy(update={"intent": cleared}))
    return Taken(status)


def _identity(taken: TakenIntent | None) -> tuple[str, str, datetime] | None:
    return (taken.action, taken.value, taken.set_at) if taken else None


def _clear(intent: Intent) -> ClearIntent:
    return ClearIntent(intent.key.annotation, intent.value)


def _latch(facts: Facts, status: RolloutStatus, intent: Intent) -> Taken:
    response = _respond(facts, status, intent)
    latched = TakenIntent(
        action=intent.key.value,
        value=recorded(intent.value),
        reason=short(intent.reason),
        revision=status.current_pod_hash,
        by=intent.by,
        set_at=intent.set_at,
        outcome=response.outcome,
    )
    return Taken(
        status.model_copy(update={**(response.changes or {}), "intent": latched}),
        response.signal,
        _clear(intent),
        Announce(_EVENTS[response.outcome], _sentence(intent, response), response.outcome == NOT_SUPPORTED),
    )


_EVENTS: Mapping[str, str] = {
    ACTED: "IntentTaken",
    SUPERSEDED: "IntentSuperseded",
    NOTHING_TO_DO: "IntentNothingToDo",
    NOT_SUPPORTED: "IntentNotSupported",
}


def _sentence(intent: Intent, response: Response) -> str:
    reason = f" ({short(intent.reason)})" if intent.reason else ""
    return f"{intent.key} by {intent.by}{reason}: {response.message}"


def _respond(facts: Facts, status: RolloutStatus, intent: Intent) -> Response:
    if intent.bound_to not in {None, status.current_pod_hash}:
        return Response(SUPERSEDED, f"it is bound to {intent.bound_to}, and that is not under way")
    if _overtaken(status, intent):
        return Response(SUPERSEDED, "an abort came with it or after it")
    if (began := _began(status, intent.key)) is not None and _before(intent.set_at, began):
        return Response(SUPERSEDED, "it was set before what is under way began")
    return _RESPONSES[intent.key](facts, status)


def _overtaken(status: RolloutStatus, intent: Intent) -> bool:
    """Whether the last intent was an abort that this one is no newer than.

    An abort does not wait until the intent before it is cleared; that one may have acted, and must not again.
    Times are whole seconds: within one, what is there before the abort is acknowledged came with it, and what
    is seen only then came after it.
    """
    last = status.intent
    if last is None or last.action != IntentKey.ABORT or intent.key is IntentKey.ABORT:
        return False
    acknowledged = last.state is TakenState.CLEARED
    return intent.set_at < last.set_at if acknowledged else intent.set_at <= last.set_at


def _began(status: RolloutStatus, key: IntentKey) -> datetime | None:
    """When that began of which an intent of this kind speaks; one that is older speaks of something else."""
    match key:
        case IntentKey.PROMOTE if status.stage is Stage.STEPPING:
            return status.step_since
        case IntentKey.PROMOTE | IntentKey.PROMOTE_FULL | IntentKey.RESUME | IntentKey.RETRY:
            return max(filter(None, (status.rollout_since, status.aborted_at)), default=None)
    return None


def _before(set_at: datetime, began: datetime) -> bool:
    """Whether it was set earlier; managedFields tell whole seconds, so the same second is not earlier."""
    return set_at < (began if set_at.microsecond else began.replace(microsecond=0))


def _signal(status: RolloutStatus, signal: Signal, otherwise: str) -> Response:
    if signal in TRANSITIONS[status.stage]:
        return Response(ACTED, signal.value, signal)
    return Response(NOTHING_TO_DO, otherwise)


def _abort(facts: Facts, status: RolloutStatus) -> Response:
    if status.stage is Stage.RETURNING:
        return Response(NOTHING_TO_DO, "both Services reach the new version already; it is stable")
    return _signal(status, Signal.ABORTED, "nothing is rolling out")


def _promote(facts: Facts, status: RolloutStatus) -> Response:
    if status.stage is not Stage.STEPPING or facts.spec is None:
        return Response(NOTHING_TO_DO, "no step is under way")
    last = schedule.step_at(facts.steps, status.current_step_index) is None
    signal = Signal.END_SKIPPED if last else Signal.STEP_SKIPPED
    return Response(ACTED, signal.value, signal)


def _promote_full(facts: Facts, status: RolloutStatus) -> Response:
    if facts.observed.wanted is None:
        return Response(NOTHING_TO_DO, "the template can't be read")
    return _signal(status, Signal.PROMOTED_IN_FULL, "nothing waits to be promoted")


def _retry(facts: Facts, status: RolloutStatus) -> Response:
    if facts.observed.wanted is None:
        return Response(NOTHING_TO_DO, "the template can't be read")
    return _signal(status, Signal.RETRY, "nothing was refused")


_PAUSABLE = frozenset({Stage.RESETTING, Stage.STEPPING, Stage.PROMOTING})


def _pause(facts: Facts, status: RolloutStatus) -> Response:
    if status.stage not in _PAUSABLE:
        return Response(NOTHING_TO_DO, "nothing is rolling out that could wait")
    if ask.pauses(status, PauseReason.USER):
        return Response(NOTHING_TO_DO, "it is paused already")
    pause = PauseCondition(reason=PauseReason.USER, start_time=facts.now)
    changes = {"controller_pause": True, "pause_conditions": (*status.pause_conditions, pause)}
    return Response(ACTED, "held where it is", changes=changes)


def _resume(facts: Facts, status: RolloutStatus) -> Response:
    """A person's own pause ends first; only then a pause that the steps or the judge made."""
    if ask.pauses(status, PauseReason.USER):
        return Response(ACTED, "going on", changes=_without(status, PauseReason.USER))
    if ask.pauses(status, PauseReason.INCONCLUSIVE):
        judged_anew = {"step_effect_since": None, "blind_since": None, "blind_seconds": 0.0}
        changes = {**_without(status, PauseReason.INCONCLUSIVE), **judged_anew}
        return Response(ACTED, "looking for evidence again", changes=changes)
    if facts.spec is not None and facts.spec.paused:
        return Response(NOTHING_TO_DO, "spec.paused is true: change it in the manifest")
    waiting = schedule.step_at(facts.steps, status.current_step_index)
    if status.stage is Stage.STEPPING and schedule.pausing(waiting):
        return Response(ACTED, Signal.PAUSE_ENDED.value, Signal.PAUSE_ENDED)
    return Response(NOTHING_TO_DO, "nothing is paused")


def _without(status: RolloutStatus, reason: PauseReason) -> Mapping[str, Any]:
    left = tuple(each for each in status.pause_conditions if each.reason is not reason)
    return {"controller_pause": bool(left), "pause_conditions": left}


def _restart(facts: Facts, status: RolloutStatus) -> Response:
    return Response(NOT_SUPPORTED, "restart is not supported yet: change the template instead")


_RESPONSES: Mapping[IntentKey, Callable[[Facts, RolloutStatus], Response]] = {
    IntentKey.ABORT: _abort,
    IntentKey.PROMOTE: _promote,
    IntentKey.PROMOTE_FULL: _promote_full,
    IntentKey.PAUSE: _pause,
    IntentKey.RESUME: _resume,
    IntentKey.RETRY: _retry,
    IntentKey.RESTART: _restart,
}

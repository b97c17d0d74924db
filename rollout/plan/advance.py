"""What is remembered of a signal: the status after it. The stage itself comes from the table alone."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rollout.api.status import CanaryStatus, PauseCondition, PauseReason, RolloutStatus, Stage, Verdict
from rollout.plan import history, schedule
from rollout.plan.facts import Facts
from rollout.plan.observed import Wanted
from rollout.plan.transitions import TRANSITIONS, UNDER_WAY, Signal

Changes = Mapping[str, Any]


def advance(facts: Facts, status: RolloutStatus, signal: Signal | None) -> RolloutStatus:
    """The status after `signal`, as of this turn."""
    if signal is None:
        return status
    stage = TRANSITIONS[status.stage][signal]
    changes = {**_EFFECTS[signal](facts, status, signal), "stage": stage}
    if stage is not status.stage:
        changes |= {"stage_since": facts.now, **_restarted_clocks(facts)}
    return status.model_copy(update=changes)


def _restarted_clocks(facts: Facts) -> Changes:
    return {
        "step_effect_since": None,
        "progress_since": facts.now,
        "progress_spent_seconds": 0.0,
        "progress_best": 0,
        "blind_since": None,
        "blind_seconds": 0.0,
    }


def _begin(facts: Facts, status: RolloutStatus, wanted: Wanted) -> Changes:
    """A new attempt: of the last one only history, refusal and the weight it may still have are left."""
    return {
        **_restarted_clocks(facts),
        "attempt": history.next_name(facts, status, wanted.attempt),
        "current_pod_hash": wanted.hash,
        "current_step_index": 0 if facts.steps else None,
        "current_step_hash": schedule.step_hash(facts.steps),
        "step_since": facts.now,
        "rollout_since": facts.now,
        "top_weight": 0,
        "verdict": Verdict.UNDECIDED,
        "verdict_reason": "",
        "exception": "",
        "abort": False,
        "aborted_at": None,
        "promote_full": False,
        "controller_pause": False,
        "pause_conditions": (),
        "evidence": (),
        "canary": CanaryStatus(
            desired_weight=status.canary.desired_weight,
            weights=status.canary.weights,
            services=status.canary.services,
        ),
        "source": facts.observed.source or status.source,
    }


def _new_revision(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    wanted = facts.observed.wanted
    assert wanted is not None
    reason = f"revision {wanted.hash} took its place"
    superseded = status.stage in UNDER_WAY
    kept = history.entered(facts, status, Verdict.SUPERSEDED, reason) if superseded else status.history
    return {**_begin(facts, status, wanted), "history": kept}


def _older(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    """Straight to all traffic, an exception of invariant I6 that history names."""
    return {
        **_new_revision(facts, status, signal),
        "current_step_index": len(facts.steps) or None,
        "promote_full": True,
        "exception": "the rollback window",
    }


def _again(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    wanted = facts.observed.wanted
    assert wanted is not None
    forgiven = history.forgiving(status, wanted.attempt)
    return {**_begin(facts, status, wanted), "refused": forgiven}


def _steps_changed(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    wanted = facts.observed.wanted
    assert wanted is not None
    return {
        **_begin(facts, status, wanted),
        "promote_full": status.promote_full,
        "exception": status.exception if status.promote_full else "",
        "top_weight": status.top_weight,
    }


def _in_full(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    again = {} if status.stage in UNDER_WAY else _again(facts, status, signal)
    return {**again, "promote_full": True, "exception": "promote-full", **_UNPAUSED}


_UNPAUSED: Changes = {"controller_pause": False, "pause_conditions": ()}


def _next_step(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    index = (status.current_step_index or 0) + 1
    changes = {**_restarted_clocks(facts), **_at(facts, index)}
    if schedule.gate(schedule.step_at(facts.steps, status.current_step_index)) is not None:
        changes |= _unproved(status, signal)
    return changes


def _at(facts: Facts, index: int) -> Changes:
    """The beginning of a step; a pause is recorded with its start, so that a restart does not prolong it."""
    paused = schedule.pausing(schedule.step_at(facts.steps, index))
    pause = PauseCondition(reason=PauseReason.STEP, start_time=facts.now)
    return {
        "current_step_index": index,
        "step_since": facts.now,
        "controller_pause": paused,
        "pause_conditions": (pause,) if paused else (),
    }


def _unproved(status: RolloutStatus, signal: Signal) -> Changes:
    """Which exception of invariant I6 let a judgement pass without proof."""
    named = {
        Signal.STEP_SKIPPED: "promote",
        Signal.END_SKIPPED: "promote",
        Signal.STEP_COMPATIBLE: "promoteIfCompatible",
    }.get(signal)
    if named is None or named in status.exception:
        return {}
    return {"exception": f"{status.exception}, {named}".removeprefix(", ")}


def _held(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    pause = PauseCondition(reason=PauseReason.INCONCLUSIVE, start_time=facts.now)
    return {"controller_pause": True, "pause_conditions": (*status.pause_conditions, pause)}


def _steps_done(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    return {**_UNPAUSED, **_unproved(status, signal)}


def _refuse(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    verdict = Verdict.ABORTED if signal is Signal.ABORTED else Verdict.ROLLED_BACK
    reason = _why(facts, status, signal)
    return {
        **_UNPAUSED,
        "abort": True,
        "aborted_at": facts.now,
        "promote_full": False,
        "verdict": verdict,
        "verdict_reason": reason,
        "refused": history.refusing(facts, status, verdict, reason),
        "promoted": history.discrediting(status),
        "history": history.entered(
            facts, status, verdict, reason, decided_at=_decided_at(facts, status, signal)
        ),
    }


def _decided_at(facts: Facts, status: RolloutStatus, signal: Signal) -> datetime | None:
    """The scrape or the intent that decided."""
    match signal:
        case Signal.REGRESSION | Signal.METRIC_FAILED:
            return facts.evidence.decided_at
        case Signal.ABORTED:
            return status.intent.set_at if status.intent and status.intent.action == "abort" else None
        case _:
            return None


def _why(facts: Facts, status: RolloutStatus, signal: Signal) -> str:
    """The reason that people read: the signal's sentence, and what is known beyond it."""
    match signal:
        case Signal.REGRESSION | Signal.METRIC_FAILED | Signal.INCONCLUSIVE:
            more = facts.evidence.reason
        case Signal.ABORTED:
            more = status.intent.reason if status.intent and status.intent.action == "abort" else ""
        case Signal.PODS_FAILED:
            found = facts.observed.replica_set(status.current_pod_hash)
            more = "; ".join(f"{each.pod}: {each.reason}" for each in found.troubles[:3]) if found else ""
            more = more or (f"{found.restarts} restarts, none of the stable version" if found else "")
        case _:
            more = ""
    return f"{signal}: {more}" if more else signal.value


def _stable_again(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    if status.stage is Stage.REFUSED:
        return _back_as_wanted(facts, status, signal)
    return {
        **_UNPAUSED,
        "promote_full": False,
        "verdict": Verdict.FAST_ROLLED_BACK,
        "verdict_reason": signal.value,
        "history": history.entered(facts, status, Verdict.FAST_ROLLED_BACK, signal.value),
    }


def _back_as_wanted(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    """Stable without analysis, an exception of invariant I6 that history names."""
    reason = "the stable template"
    wanted = facts.observed.wanted
    attempt = wanted.attempt if wanted else status.attempt
    entry = history.entered(
        facts,
        status.model_copy(update={"attempt": attempt, "top_weight": 100}),
        Verdict.PROMOTED,
        reason,
        status.stable_rs,
    )
    return {
        **_UNPAUSED,
        "attempt": attempt,
        "current_pod_hash": status.stable_rs,
        "abort": False,
        "aborted_at": None,
        "promote_full": False,
        "verdict": Verdict.PROMOTED,
        "verdict_reason": reason,
        "exception": reason,
        "history": entry,
        "source": facts.observed.source or status.source,
    }


def _refused_again(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    if status.stage in UNDER_WAY:
        reason = "a refused attempt took its place"
        return {
            **_UNPAUSED,
            "abort": True,
            "aborted_at": facts.now,
            "promote_full": False,
            "verdict": Verdict.SUPERSEDED,
            "verdict_reason": reason,
            "history": history.entered(facts, status, Verdict.SUPERSEDED, reason),
        }
    wanted = facts.observed.wanted
    refusal = history.refused(status, wanted.attempt) if wanted else None
    assert wanted is not None
    assert refusal is not None
    return {
        **_begin(facts, status, wanted),
        "attempt": wanted.attempt,
        "abort": True,
        "aborted_at": refusal.at,
        "verdict": refusal.verdict,
        "verdict_reason": refusal.reason,
    }


def _first(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    recovered = facts.observed.recovered
    exception = "first deploy" if recovered is None else "first deploy, recovered from Git"
    return {
        "stable_rs": status.current_pod_hash,
        "refused": history.recalling(status, recovered or ()),
        **_promoted(facts, status, exception),
    }


def _switched(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    return {
        "stable_rs": status.current_pod_hash,
        **_promoted(facts, status, status.exception or _unjudged(facts)),
    }


def _unjudged(facts: Facts) -> str:
    """Why a policy asked for no proof; '' where it did."""
    if facts.canary is None or (schedule.judged(facts.canary) and facts.steps):
        return ""
    return "a policy without steps" if schedule.judged(facts.canary) else "a policy without analysis"


def _promoted(facts: Facts, status: RolloutStatus, exception: str) -> Changes:
    compatible = "promoteIfCompatible" in exception
    verdict = Verdict.INCONCLUSIVE if compatible else Verdict.PROMOTED
    reason = exception or "every guardrail was proved not worse"
    served = status.model_copy(update={"top_weight": 100})
    return {
        "exception": exception,
        "top_weight": 100,
        "verdict": verdict,
        "verdict_reason": reason,
        "history": history.entered(facts, served, verdict, reason),
        "promoted": history.promoting(status),
    }


def _at_rest(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    return {**_UNPAUSED, "abort": False, "promote_full": False}


def _refused_now(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    return {**_UNPAUSED, "abort": True, "promote_full": False}


def _first_step(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    return _at(facts, 0)


def _nothing(facts: Facts, status: RolloutStatus, signal: Signal) -> Changes:
    return {}


_EFFECTS: Mapping[Signal, Callable[[Facts, RolloutStatus, Signal], Changes]] = {
    Signal.NEW_REVISION: _new_revision,
    Signal.OLDER_REAPPLIED: _older,
    Signal.STABLE_REAPPLIED: _stable_again,
    Signal.REFUSED_REVISION: _refused_again,
    Signal.STEPS_CHANGED: _steps_changed,
    Signal.ABORTED: _refuse,
    Signal.RETRY: _again,
    Signal.PROMOTED_IN_FULL: _in_full,
    Signal.STEP_SKIPPED: _next_step,
    Signal.END_SKIPPED: _steps_done,
    Signal.PAUSE_ENDED: _next_step,
    Signal.REGRESSION: _refuse,
    Signal.METRIC_FAILED: _refuse,
    Signal.PODS_FAILED: _refuse,
    Signal.OVERDUE: _refuse,
    Signal.INCONCLUSIVE: _refuse,
    Signal.FIRST_SERVES: _first,
    Signal.CANARY_REACHABLE: _first_step,
    Signal.NOTHING_TO_STEP: _steps_done,
    Signal.STEP_PASSED: _next_step,
    Signal.STEP_COMPATIBLE: _next_step,
    Signal.STEP_HELD: _held,
    Signal.UNANSWERED: _held,
    Signal.ALL_PASSED: _steps_done,
    Signal.CANARY_SERVES_ALL: _nothing,
    Signal.SERVICE_SWITCHED: _switched,
    Signal.TRAFFIC_RETURNED: _at_rest,
    Signal.BACK_ON_STABLE: _refused_now,
    Signal.BACK_AS_WANTED: _back_as_wanted,
}

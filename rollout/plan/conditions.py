"""What people read of a status: phase, message, conditions, counts. It decides nothing."""

import hashlib
from collections.abc import Iterator, Sequence

from rollout.api.status import (
    EVIDENCE_LIMIT,
    MESSAGE_LIMIT_BYTES,
    ArmWeight,
    Condition,
    ConditionType,
    PauseReason,
    Phase,
    RolloutStatus,
    ServiceNames,
    Stage,
    Weights,
)
from rollout.plan import clocks, schedule
from rollout.plan import facts as ask
from rollout.plan.evidence import Outcome, Sent
from rollout.plan.facts import Facts
from rollout.plan.transitions import CARRYING, UNDER_WAY, Signal


def described(facts: Facts, status: RolloutStatus, signal: Signal | None) -> RolloutStatus:
    """The status with all that follows from it and from what was observed."""
    status = status.model_copy(
        update={
            "observed_generation": facts.observed.generation,
            "source": status.source or facts.observed.source,
            "pruned": _hash(facts.observed.notes),
            "controller_pause": bool(status.pause_conditions),
            "step": _step(facts, status) if facts.steps and status.stage in UNDER_WAY else "",
            "canary": status.canary.model_copy(
                update={"weights": _weights(facts, status), "services": _services(facts, status)}
            ),
            **_evidence(facts, status),
            **_counts(facts, status),
        }
    )
    if status.stage in CARRYING:
        status = status.model_copy(update={"top_weight": max(status.top_weight, facts.live or 0)})
    phase, message = _phase(facts, status, signal)
    status = status.model_copy(update={"phase": phase, "message": _short(message)})
    return status.model_copy(update={"conditions": _conditions(facts, status)})


def _hash(notes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(notes).encode()).hexdigest()[:10] if notes else ""


def leaving(facts: Facts, status: RolloutStatus, message: str) -> RolloutStatus:
    """The status of a Rollout that is being deleted."""
    status = status.model_copy(
        update={
            "observed_generation": facts.observed.generation,
            "canary": status.canary.model_copy(update={"weights": _weights(facts, status)}),
            **_counts(facts, status),
            "phase": Phase.PROGRESSING,
            "message": _short(message),
        }
    )
    return status.model_copy(update={"conditions": _conditions(facts, status)})


def _short(text: str) -> str:
    return text.encode()[:MESSAGE_LIMIT_BYTES].decode(errors="ignore")


def _services(facts: Facts, status: RolloutStatus) -> ServiceNames | None:
    named = facts.observed.traffic
    if facts.invalid or named is None:
        return status.canary.services
    return ServiceNames(stable=named.stable_service, canary=named.canary_service)


def _weights(facts: Facts, status: RolloutStatus) -> Weights | None:
    """Observed: only what was read back (invariant I9)."""
    canary, stable, live = facts.observed.canary_service, facts.observed.stable_service, facts.live
    if canary is None or stable is None or live is None:
        return None
    return Weights(
        canary=ArmWeight(weight=live, service_name=canary.name, pod_template_hash=canary.hash or ""),
        stable=ArmWeight(weight=100 - live, service_name=stable.name, pod_template_hash=stable.hash or ""),
        verified=facts.accepted,
    )


def _evidence(facts: Facts, status: RolloutStatus) -> dict[str, object]:
    """What the metrics say while they are asked; what decided is the last word, and stays."""
    before = facts.observed.status
    decides = before.stage in CARRYING and before.attempt == status.attempt
    if not facts.evidence.metrics or not (decides or status.stage in CARRYING):
        return {}
    return {"evidence": facts.evidence.metrics[:EVIDENCE_LIMIT]}


def _counts(facts: Facts, status: RolloutStatus) -> dict[str, object]:
    every = facts.observed.replica_sets
    current = facts.observed.replica_set(status.current_pod_hash)
    stable = facts.observed.replica_set(status.stable_rs or status.current_pod_hash)
    return {
        "replicas": sum(each.created for each in every),
        "updated_replicas": current.created if current else 0,
        "ready_replicas": sum(each.ready for each in every),
        "available_replicas": sum(each.available for each in every),
        "hpa_replicas": stable.created if stable else 0,
        "selector": _selector(facts, status),
    }


def _selector(facts: Facts, status: RolloutStatus) -> str:
    """What an autoscaler counts: the stable side alone (D5)."""
    if facts.spec is None:
        return status.selector
    labels = dict(facts.spec.selector.match_labels)
    labels["rollouts-pod-template-hash"] = status.stable_rs or status.current_pod_hash
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if value)


def completed(facts: Facts, status: RolloutStatus) -> bool:
    """Whether the wanted version serves all, by what was observed alone."""
    wanted = facts.observed.wanted
    return (
        status.stage is Stage.STABLE
        and wanted is not None
        and wanted.hash == status.stable_rs
        and facts.reads_back(0)
        and ask.names(facts.observed.stable_service, status.stable_rs)
        and facts.available(status.stable_rs) >= facts.replicas
    )


def _phase(facts: Facts, status: RolloutStatus, signal: Signal | None) -> tuple[Phase, str]:
    if facts.invalid or facts.evidence.problems:
        return Phase.DEGRADED, f"InvalidSpec: {_problems(facts)}"
    if status.stage is Stage.REFUSED:
        return Phase.DEGRADED, f"{status.verdict}: {status.verdict_reason}"
    if completed(facts, status):
        return Phase.HEALTHY, ""
    if clocks.overdue(facts, status):
        return Phase.DEGRADED, f"ProgressDeadlineExceeded: {_under_way(facts, status)}"
    if reason := _paused(facts, status):
        return Phase.PAUSED, reason
    return Phase.PROGRESSING, _under_way(facts, status)


def _problems(facts: Facts) -> str:
    found = [*map(str, facts.observed.problems), *facts.evidence.problems]
    return "; ".join(found) or "the spec can't be read"


def _paused(facts: Facts, status: RolloutStatus) -> str:
    """Why it waits for somebody or for a time; '' while it does not."""
    if status.stage not in {Stage.RESETTING, Stage.STEPPING, Stage.PROMOTING, Stage.INITIAL}:
        spec_paused = status.stage is Stage.STABLE and facts.paused_by_user(status)
        return "paused by spec.paused" if spec_paused else ""
    if ask.pauses(status, PauseReason.USER):
        return "PausedByUser: resume it to go on"
    if facts.paused_by_user(status):
        return "paused by spec.paused"
    if ask.pauses(status, PauseReason.INCONCLUSIVE):
        unanswered = facts.evidence.outcome is Outcome.INCONCLUSIVE
        why = Signal.UNANSWERED if unanswered else Signal.STEP_HELD
        return f"{PauseReason.INCONCLUSIVE}: {why.value} ({facts.evidence.reason})"
    if ask.pauses(status, PauseReason.STEP) and status.stage is Stage.STEPPING:
        step = schedule.step_at(facts.steps, status.current_step_index)
        timed = schedule.pause_ends(step, status)
        if timed and facts.evidence.outcome is Outcome.MISROUTED:
            return f"{PauseReason.STEP}: {_judging(facts)}"
        return f"{PauseReason.STEP}: " + (
            f"until {timed:%H:%M:%S} UTC" if timed else "promote or resume it to go on"
        )
    return ""


def _under_way(facts: Facts, status: RolloutStatus) -> str:
    ready = f"{facts.available(status.current_pod_hash)} of {facts.replicas} pods available"
    weight = status.canary.desired_weight
    match status.stage:
        case _ if facts.replicas == 0:
            return "scaled to zero: waits for replicas"
        case Stage.STEPPING if status.step_effect_since is None:
            return f"step {_step(facts, status)}: waiting for pods and routes to give the canary {weight} %"
        case Stage.STEPPING:
            return f"step {_step(facts, status)} at {weight} %: {_judging(facts)}"
        case Stage.PROMOTING:
            return f"promoting: {ready}"
        case Stage.RESETTING if status.promote_full:
            return f"without steps ({status.exception}): waiting for its first pod, at weight 0"
        case Stage.STABLE | Stage.INITIAL:
            return ready
    return _SENTENCES[status.stage]


_SENTENCES = {
    Stage.RESETTING: "a new revision: waiting for its first pod, at weight 0",
    Stage.SWITCHING: "promoting: the stable Service switches to the new version",
    Stage.RETURNING: "promoting: the weight returns to the stable Service",
    Stage.ROLLING_BACK: "rolling back: all traffic to the stable version",
}


def _step(facts: Facts, status: RolloutStatus) -> str:
    done = min((status.current_step_index or 0) + 1, len(facts.steps))
    return f"{done}/{len(facts.steps)}"


def _judging(facts: Facts) -> str:
    if facts.evidence.outcome is Outcome.NONE:
        return "in effect"
    return f"the evidence says {facts.evidence.outcome}" + (
        f" ({facts.evidence.reason})" if facts.evidence.outcome.holds else ""
    )


def _conditions(facts: Facts, status: RolloutStatus) -> tuple[Condition, ...]:
    known = {condition.type: condition for condition in status.conditions}
    return tuple(_dated(facts, known.get(new.type), new) for new in _asserted(facts, status))


def _dated(facts: Facts, old: Condition | None, new: Condition) -> Condition:
    if old is None or old.status != new.status:
        return new
    return new.model_copy(update={"last_transition_time": old.last_transition_time})


def _asserted(facts: Facts, status: RolloutStatus) -> Iterator[Condition]:
    def condition(kind: ConditionType, *, holds: bool, reason: str, message: str = "") -> Condition:
        return Condition(
            type=kind,
            status="True" if holds else "False",
            reason=reason,
            message=_short(message),
            last_transition_time=facts.now,
        )

    healthy, done = status.phase is Phase.HEALTHY, completed(facts, status)
    serves = facts.replicas == 0 or ask.ready(facts.observed.stable_service) > 0
    late = clocks.overdue(facts, status)
    refused = status.stage is Stage.REFUSED
    blind = status.stage in CARRYING and facts.evidence.outcome is Outcome.BLIND
    broken = facts.invalid or bool(facts.evidence.problems)
    yield condition(
        ConditionType.AVAILABLE, holds=serves, reason="StableServes" if serves else "NoReadyEndpoints"
    )
    yield condition(
        ConditionType.PROGRESSING,
        holds=not (late or broken or refused),
        reason="ProgressDeadlineExceeded" if late else "Completed" if done else str(status.stage),
        message=status.message,
    )
    paused = status.phase is Phase.PAUSED
    yield condition(
        ConditionType.PAUSED, holds=paused, reason=_pause_reason(status) if paused else "NotPaused"
    )
    yield condition(ConditionType.HEALTHY, holds=healthy, reason=str(status.phase), message=status.message)
    yield condition(ConditionType.COMPLETED, holds=done, reason="Completed" if done else str(status.stage))
    yield condition(
        ConditionType.INVALID_SPEC,
        holds=broken,
        reason="InvalidSpec" if broken else "Valid",
        message=_problems(facts) if broken else "",
    )
    yield condition(
        ConditionType.ROLLED_BACK,
        holds=refused,
        reason=str(status.verdict) if refused and status.verdict else "NotRolledBack",
        message=status.verdict_reason if refused else "",
    )
    yield condition(
        ConditionType.ANALYSIS_BLIND,
        holds=blind,
        reason="NoMetricData" if blind else "Sighted" if status.stage in UNDER_WAY else "NotJudging",
        message=facts.evidence.reason if blind else "",
    )
    sent = facts.evidence.share if status.stage in CARRYING else Sent.UNKNOWN
    misrouted = sent is Sent.ELSEWHERE
    yield condition(
        ConditionType.MISROUTED,
        holds=misrouted,
        reason=str(sent),
        message=facts.evidence.routing if misrouted else "",
    )
    short = _short_steps(facts, status)
    yield condition(
        ConditionType.STEPS_TOO_SHORT,
        holds=bool(short),
        reason="MarginsOutOfReach" if short else "NothingKnown" if short is None else "MarginsInReach",
        message=short or "",
    )


def _short_steps(facts: Facts, status: RolloutStatus) -> str | None:
    """What the steps of this attempt can't tell, as it was said when it began; None where nothing was."""
    if facts.evidence.short is not None:
        return "; ".join(facts.evidence.short)
    before = facts.observed.status
    kept = status.stage in UNDER_WAY and status.attempt == before.attempt
    said = next((each for each in before.conditions if each.type is ConditionType.STEPS_TOO_SHORT), None)
    if not kept or said is None or said.reason == "NothingKnown":
        return None
    return said.message


def _pause_reason(status: RolloutStatus) -> str:
    return str(status.pause_conditions[-1].reason) if status.pause_conditions else "SpecPaused"

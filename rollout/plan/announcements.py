"""Events for people: one when something happened, none while nothing does; reasons as in Argo Rollouts."""

from collections.abc import Iterable, Iterator, Mapping

from rollout.api.status import ConditionType, RolloutStatus, Stage
from rollout.plan import drift, floor
from rollout.plan.actions import Action, Announce, EnsureSelector, EnsureWeights
from rollout.plan.facts import Facts
from rollout.plan.transitions import Signal

_REASONS: Mapping[Signal, str] = {
    Signal.NEW_REVISION: "RevisionStarted",
    Signal.OLDER_REAPPLIED: "RollbackWithinWindow",
    Signal.STABLE_REAPPLIED: "StableReapplied",
    Signal.REFUSED_REVISION: "RevisionRefused",
    Signal.STEPS_CHANGED: "StepsChanged",
    Signal.ABORTED: "RolloutAborted",
    Signal.RETRY: "RolloutRetried",
    Signal.PROMOTED_IN_FULL: "SkipSteps",
    Signal.STEP_SKIPPED: "SkipSteps",
    Signal.END_SKIPPED: "SkipSteps",
    Signal.PAUSE_ENDED: "RolloutResumed",
    Signal.REGRESSION: "AnalysisFailed",
    Signal.METRIC_FAILED: "AnalysisFailed",
    Signal.PODS_FAILED: "CanaryPodsFailed",
    Signal.OVERDUE: "ProgressDeadlineExceeded",
    Signal.INCONCLUSIVE: "AnalysisInconclusive",
    Signal.FIRST_SERVES: "RolloutCompleted",
    Signal.CANARY_REACHABLE: "CanaryReachable",
    Signal.NOTHING_TO_STEP: "CanaryReachable",
    Signal.STEP_PASSED: "RolloutStepCompleted",
    Signal.STEP_COMPATIBLE: "RolloutStepCompleted",
    Signal.STEP_HELD: "RolloutPaused",
    Signal.UNANSWERED: "RolloutPaused",
    Signal.ALL_PASSED: "Promoting",
    Signal.CANARY_SERVES_ALL: "CanaryServesAll",
    Signal.SERVICE_SWITCHED: "RevisionPromoted",
    Signal.TRAFFIC_RETURNED: "RolloutCompleted",
    Signal.BACK_ON_STABLE: "RolledBack",
    Signal.BACK_AS_WANTED: "RolloutCompleted",
}

_WARNINGS = frozenset(
    {
        Signal.REFUSED_REVISION,
        Signal.ABORTED,
        Signal.REGRESSION,
        Signal.METRIC_FAILED,
        Signal.PODS_FAILED,
        Signal.OVERDUE,
        Signal.INCONCLUSIVE,
        Signal.BACK_ON_STABLE,
        Signal.STEP_HELD,
        Signal.UNANSWERED,
    }
)

_CHANGES: Mapping[ConditionType, str] = {
    ConditionType.INVALID_SPEC: "InvalidSpec",
    ConditionType.ANALYSIS_BLIND: "AnalysisBlind",
    ConditionType.MISROUTED: "TrafficMisrouted",
}
"""Conditions whose coming is a warning, and whose going is good news."""


def announced(
    facts: Facts, after: RolloutStatus, signal: Signal | None, deeds: Iterable[Action]
) -> Iterator[Announce]:
    """What this turn has to tell."""
    before = facts.observed.status
    if signal is not None:
        yield Announce(_REASONS[signal], _sentence(facts, after, signal), signal in _WARNINGS)
    yield from of_deeds(facts, after, deeds)
    yield from _of_conditions(before, after)
    changed = before.observed_generation != facts.observed.generation
    if changed:
        yield from _of_replicas(facts)
    if changed or before.pruned != after.pruned:
        for note in facts.observed.notes:
            reason, _, message = note.partition(": ")
            yield Announce(reason, message, warning=True)


def _of_replicas(facts: Facts) -> Iterator[Announce]:
    """Why fewer pods than are there don't come at once (D5)."""
    if facts.observed.replicas < facts.replicas:
        until = f"{floor.KEPT.seconds // 60} minutes after traffic is whole again"
        message = f"{facts.observed.replicas} wanted, {facts.replicas} stay until {until}"
        yield Announce("ReplicasKept", message)


def _sentence(facts: Facts, after: RolloutStatus, signal: Signal) -> str:
    revision = after.current_pod_hash
    if signal in {Signal.STEP_PASSED, Signal.STEP_COMPATIBLE, Signal.STEP_SKIPPED, Signal.PAUSE_ENDED}:
        return f"revision {revision}: step {after.current_step_index} of {len(facts.steps)}: {signal}"
    if after.stage in {Stage.ROLLING_BACK, Stage.REFUSED} and after.verdict_reason:
        return f"revision {revision}: {after.verdict_reason}"
    return f"revision {revision}: {signal}"


def of_deeds(facts: Facts, after: RolloutStatus, deeds: Iterable[Action]) -> Iterator[Announce]:
    """What is told of writes to weights and selectors."""
    for deed in deeds:
        if not isinstance(deed, EnsureWeights | EnsureSelector):
            continue
        reason = drift.undone(facts, after, deed)
        if not reason:
            yield Announce(*_of_deed(facts, deed), of=deed)
        elif (found := drift.told_now(facts, after, reason)) is not None:
            often = f" ({found.count} such writes by now)" if found.count > 1 else ""
            yield Announce(reason, _of_deed(facts, deed)[1] + often, warning=True)


def _of_deed(facts: Facts, deed: EnsureWeights | EnsureSelector) -> tuple[str, str]:
    match deed:
        case EnsureWeights(percent):
            live = "unreadable" if facts.live is None else f"{facts.live} %"
            return "TrafficWeightUpdated", f"canary weight {live} to {percent} %"
        case EnsureSelector(service, revision):
            whom = f"revision {revision}" if revision else "all pods again"
            return "SwitchService", f"Service {service} selects {whom}"


def _of_conditions(before: RolloutStatus, after: RolloutStatus) -> Iterator[Announce]:
    was = {condition.type: condition.status for condition in before.conditions}
    for condition in after.conditions:
        late = condition.reason == "ProgressDeadlineExceeded" and condition.status == "False"
        if late and was.get(condition.type) != "False":
            yield Announce(condition.reason, condition.message, warning=True)
        if condition.type is ConditionType.STEPS_TOO_SHORT:
            if condition.status == "True" and was.get(condition.type) != "True":
                yield Announce("StepsTooShort", condition.message, warning=True)
            continue
        if condition.type not in _CHANGES or was.get(condition.type, "False") == condition.status:
            continue
        name = _CHANGES[condition.type]
        if condition.status == "True":
            yield Announce(name, condition.message, warning=True)
        else:
            yield Announce(f"{name}Over", f"{name} no longer holds")

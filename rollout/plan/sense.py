"""Which signal a turn sees. One at most; what stops a canary comes before what moves it on."""

from rollout.api.rollout import AnalysisStep, OnInconclusive, SetWeightStep
from rollout.api.status import PauseReason, RolloutStatus, Stage
from rollout.plan import clocks, history, runs, schedule
from rollout.plan import facts as ask
from rollout.plan.evidence import Outcome
from rollout.plan.facts import Facts
from rollout.plan.transitions import CARRYING, TRANSITIONS, UNDER_WAY, Signal

FATAL = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""What the kubelet says of pods that will not get well by waiting a little (fast lane P5)."""

MANY_RESTARTS = 3


def sense(facts: Facts, status: RolloutStatus) -> Signal | None:
    """The signal of this turn, the first that the present stage has an entry for."""
    for question in (_asked_outside, _revision, _harm, _forward):
        seen = question(facts, status)
        if seen is not None and seen in TRANSITIONS[status.stage]:
            return seen
    return None


def _asked_outside(facts: Facts, status: RolloutStatus) -> Signal | None:
    """Argo Rollouts' own tools write the status (D7): abort, promoteFull, retry, a pause taken away."""
    match status.stage:
        case Stage.RESETTING | Stage.STEPPING | Stage.PROMOTING | Stage.SWITCHING if status.abort:
            return Signal.ABORTED
        case Stage.STEPPING if status.promote_full:
            return Signal.PROMOTED_IN_FULL
        case Stage.STEPPING if status.controller_pause and not status.pause_conditions:
            waiting = schedule.step_at(facts.steps, status.current_step_index)
            return Signal.PAUSE_ENDED if schedule.pausing(waiting) else None
        case Stage.REFUSED if facts.observed.wanted is not None and status.promote_full:
            return Signal.PROMOTED_IN_FULL
        case Stage.REFUSED if facts.observed.wanted is not None and not status.abort:
            return Signal.RETRY
    return None


def _revision(facts: Facts, status: RolloutStatus) -> Signal | None:
    """What the spec asks for now.

    A template equal to stable's wins over everything; a refused attempt is next (rule 5).
    """
    wanted = facts.observed.wanted
    if wanted is None:
        return None
    if status.stable_rs and wanted.hash == status.stable_rs:
        return Signal.STABLE_REAPPLIED
    if status.stable_rs and history.refused(status, wanted.attempt):
        same = status.stage is Stage.REFUSED and wanted.hash == status.current_pod_hash
        return None if same else Signal.REFUSED_REVISION
    if facts.invalid:
        return None
    if wanted.hash != status.current_pod_hash or status.stage not in UNDER_WAY | {Stage.INITIAL}:
        older = history.within_window(facts, status, wanted.hash)
        return Signal.OLDER_REAPPLIED if older else Signal.NEW_REVISION
    return Signal.STEPS_CHANGED if status.stage in UNDER_WAY and facts.steps_edited(status) else None


def _harm(facts: Facts, status: RolloutStatus) -> Signal | None:
    if status.stage in CARRYING and not status.promote_full and facts.evidence.outcome is Outcome.WORSE:
        return Signal.REGRESSION
    if status.stage in CARRYING and not status.promote_full and facts.evidence.outcome is Outcome.FAILED:
        return Signal.METRIC_FAILED
    if status.stage in CARRYING and _pods_fail(facts, status):
        return Signal.PODS_FAILED
    aborts = facts.spec is not None and facts.spec.progress_deadline_abort
    if aborts and status.stage in UNDER_WAY and clocks.overdue(facts, status):
        return Signal.OVERDUE
    return None


def _pods_fail(facts: Facts, status: RolloutStatus) -> bool:
    """Fast lane P5: pods that fail while the canary carries weight or is judged, and only the canary's.

    A trouble that stable's pods have too (a registry that is down) says nothing about the canary.
    """
    canary = facts.observed.replica_set(status.current_pod_hash)
    stable = facts.observed.replica_set(status.stable_rs)
    judged = schedule.gate(schedule.step_at(facts.steps, status.current_step_index)) is not None
    if canary is None or not (facts.live or (judged and status.stage is Stage.STEPPING)):
        return False
    shared = {trouble.reason for trouble in stable.troubles} if stable else set()
    fatal = any(trouble.reason in FATAL - shared for trouble in canary.troubles)
    return fatal or (canary.restarts >= MANY_RESTARTS and (stable is None or stable.restarts == 0))


def _forward(facts: Facts, status: RolloutStatus) -> Signal | None:
    """What brings this stage to its end.

    Nothing goes forward while somebody has to mend or to decide something.
    """
    held = facts.blocked or facts.paused_by_user(status)
    match status.stage:
        case Stage.INITIAL if _first_serves(facts, status):
            return Signal.FIRST_SERVES
        case Stage.RESETTING if not held and _canary_reachable(facts, status):
            steps = bool(facts.steps) and not status.promote_full
            return Signal.CANARY_REACHABLE if steps else Signal.NOTHING_TO_STEP
        case Stage.STEPPING if not held and status.step_effect_since is not None:
            return _step(facts, status)
        case Stage.PROMOTING if not held and _canary_serves_all(facts, status):
            return Signal.CANARY_SERVES_ALL
        case Stage.SWITCHING if _stable_service_switched(facts, status):
            return Signal.SERVICE_SWITCHED
        case Stage.RETURNING if status.canary.desired_weight == 0 and facts.in_effect(status):
            return Signal.TRAFFIC_RETURNED
        case Stage.ROLLING_BACK if _back(facts, status):
            wanted = facts.observed.wanted
            as_wanted = wanted is not None and wanted.hash == status.stable_rs
            return Signal.BACK_AS_WANTED if as_wanted else Signal.BACK_ON_STABLE
    return None


def _first_serves(facts: Facts, status: RolloutStatus) -> bool:
    first, observed = status.current_pod_hash, facts.observed
    found = observed.replica_set(first)
    if found is None or facts.spec is None or facts.replicas == 0 or found.available < facts.replicas:
        return False
    services = (observed.stable_service, observed.canary_service)
    weightless = status.canary.desired_weight == 0 and facts.in_effect(status)
    return weightless and all(ask.reaches_only(service, first) for service in services)


def _canary_reachable(facts: Facts, status: RolloutStatus) -> bool:
    return (
        facts.settled_at(status, 0)
        and ask.names(facts.observed.stable_service, status.stable_rs)
        and ask.reaches_only(facts.observed.canary_service, status.current_pod_hash)
        and facts.available(status.current_pod_hash) > 0
    )


def _canary_serves_all(facts: Facts, status: RolloutStatus) -> bool:
    service = facts.observed.canary_service
    return (
        status.canary.desired_weight == 100
        and facts.in_effect(status)
        and facts.available(status.current_pod_hash) >= facts.replicas > 0
        and service is not None
        and service.ready_of(status.current_pod_hash) >= facts.replicas
    )


def _stable_service_switched(facts: Facts, status: RolloutStatus) -> bool:
    """Read back, settled, and reaching as many pods as serve all traffic through the canary Service."""
    new, stable, canary = (
        status.current_pod_hash,
        facts.observed.stable_service,
        facts.observed.canary_service,
    )
    if stable is None or canary is None or not (stable.settled and ask.reaches_only(stable, new)):
        return False
    serving = min(canary.ready_of(new), facts.replicas)
    return status.canary.desired_weight == 100 and facts.in_effect(status) and stable.ready_of(new) >= serving


def _back(facts: Facts, status: RolloutStatus) -> bool:
    services = (facts.observed.stable_service, facts.observed.canary_service)
    return facts.settled_at(status, 0) and all(ask.names(service, status.stable_rs) for service in services)


def _step(facts: Facts, status: RolloutStatus) -> Signal | None:
    """Whether the step whose effect was read back is over, and no requests contradict it (D2)."""
    if facts.evidence.outcome is Outcome.MISROUTED:
        return None
    step = schedule.step_at(facts.steps, status.current_step_index)
    if facts.evidence.outcome is Outcome.INCONCLUSIVE:
        return _unanswered(facts, status)
    if ask.pauses(status, PauseReason.INCONCLUSIVE):
        return None
    if step is None:
        return _end(facts, status)
    if schedule.gate(step) is not None:
        return _judged(facts, status)
    due = schedule.pause_ends(step, status)
    passed = isinstance(step, SetWeightStep) or (due is not None and facts.now >= due)
    return Signal.STEP_PASSED if passed else None


def _end(facts: Facts, status: RolloutStatus) -> Signal | None:
    """Background analysis is awaited at the end (D1): no promotion without proof at the last weight (I6)."""
    background = facts.canary is not None and facts.canary.analysis is not None
    return Signal.ALL_PASSED if not background or _proved(facts, status) else None


def _proved(facts: Facts, status: RolloutStatus) -> bool:
    """Whether this step's own evidence says not worse, on the record of the run that gathers it."""
    inline = isinstance(schedule.step_at(facts.steps, status.current_step_index), AnalysisStep)
    if not runs.begun(facts, status, str(status.current_step_index) if inline else runs.BACKGROUND):
        return False
    here = schedule.evidence_key(facts.steps, status.current_step_index)
    return facts.evidence.outcome is Outcome.NOT_WORSE and facts.evidence.step_key == here


def _judged(facts: Facts, status: RolloutStatus) -> Signal | None:
    gate = schedule.gate(schedule.step_at(facts.steps, status.current_step_index))
    assert gate is not None, "only a gate is judged"
    judged_for = schedule.judged_for(status, facts.now)
    if _proved(facts, status) and judged_for >= schedule.least(gate):
        return Signal.STEP_PASSED
    if facts.evidence.outcome.holds or judged_for < gate.max_duration:
        return None
    return _given_up(facts, status, gate.on_inconclusive) or Signal.STEP_HELD


def _unanswered(facts: Facts, status: RolloutStatus) -> Signal | None:
    """A metric stays without an answer: nothing goes forward, no timed pause either.

    Whoever resumes has it looked at again: what was measured before that holds nobody up.
    """
    told, since = facts.evidence.decided_at, status.step_effect_since
    looked_again = told is not None and since is not None and told < since
    if ask.pauses(status, PauseReason.INCONCLUSIVE) or looked_again:
        return None
    gate = schedule.gate(schedule.step_at(facts.steps, status.current_step_index))
    asked = gate.on_inconclusive if gate is not None else OnInconclusive.PAUSE
    return _given_up(facts, status, asked) or Signal.UNANSWERED


def _given_up(facts: Facts, status: RolloutStatus, asked: OnInconclusive) -> Signal | None:
    """What the policy asks for where nothing will be proved; None: a pause."""
    here = schedule.evidence_key(facts.steps, status.current_step_index)
    compatible = facts.evidence.compatible and facts.evidence.step_key == here
    match asked:
        case OnInconclusive.ROLLBACK:
            return Signal.INCONCLUSIVE
        case OnInconclusive.PROMOTE_IF_COMPATIBLE if compatible:
            return Signal.STEP_COMPATIBLE
    return None

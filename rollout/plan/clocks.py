"""Clocks of a turn: how long the weight is read back, nothing came closer, judgement stood still."""

from datetime import timedelta

from rollout.api.rollout import SetWeightStep
from rollout.api.status import PauseReason, RolloutStatus, Stage
from rollout.plan import facts as ask
from rollout.plan import schedule
from rollout.plan.facts import Facts
from rollout.plan.transitions import AT_REST

PROGRESS_DEADLINE_SECONDS = 600
"""Argo Rollouts' default, for as long as the spec can't be read."""


def tick(facts: Facts, status: RolloutStatus) -> RolloutStatus:
    """All clocks as of now; ticking twice at one time is ticking once."""
    return _judgement(facts, _progress(facts, _read_back(facts, status)))


def _read_back(facts: Facts, status: RolloutStatus) -> RolloutStatus:
    weight = status.canary.desired_weight
    reached = _reached(facts, status)
    since = (status.weight_since or facts.now) if reached and facts.reads_back(weight) else None
    status = status.model_copy(update={"weight_since": since})
    seen = facts.in_effect(status) and _is_the_steps_weight(facts, status)
    effect = (status.step_effect_since or facts.now) if seen else None
    return status.model_copy(update={"step_effect_since": effect})


def _reached(facts: Facts, status: RolloutStatus) -> bool:
    """Whether the Services that share the traffic reach whom they shall: a weight says nothing without."""
    stable, canary = facts.observed.stable_service, facts.observed.canary_service
    split = status.stage in {Stage.STEPPING, Stage.PROMOTING} and status.canary.desired_weight < 100
    if split and not ask.names(stable, status.stable_rs):
        return False
    return status.canary.desired_weight == 0 or ask.names(canary, status.current_pod_hash)


def _is_the_steps_weight(facts: Facts, status: RolloutStatus) -> bool:
    """A rescue (invariant I1) may have taken the weight elsewhere; that is no step's effect."""
    if status.stage is not Stage.STEPPING or facts.spec is None or facts.steps_edited(status):
        return True
    return status.canary.desired_weight == schedule.level(facts.steps, status.current_step_index)


def _progress(facts: Facts, status: RolloutStatus) -> RolloutStatus:
    """The progress clock (D9): only more pods than ever before are progress, pods that flip are none."""
    counting = _waits_for_the_world(facts, status)
    available = facts.available(status.current_pod_hash)
    if status.stage in AT_REST and not counting:
        return _with_clock(status, None, 0.0, 0)
    if counting and available > status.progress_best:
        return _with_clock(status, facts.now, 0.0, available)
    if counting and status.progress_since is None:
        return _with_clock(status, facts.now, status.progress_spent_seconds, status.progress_best)
    if not counting and status.progress_since is not None:
        spent = status.progress_spent_seconds + (facts.now - status.progress_since).total_seconds()
        return _with_clock(status, None, spent, status.progress_best)
    return status


def _with_clock(status: RolloutStatus, since: object, spent: float, best: int) -> RolloutStatus:
    return status.model_copy(
        update={"progress_since": since, "progress_spent_seconds": spent, "progress_best": best}
    )


def _waits_for_the_world(facts: Facts, status: RolloutStatus) -> bool:
    """Whether pods, endpoints or routes are waited for, rather than a time, a proof or a person."""
    if facts.replicas == 0:
        return False
    match status.stage:
        case Stage.STABLE:
            return facts.available(status.stable_rs) < facts.replicas
        case Stage.REFUSED:
            return False
        case Stage.STEPPING if not facts.paused_by_user(status) and not status.pause_conditions:
            step = schedule.step_at(facts.steps, status.current_step_index)
            return isinstance(step, SetWeightStep) or status.step_effect_since is None
        case Stage.RESETTING | Stage.PROMOTING | Stage.STEPPING:
            return not facts.paused_by_user(status) and status.stage is not Stage.STEPPING
        case _:
            return True


def overdue(facts: Facts, status: RolloutStatus) -> bool:
    """Whether the progress deadline has passed."""
    seconds = facts.spec.progress_deadline_seconds if facts.spec else PROGRESS_DEADLINE_SECONDS
    due = schedule.deadline(status, seconds)
    return due is not None and facts.now >= due


def _judgement(facts: Facts, status: RolloutStatus) -> RolloutStatus:
    """A step's maximum does not run while it is blind, held by a person, or before its effect was seen."""
    gate = schedule.gate(schedule.step_at(facts.steps, status.current_step_index))
    if status.stage is not Stage.STEPPING or status.step_effect_since is None or gate is None:
        return status.model_copy(update={"blind_since": None, "blind_seconds": 0.0})
    still = (
        facts.evidence.outcome.holds
        or facts.blocked
        or facts.paused_by_user(status)
        or ask.pauses(status, PauseReason.INCONCLUSIVE)
    )
    if still and status.blind_since is None:
        return status.model_copy(update={"blind_since": facts.now})
    if not still and status.blind_since is not None:
        stood: timedelta = facts.now - status.blind_since
        seconds = status.blind_seconds + stood.total_seconds()
        return status.model_copy(update={"blind_since": None, "blind_seconds": seconds})
    return status

"""What a Rollout's steps will ask of the judge: holds as plans and simulations take them. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from analysis.holds import GivenUp, Hold
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.rollout import (
    STEP_KINDS,
    BackgroundAnalysis,
    OnInconclusive,
    PauseStep,
    RolloutSpec,
    Step,
)
from rollout.measure.policy import active_in, measured_in
from rollout.plan import replicas, schedule
from rollout.plan.observed import UNKNOWN_PLANE, Plane
from rollout.workloads.runs import Templates, metrics

NOTHING_KNOWN: Mapping[str, str] = MappingProxyType({})
_GIVEN_UP = {
    OnInconclusive.PAUSE: GivenUp.WAIT,
    OnInconclusive.ROLLBACK: GivenUp.ROLL_BACK,
    OnInconclusive.PROMOTE_IF_COMPATIBLE: GivenUp.PROMOTE_IF_COMPATIBLE,
}


def asked_of(
    spec: RolloutSpec,
    templates: Templates,
    plane: Plane = UNKNOWN_PLANE,
    values: Mapping[str, str] = NOTHING_KNOWN,
) -> AnalysisRunSpec:
    """What the background run of a spec would ask; placeholders are left open where there are no `values`.

    Raises:
        InvalidSpec: as `rollout.workloads.runs.metrics`.
    """
    background = spec.strategy.canary.analysis
    rates = (
        {
            "false_rollback": background.false_rollback,
            "false_promotion": background.false_promotion,
            "calibrate": background.calibrate,
        }
        if background
        else {}
    )
    return AnalysisRunSpec(metrics=metrics(spec, templates, values, plane), **rates)


def holds_of(spec: RolloutSpec, run: AnalysisRunSpec) -> tuple[Hold, ...]:
    """The steps at which time passes while the canary has traffic, in order.

    A pause without a duration ends when somebody says so: it is no part of the plan.
    """
    canary = spec.strategy.canary
    holds: list[Hold] = []
    key = ""
    for index, step in enumerate(canary.steps):
        weight = schedule.level(canary.steps, index)
        times = _times(step)
        if times is None or weight == 0:
            continue
        fresh = schedule.evidence_key(canary.steps, index)
        holds.append(
            Hold(
                step=str(index),
                weight=weight / 100,
                least=times[0],
                most=times[1],
                gates=active_in(run, str(index)) if schedule.gate(step) else frozenset(),
                measured=_measured(run, index, canary.analysis),
                fresh=fresh != key,
                pods=_pods(spec, weight),
                given_up=_given_up(step),
            )
        )
        key = fresh
    return tuple(holds)


def kind_of(spec: RolloutSpec, hold: Hold) -> str:
    """What kind of step a hold is."""
    return STEP_KINDS[type(spec.strategy.canary.steps[int(hold.step)])]


def _times(step: Step) -> tuple[timedelta, timedelta] | None:
    gate = schedule.gate(step)
    if gate is not None:
        return schedule.least(gate), gate.max_duration
    if isinstance(step, PauseStep) and step.pause.duration is not None:
        return step.pause.duration, step.pause.duration
    return None


def _given_up(step: Step) -> GivenUp:
    gate = schedule.gate(step)
    return _GIVEN_UP[gate.on_inconclusive] if gate is not None else GivenUp.WAIT


def _measured(run: AnalysisRunSpec, index: int, background: BackgroundAnalysis | None) -> frozenset[str]:
    begun = background is not None and index >= background.starting_step
    names = {metric.name for metric in measured_in(run, str(index))}
    return frozenset(name for name in names if begun or "@" in name)


def _pods(spec: RolloutSpec, weight: int) -> tuple[int, int]:
    """Of canary and stable; stable keeps all of its pods until the end."""
    wanted = max(spec.replicas if spec.replicas is not None else 1, 1)
    return replicas.canary(weight, wanted, spec.strategy.canary.min_pods_per_replica_set), wanted

"""AnalysisRuns: their deterministic names, when they begin, and with which phase they end.

A run that was stopped early is Inconclusive, never Successful (D1).
"""

from collections.abc import Iterator

from rollout.api.rollout import AnalysisStep
from rollout.api.status import RolloutStatus, RunStatus, Stage, Verdict
from rollout.plan import schedule
from rollout.plan.actions import EnsureRun, FinishRun
from rollout.plan.evidence import Outcome
from rollout.plan.facts import Facts
from rollout.plan.observed import Run
from rollout.plan.transitions import CARRYING, Signal

BACKGROUND = "background"
ATTEMPT_LENGTH = 8
OVER = frozenset({"Successful", "Failed", "Error", "Inconclusive"})


def run_name(rollout: str, revision: str, attempt: str, role: str) -> str:
    """The name of a run: `<rollout>-<hash>-<attempt>-<step|background>`, the attempt's key shortened.

    >>> run_name("shop", "6c9f7d", "bcdfghjklmnpqrst", "background")
    'shop-6c9f7d-bcdfghjk-background'
    >>> run_name("shop", "6c9f7d", "bcdfghjklmnpqrst.2", "3")
    'shop-6c9f7d-bcdfghjk.2-3'
    """
    key, again, number = attempt.partition(".")
    return f"{rollout}-{revision}-{key[:ATTEMPT_LENGTH]}{again}{number}-{role}"


def roles(facts: Facts, status: RolloutStatus) -> tuple[str, ...]:
    """The runs that judge now: the one in the background and the one of this step.

    The background run exists wherever there is any analysis, because it carries the evidence of harm for the
    whole rollout. It begins when the canary's traffic was seen, not when it was asked for: before, there is
    nothing to judge.
    """
    if facts.canary is None or status.stage not in CARRYING or status.promote_full:
        return ()
    found = []
    index = status.current_step_index or 0
    starting = facts.canary.analysis.starting_step if facts.canary.analysis else 0
    seen = facts.live and status.weight_since is not None and index >= starting
    if schedule.judged(facts.canary) and (seen or begun(facts, status, BACKGROUND)):
        found.append(BACKGROUND)
    inline = isinstance(schedule.step_at(facts.steps, index), AnalysisStep) and status.stage is Stage.STEPPING
    if inline and (status.step_effect_since is not None or begun(facts, status, str(index))):
        found.append(str(index))
    return tuple(found)


def _named(facts: Facts, status: RolloutStatus, role: str) -> str:
    return run_name(facts.observed.name, status.current_pod_hash, status.attempt, role)


def begun(facts: Facts, status: RolloutStatus, role: str) -> bool:
    """Whether the run of `role` is there."""
    return any(run.name == _named(facts, status, role) for run in facts.observed.runs)


def wanted(facts: Facts, status: RolloutStatus) -> Iterator[EnsureRun]:
    """Runs to begin. None begins while something has to be mended: it would ask the wrong questions."""
    if facts.invalid:
        return
    for role in roles(facts, status):
        if not begun(facts, status, role):
            yield EnsureRun(_named(facts, status, role), role, status.attempt, status.current_pod_hash)


def finished(facts: Facts, before: RolloutStatus, after: RolloutStatus) -> Iterator[FinishRun]:
    """Runs to end: all of ours that no longer judge, with the phase that the status remembers of them."""
    if facts.canary is None and after.stage in CARRYING:
        return
    judging = {_named(facts, after, role) for role in roles(facts, after)}
    for run in facts.observed.runs:
        if run.name not in judging and run.phase not in OVER:
            yield FinishRun(run.name, *_ending(run, before, after))


def _ending(run: Run, before: RolloutStatus, after: RolloutStatus) -> tuple[str, str]:
    for status in (after, before):
        for known in (
            status.canary.current_background_analysis_run_status,
            status.canary.current_step_analysis_run_status,
        ):
            if known is not None and known.name == run.name and known.status in OVER:
                return known.status, known.message
    return "Inconclusive", "stopped: what it judged is no longer under way"


def remembered(
    facts: Facts, status: RolloutStatus, signal: Signal | None, before: RolloutStatus
) -> RolloutStatus:
    """The status with what is known of both runs, their endings included."""
    background = _status_of(facts, before, BACKGROUND, before.canary.current_background_analysis_run_status)
    index = str(before.current_step_index or 0)
    step = _status_of(facts, before, index, before.canary.current_step_analysis_run_status)
    if signal is not None and before.stage in CARRYING:
        background = _ended(background, *_background_end(facts, status))
        step = _ended(step, *_step_end(facts, status, signal))
    canary = status.canary.model_copy(
        update={
            "current_background_analysis_run_status": background,
            "current_step_analysis_run_status": step,
        }
    )
    return status.model_copy(update={"canary": canary})


def _status_of(facts: Facts, status: RolloutStatus, role: str, known: RunStatus | None) -> RunStatus | None:
    """The run of `role` as observed; else what was remembered. An ending that was decided stays decided."""
    name = _named(facts, status, role)
    found = next((run for run in facts.observed.runs if run.name == name), None)
    if found is None or (known is not None and known.name == name and known.status in OVER):
        return known
    return RunStatus(name=name, status=found.phase, message=found.message)


def _ended(run: RunStatus | None, phase: str, message: str) -> RunStatus | None:
    if run is None or not phase or run.status in OVER:
        return run
    return run.model_copy(update={"status": phase, "message": message})


def _background_end(facts: Facts, after: RolloutStatus) -> tuple[str, str]:
    match after.stage:
        case Stage.RETURNING:
            return (
                "Successful" if after.verdict is Verdict.PROMOTED and not after.exception else "Inconclusive"
            ), (after.verdict_reason)
        case Stage.ROLLING_BACK | Stage.RESETTING:
            return _harmed(facts), after.verdict_reason
    return "", ""


def _step_end(facts: Facts, after: RolloutStatus, signal: Signal) -> tuple[str, str]:
    if signal is Signal.STEP_PASSED:
        return "Successful", facts.evidence.reason
    if signal in {Signal.STEP_HELD, Signal.UNANSWERED}:
        return "", ""
    return _harmed(facts), signal.value


def _harmed(facts: Facts) -> str:
    return "Failed" if facts.evidence.outcome in (Outcome.WORSE, Outcome.FAILED) else "Inconclusive"

"""`--plot` of one rollout, live or replayed: what of it is drawn."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from analysis.policy import InvalidPolicy, Policy
from rollout.api.analysisrun import parse_analysis_run
from rollout.api.errors import InvalidSpec
from rollout.cli import drawing
from rollout.cli.failure import Failure
from rollout.measure import course
from rollout.measure.policy import policy_of
from rollout.replay.playing import Turn
from rollout.show.outlook import minutes
from rollout.show.replayed import Replayed

MOST_METRICS = 3
"""In a picture; more of them are too small to read."""
CLOCK = "since the canary began"
_ENDS = {"Successful": "promoted", "Failed": "rolled back", "Inconclusive": "inconclusive"}


def draw_replay(file: Path, policy: Policy, told: Replayed, turns: Sequence[Turn]) -> None:
    """The evidence of a replay over time. Raises Failure where there is none, or it can't be written."""
    sights = [turn.measured.sight for turn in turns if turn.measured.sight is not None]
    judged = [turn.measured.judgement for turn in turns if turn.measured.judgement is not None]
    if not sights or not judged:
        raise Failure(f"--plot {file}: nothing was judged: there is nothing to draw")
    took = minutes((told.at - told.began) / timedelta(minutes=1))
    column = drawing.Column(
        title=f"Canary {told.canary} against {told.stable}" if told.canary else "Canary against stable",
        subtitle=f"since {told.began:%Y-%m-%d %H:%M:%S} UTC\n{told.end.words} after {took}",
        sights=sights,
        ratios=_ratios(policy, {each.name: each.counted.stable.rate for each in judged[-1].metrics}),
        ends=told.end.words,
    )
    drawing.draw(file, f"{told.name}, replayed", policy.alpha, policy.beta, [column], CLOCK)


def draw_run(file: Path, rollout: str, run: Mapping[str, Any]) -> None:
    """The evidence of an AnalysisRun over time, as far as it is recorded.

    Raises:
        Failure: there is none, the run can't be read, or the file can't be written.
    """
    name, status = run["metadata"]["name"], run.get("status") or {}
    recorded = status.get("course") or {}
    sights = course.sights(recorded)
    try:
        asked = parse_analysis_run(run).spec
        policy = policy_of(asked)
    except (InvalidSpec, InvalidPolicy) as invalid:
        raise Failure(f"AnalysisRun {name}: {invalid}") from invalid
    if not sights or not policy.metrics:
        raise Failure(f"--plot {file}: AnalysisRun {name} has recorded no evidence yet")
    took = minutes(sights[-1].minutes)
    end = _ENDS.get(status.get("phase", ""), "")
    column = drawing.Column(
        title=f"Canary {asked.canary} against {asked.stable}",
        subtitle=f"since {course.began(recorded):%Y-%m-%d %H:%M:%S} UTC\n"
        + (f"{end} after {took}" if end else f"under way for {took}"),
        sights=sights,
        ratios=_ratios(policy, {each["metric"]: _rate(each) for each in status.get("evidence") or ()}),
        ends=end,
    )
    drawing.draw(file, rollout, policy.alpha, policy.beta, [column], CLOCK)


def _rate(evidence: Mapping[str, Any]) -> float | None:
    stable = evidence.get("stable") or {}
    return stable["bad"] / stable["total"] if stable.get("total") else None


def _ratios(policy: Policy, stable: Mapping[str, float | None]) -> list[drawing.Ratio]:
    """Of the metrics that may roll back first, then of the others; `stable` maps them to stable's rates."""
    chosen = sorted(policy.metrics, key=lambda metric: not metric.role.rolls_back)[:MOST_METRICS]
    return [drawing.ratio_of(metric, stable.get(metric.name)) for metric in chosen]

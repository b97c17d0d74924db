"""What `rollout plan` says of an act before it plays, and how long its evidence really took."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from analysis.metric import Proportion
from analysis.planning import QUANTILES, Spread, forecast
from rollout.api.analysis import parse_analysis_template
from rollout.api.parsing import parse
from rollout.api.rollout import KIND
from rollout.api.status import Stage
from rollout.demo.glimpse import Glimpse
from rollout.measure.ahead import asked_of, holds_of
from rollout.measure.policy import policy_of

OUTSIDE = 0.001
"""The share of rollouts that may be faster than the range, and that may be slower."""
LATE_S = 3.0
"""Of each judgement: a scrape comes once a second, is seen when the next one is due, and pods share a CPU."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Seconds of evidence that a version needs: what to expect, and what only `OUTSIDE` of them leave."""

    low_s: float
    expected_s: float
    high_s: float
    judgements: int

    def holds(self, seconds: float) -> bool:
        """Whether so much is within the range, and what looks and scrapes add."""
        return math.floor(self.low_s) <= seconds <= self.high_s + LATE_S * self.judgements

    def __str__(self) -> str:
        return f"{self.low_s:.0f} to {self.high_s:.0f} s"


def foreseen(folder: Path, *, rps: float, stable: float, canary: float) -> Foreseen:
    """What the manifests of `folder` foresee for a version that fails a share `canary` of its requests.

    It is proved worse where that is more than `stable`, else it is proved good at each step.
    """
    bodies = [body for file in sorted(folder.glob("*.yaml")) for body in yaml.safe_load_all(file.read_text())]
    found = next(parse(KIND, body) for body in bodies if body["kind"] == KIND.name)
    templates = {
        (body["metadata"]["name"], False): parse_analysis_template(body).spec
        for body in bodies
        if body["kind"] == "AnalysisTemplate"
    }
    run = asked_of(found.spec, templates)
    policy, holds = policy_of(run), holds_of(found.spec, run)
    shares = {metric.name: stable for metric in policy.metrics if isinstance(metric.kind, Proportion)}

    def minutes(*quantiles: float) -> Spread:
        told = forecast(
            policy, holds, 60 * rps, shares, bad=(next(iter(shares)), canary), quantiles=quantiles
        )
        found = told.bad_minutes if canary > stable else told.good_minutes
        assert found is not None, "a bad version was asked for"
        return found

    widest = minutes(OUTSIDE, 0.5, 1 - OUTSIDE)
    judgements = len(holds) if canary <= stable else 1
    return Foreseen(60 * widest.low, 60 * minutes(*QUANTILES).expected, 60 * widest.high, judgements)


@dataclass(slots=True)
class Stopwatch:
    """How long judgements of one commit were in effect."""

    _spans: dict[int, tuple[datetime, datetime]] = field(default_factory=dict)

    def see(self, now: Glimpse, commit: str) -> None:
        """One look."""
        seen = now.rollout
        if seen is None or seen.status.source is None or seen.status.source.commit != commit:
            return
        status, index = seen.status, seen.status.current_step_index
        if status.stage is not Stage.STEPPING or index is None or status.step_effect_since is None:
            return
        if index < len(seen.steps) and _judges(seen.steps[index]):
            self._spans[index] = (status.step_effect_since, now.at)

    @property
    def seconds(self) -> float:
        """In all."""
        return sum((until - since).total_seconds() for since, until in self._spans.values())


def _judges(step: Mapping[str, Any]) -> bool:
    return "judge" in step or "analysis" in step

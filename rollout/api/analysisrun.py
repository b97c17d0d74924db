"""The record of one judgement: what was asked, how far every test is, and the verdict."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from rollout.api.analysis import METRICS_LIMIT, Metric
from rollout.api.base import Manifest, Model, Share, Switch
from rollout.api.meta import ObjectMeta
from rollout.api.parsing import Kind, parse
from rollout.api.rollout import Argument
from rollout.api.status import MetricEvidence
from rollout.api.unsupported import ANALYSIS_RUN


class AnalysisRunSpec(Model):
    """What was asked, as it stood when the run began; changing a template never touches a run."""

    args: tuple[Argument, ...] = Field((), max_length=64)
    """Arguments with their values."""
    metrics: tuple[Metric, ...] = Field((), max_length=METRICS_LIMIT)
    """The metrics of all templates, placeholders filled in."""
    terminate: Switch = False
    """Stop measuring; what was not proved by then stays unproved."""
    false_rollback: Share = 0.01
    """Alpha (ours): of the whole rollout."""
    false_promotion: Share = 0.05
    """Beta (ours): for each guardrail and step."""
    role: Annotated[str, Field(max_length=63)] = ""
    """`background`, or the step's index (ours)."""
    attempt: Annotated[str, Field(max_length=63)] = ""
    """The attempt key of the Rollout's spec (ours)."""
    canary: Annotated[str, Field(max_length=63)] = ""
    """The canary's pod template hash (ours)."""
    stable: Annotated[str, Field(max_length=63)] = ""
    """The stable version's pod template hash (ours)."""


class AnalysisRunStatus(Model):
    """How far it is."""

    phase: str = ""
    """Pending, Running, Successful, Failed, Error or Inconclusive."""
    message: str = ""
    """Why."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    evidence: tuple[MetricEvidence, ...] = Field((), max_length=METRICS_LIMIT)
    """For each metric: samples of both versions, estimate, interval, margins, verdict, query."""
    checkpoint: Mapping[str, Any] = {}
    """The state of every test, so that a restart resumes exactly; nobody else reads it."""


class AnalysisRun(Model):
    """The record of one judgement."""

    metadata: ObjectMeta
    spec: AnalysisRunSpec


RUN_KIND = Kind("AnalysisRun", AnalysisRun, ANALYSIS_RUN)


def parse_analysis_run(manifest: Manifest) -> AnalysisRun:
    """The AnalysisRun that `manifest` describes.

    Raises:
        InvalidSpec: with every problem that is found, not only the first.
    """
    return parse(RUN_KIND, manifest)

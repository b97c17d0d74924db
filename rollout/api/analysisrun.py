"""The record of one judgement: what was asked, how far every test is, and the verdict."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from rollout.api.analysis import METRICS_LIMIT, AnyMetric, Metric
from rollout.api.base import Duration, Manifest, Model, Share, Switch
from rollout.api.measurements import MetricResult
from rollout.api.meta import ObjectMeta
from rollout.api.naming import DryRun, MeasurementRetention
from rollout.api.parsing import Kind, parse
from rollout.api.rollout import Argument
from rollout.api.status import MetricEvidence
from rollout.api.threshold import Threshold
from rollout.api.unsupported import ANALYSIS_RUN


class AnalysisRunSpec(Model):
    """What was asked, as it stood when the run began; changing a template never touches a run."""

    args: tuple[Argument, ...] = Field((), max_length=64)
    """Arguments with their values."""
    metrics: tuple[AnyMetric, ...] = Field((), max_length=METRICS_LIMIT)
    """The metrics of all templates, placeholders filled in."""
    dry_run: tuple[DryRun, ...] = Field((), max_length=METRICS_LIMIT)
    """Metrics that are measured and shown, and decide nothing."""
    measurement_retention: tuple[MeasurementRetention, ...] = Field((), max_length=METRICS_LIMIT)
    """How many measurements are shown of which metrics; by default 10."""
    terminate: Switch = False
    """Stop measuring; what was not proved by then stays unproved."""
    false_rollback: Share = 0.01
    """Alpha (ours): of the whole rollout."""
    false_promotion: Share = 0.05
    """Beta (ours): for each guardrail and step."""
    calibrate: Duration | None = None
    """So much of stable's recorded history tells how noisy metrics are (ours)."""
    role: Annotated[str, Field(max_length=63)] = ""
    """`background`, or the step's index (ours)."""
    attempt: Annotated[str, Field(max_length=63)] = ""
    """The attempt key of the Rollout's spec (ours)."""
    canary: Annotated[str, Field(max_length=63)] = ""
    """The canary's pod template hash (ours)."""
    stable: Annotated[str, Field(max_length=63)] = ""
    """The stable version's pod template hash (ours)."""

    @property
    def compared(self) -> tuple[Metric, ...]:
        """Metrics that compare the canary with the stable version."""
        return tuple(metric for metric in self.metrics if isinstance(metric, Metric))

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """Metrics that hold measurements against conditions."""
        return tuple(metric for metric in self.metrics if isinstance(metric, Threshold))


class MetricNoise(Model):
    """How noisy a metric was in stable's recorded history."""

    metric: str
    phi: float = 1.0
    """What its evidence is divided by."""
    tau: float = 0.0
    """The standard deviation, from pod to pod, of the logarithm of its rate."""
    pods: int = 0
    """Of how many pods."""
    report: str = ""
    """A sentence for people."""


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
    metric_results: tuple[MetricResult, ...] = Field((), max_length=METRICS_LIMIT)
    """For each threshold metric: its measurements, and how far it is."""
    noise: tuple[MetricNoise, ...] | None = Field(None, max_length=METRICS_LIMIT)
    """What the calibration found; absent before it is done, or where none was asked for."""
    checkpoint: Mapping[str, Any] = {}
    """The state of every test, so that a restart resumes exactly; nobody else reads it."""
    course: Mapping[str, Any] = {}
    """What the evidence was over time, thinned to some dozens of looks: what `rollout get --plot` draws."""


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

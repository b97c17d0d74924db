"""What the status of an AnalysisRun says of threshold metrics, and how far each is."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from rollout.api.base import Model, Switch


class MeasurementPhase(StrEnum):
    """How a measurement, or a metric, stands."""

    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


class MeasurementRecord(Model):
    """One measurement."""

    phase: MeasurementPhase
    started_at: datetime
    finished_at: datetime
    value: str = ""
    """What the query gave: `0.993`, or `[0.993,1]`."""
    message: str = ""
    """Why it is as it is."""
    refused: Switch = False
    """Whether somebody has to mend the query or a condition (ours)."""


class TallyRecord(Model):
    """How many measurements of each kind (ours)."""

    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0


class MetricResult(Model):
    """How far a threshold metric is: what is shown of it, and all that a restart needs."""

    name: str
    phase: MeasurementPhase
    message: str = ""
    """Why."""
    count: int = 0
    """Measurements in all, without errors."""
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0
    measurements: tuple[MeasurementRecord, ...] = ()
    """The last ones."""
    dry_run: Switch = False
    """Whether it decides nothing."""
    metadata: Mapping[str, str] = {}
    """ResolvedPrometheusQuery: what was asked."""
    step: str = ""
    """The step whose measurements let it pass (ours)."""
    step_since: datetime
    """Since when that step's effect is seen (ours)."""
    round_since: datetime
    """When what the limits count began (ours)."""
    in_step: TallyRecord = TallyRecord()
    """Measurements of this step (ours)."""
    in_round: TallyRecord = TallyRecord()
    """Measurements that the limits count (ours)."""

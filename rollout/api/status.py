"""What is remembered between two turns: the status of a Rollout.

A superset of Argo Rollouts' status. What is called desired was written before acting on it; what is called
observed was read back. The stage is where the state machine stands (`rollout.plan.transitions`); the phase is
what a person reads.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from rollout.api.base import Model

MESSAGE_LIMIT_BYTES = 1024
EVIDENCE_LIMIT = 32
HISTORY_LIMIT = 10
REFUSED_LIMIT = 20
PROMOTED_LIMIT = 20
"""How many promoted versions are remembered besides the stable one."""


class Phase(StrEnum):
    """Argo Rollouts' phases."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"


class Stage(StrEnum):
    """Where the state machine stands; the table in `rollout.plan.transitions` says what leads where."""

    INITIAL = "Initial"
    """No stable version yet: the first revision scales up without steps."""
    STABLE = "Stable"
    """One version serves and is wanted; nothing is under way."""
    RESETTING = "Resetting"
    """A new revision: canary weight to zero and read back, then the canary Service to the new pods."""
    STEPPING = "Stepping"
    """At `currentStepIndex`."""
    PROMOTING = "Promoting"
    """All steps passed: canary to full size, then all traffic to it."""
    SWITCHING = "Switching"
    """Canary serves all: the stable Service's selector to its pods."""
    RETURNING = "Returning"
    """Both Services reach the new version: weight back to the stable Service."""
    ROLLING_BACK = "RollingBack"
    """Weight to stable, selectors back, then canary pods down."""
    REFUSED = "Refused"
    """Stable serves, Git is ahead: this attempt is refused until its spec changes or a retry is asked for."""


class Verdict(StrEnum):
    """How an attempt ended, or stands."""

    UNDECIDED = "Undecided"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"
    INCONCLUSIVE = "Inconclusive"
    """Promoted by `promoteIfCompatible`, without proof."""
    FAST_ROLLED_BACK = "FastRolledBack"
    """The stable template was applied again."""


class ConditionType(StrEnum):
    """Conditions, all of normal polarity but InvalidSpec, Paused, RolledBack, AnalysisBlind, Misrouted and
    StepsTooShort."""

    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    HEALTHY = "Healthy"
    COMPLETED = "Completed"
    INVALID_SPEC = "InvalidSpec"
    ROLLED_BACK = "RolledBack"
    ANALYSIS_BLIND = "AnalysisBlind"
    MISROUTED = "Misrouted"
    STEPS_TOO_SHORT = "StepsTooShort"


class Condition(Model):
    """A condition as Kubernetes writes it."""

    type: ConditionType
    status: str
    reason: str
    message: str = ""
    last_transition_time: datetime
    last_update_time: datetime | None = None


class PauseReason(StrEnum):
    """Why a rollout waits for somebody or for a time to pass."""

    STEP = "CanaryPauseStep"
    INCONCLUSIVE = "InconclusiveAnalysisRun"
    USER = "PausedByUser"


class PauseCondition(Model):
    """A pause under way; the start is recorded so that a restart does not reset it."""

    reason: PauseReason
    start_time: datetime


class ArmWeight(Model):
    """One arm as the traffic object showed it."""

    weight: int
    service_name: str = ""
    pod_template_hash: str = ""


class Weights(Model):
    """Observed: read back from every traffic object of this Rollout, in percent of our pair."""

    canary: ArmWeight
    stable: ArmWeight
    verified: bool | None = None
    """True when the objects' own status confirms it; None where they don't say."""


class ServiceNames(Model):
    """The Services whose selectors are ours, as the spec named them when it could last be served."""

    stable: str
    canary: str


class RunStatus(Model):
    """The AnalysisRun that speaks of this rollout."""

    name: str
    status: str
    message: str = ""


class CanaryStatus(Model):
    """The canary strategy's memory."""

    desired_weight: int = 0
    """Desired: percent of the pair that the canary may carry; written before it is acted on."""
    weights: Weights | None = None
    services: ServiceNames | None = None
    current_step_analysis_run_status: RunStatus | None = None
    current_background_analysis_run_status: RunStatus | None = None


class TakenState(StrEnum):
    """How far an intent is."""

    TAKEN = "Taken"
    CLEARED = "Cleared"


class TakenIntent(Model):
    """The last intent that was taken, and how far it is."""

    action: str
    value: str = ""
    reason: str = ""
    revision: str = ""
    by: str = ""
    set_at: datetime
    state: TakenState = TakenState.TAKEN
    outcome: str = ""
    """What became of it: `Acted`, `Superseded`, `NothingToDo`."""


class ArmSamples(Model):
    """What one arm showed: bad events out of all, or of a gauge its values' sum and their number."""

    bad: float
    total: float
    per_pod: float | None = None
    """Requests a second of each pod, in the present step."""


class Counted(StrEnum):
    """What the numbers of a metric are."""

    SHARE = "share"
    """Events out of all."""
    RATE = "rate"
    """Events in so many pod-hours."""
    MEAN = "mean"
    """A gauge."""
    MEASUREMENTS = "measurements"
    """None: the metric is held against conditions, and the reason says how its measurements stand."""


class MetricEvidence(Model):
    """What one metric says now, for people and for the record."""

    metric: str
    verdict: str
    reason: str = ""
    counted: Counted = Counted.SHARE
    canary: ArmSamples | None = None
    stable: ArmSamples | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    tolerate: str = ""
    unacceptable: str = ""
    worse_progress: float = 0.0
    """How far the evidence of harm is on its way to a rollback, 0 to 1."""
    fine_progress: float = 0.0
    """How far the evidence of safety is on its way to a pass of this step, 0 to 1."""
    query: str = ""
    noise: str = ""
    """What a calibration on recorded history found."""
    unequal_load: bool = False
    """Whether the versions' pods get so different loads that this metric may not roll back alone."""


class HistoryEntry(Model):
    """What became of a revision."""

    revision: int
    hash: str
    attempt: str = ""
    git_source: str = ""
    commit: str = ""
    """The commit that brought it; its Git note is written from this entry."""
    version: str = ""
    """The image (or images) of the template, for people."""
    verdict: Verdict
    reason: str = ""
    top_weight: int = 0
    decided_at: datetime | None = None
    """When what decided was seen: the scrape, or the intent; None where neither did."""
    at: datetime


class RefusedAttempt(Model):
    """An attempt that gets no traffic again unless the spec changes or a retry is asked for."""

    attempt: str
    hash: str = ""
    verdict: Verdict
    reason: str = ""
    at: datetime


class PromotedRevision(Model):
    """A version that became stable, and was not left by a rollback to one before it."""

    hash: str
    refused: bool = False
    """Whether it was refused since: it comes back by its steps alone."""


class SourceStatus(Model):
    """Where the manifest came from."""

    git_source: str = ""
    commit: str = ""
    path: str = ""
    branch: str = ""
    revision: str = ""
    """`main@1a2b3c4`, for the printer column."""
    subject: str = ""


class Drift(Model):
    """Writes of somebody else to our weights or selectors."""

    reason: str
    """`WeightDrift` or `SelectorDrift`."""
    seen_at: datetime
    """When one was seen last."""
    told_at: datetime
    """When an Event last told of it."""
    weight: int = 0
    """The desired weight beside which it was seen."""
    count: int = 1
    """How many were seen in a row."""


class RolloutStatus(Model):
    """All that is remembered of a Rollout between two turns."""

    observed_generation: int = 0
    phase: Phase | None = None
    message: str = ""
    conditions: tuple[Condition, ...] = ()

    stage: Stage = Stage.INITIAL
    stage_since: datetime | None = None
    turn: int = 0
    attempt: str = ""
    current_pod_hash: str = ""
    stable_rs: str = Field("", alias="stableRS")
    current_step_index: int | None = None
    step: str = ""
    """`3/8`: the step under way, for the printer column."""
    current_step_hash: str = ""
    step_since: datetime | None = None
    """When the current step began."""
    step_effect_since: datetime | None = None
    """When the current step's effect was read back; nothing is judged or timed before."""
    weight_since: datetime | None = None
    """Since when the desired weight is read back from every route; None while it is not."""
    progress_since: datetime | None = None
    """Since when the progress clock runs; None while it stands still (a pause, a judgement)."""
    progress_spent_seconds: float = 0.0
    """Seconds that the clock had run before it last stood still. Only real progress sets it back to 0: ready
    pods that flip are no progress."""
    progress_best: int = 0
    """The most canary pods ever seen available in this stage and step: only more than that is progress."""
    rollout_since: datetime | None = None
    top_weight: int = 0
    """The largest canary weight that this attempt was given."""
    verdict: Verdict | None = None
    verdict_reason: str = ""
    exception: str = ""
    """Where traffic was raised without evidence, which exception of invariant I6 allowed it."""

    abort: bool = False
    aborted_at: datetime | None = None
    promote_full: bool = False
    controller_pause: bool = False
    pause_conditions: tuple[PauseCondition, ...] = ()
    collision_count: int = 0

    intent: TakenIntent | None = None
    canary: CanaryStatus = CanaryStatus()
    evidence: tuple[MetricEvidence, ...] = ()
    evidence_not_before: datetime | None = None
    """Requests before this time are not counted where they were not counted yet: the traffic was not as
    recorded."""
    evidence_since: datetime | None = None
    """When the evidence was recorded; its numbers alone cause no write of their own for a while."""
    blind_since: datetime | None = None
    """Since when the current step's judgement stands still: no metric data, or held by a person."""
    blind_seconds: float = 0.0
    """Seconds that the current step's judgement stood still before that; its maximum does not run then."""
    history: tuple[HistoryEntry, ...] = ()
    refused: tuple[RefusedAttempt, ...] = ()
    promoted: tuple[PromotedRevision, ...] = ()
    """Versions in the order of their promotions, the stable one last: `spec.rollbackWindow` counts them."""
    source: SourceStatus | None = None
    pruned: str = ""
    """A hash of the dropped fields that the last Event `FieldsPruned` named; '' where none are dropped."""
    reduced_since: datetime | None = None
    """Since when only what decisions need is recorded, because the server refused more."""

    least_replicas: int = 0
    """Pods wanted are at least so many (D5): as many as were wanted when the canary first got traffic."""
    least_replicas_until: datetime | None = None
    """How long that holds on; None while traffic is split."""
    drift: tuple[Drift, ...] = ()
    """What somebody else wrote, one entry a reason."""

    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    hpa_replicas: int = Field(0, alias="HPAReplicas")
    """What an autoscaler sees through /scale: the stable side."""
    selector: str = ""

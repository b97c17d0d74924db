"""The Rollout: what a user asks for. Names and meaning are Argo Rollouts'; what is ours is said so."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rollout.api import rules
from rollout.api.base import Count, Duration, Manifest, Model, Share, Switch
from rollout.api.meta import LabelSelector, ObjectMeta
from rollout.api.naming import DryRun, MeasurementRetention
from rollout.api.parsing import Kind, parse
from rollout.api.status import PROMOTED_LIMIT
from rollout.api.unsupported import ROLLOUT

NAME_LIMIT = 45
"""The longest name: a ReplicaSet adds a hash of ten characters, a pod five more, and a label holds 63."""

Name = Annotated[str, Field(min_length=1, max_length=253)]
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]


class OnInconclusive(StrEnum):
    """What happens when the time for evidence is up and nothing is proved (ours)."""

    PAUSE = "pause"
    ROLLBACK = "rollback"
    PROMOTE_IF_COMPATIBLE = "promoteIfCompatible"


class TemplateRef(Model):
    """An AnalysisTemplate to judge by."""

    template_name: Name
    cluster_scope: Switch = False
    """Whether it is a ClusterAnalysisTemplate."""


class Argument(Model):
    """A value for an argument that a template declares."""

    name: Name
    value: str | None = None


class Version(StrEnum):
    """One of the two versions."""

    STABLE = "Stable"
    LATEST = "Latest"


class ValueFrom(Model):
    """Where a value comes from."""

    pod_template_hash_value: Version
    """The pod template hash of a version: Stable, or Latest, which is the canary."""


class GivenArgument(Argument):
    """A value that a Rollout gives to an argument."""

    value_from: ValueFrom | None = None
    """Where the value comes from, in place of `value`."""

    @property
    def placeholder(self) -> str | None:
        """What stands for a value that is known only when an analysis begins."""
        if self.value_from is None:
            return None
        latest = self.value_from.pod_template_hash_value is Version.LATEST
        return "{{canary.hash}}" if latest else "{{stable.hash}}"

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.value is not None and self.value_from is not None:
            raise ValueError("must have value or valueFrom, not both")
        return self


class Pause(Model):
    """Wait: for a while, or without `duration` until somebody resumes or promotes."""

    duration: Duration | None = None


class InlineAnalysis(Model):
    """An analysis that this step waits for."""

    templates: tuple[TemplateRef, ...] = Field(min_length=1, max_length=32)
    args: tuple[GivenArgument, ...] = Field((), max_length=64)
    max_duration: Duration = timedelta(minutes=10)
    """How long to look for evidence before `onInconclusive` (ours)."""
    on_inconclusive: OnInconclusive = OnInconclusive.PAUSE
    """What happens at `maxDuration` without a proof (ours): pause, rollback or promoteIfCompatible."""
    dry_run: tuple[DryRun, ...] = Field((), max_length=32)
    """Metrics of its templates that are measured and shown, and decide nothing."""
    measurement_retention: tuple[MeasurementRetention, ...] = Field((), max_length=32)
    """How many measurements are shown of which metrics; goes before what the templates say."""

    _args = field_validator("args")(rules.distinct("name"))


class Judge(Model):
    """Hold here until the background analysis has proved "not worse" at this weight (ours)."""

    min_duration: Duration = timedelta(minutes=1)
    """The least time to hold, however soon the proof is there."""
    max_duration: Duration = timedelta(minutes=10)
    """How long to look for evidence before `onInconclusive`."""
    on_inconclusive: OnInconclusive = OnInconclusive.PAUSE
    """What happens at `maxDuration` without a proof: pause, rollback or promoteIfCompatible."""

    @field_validator("max_duration")
    @classmethod
    def _longer_than_least(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        if value < info.data.get("min_duration", value):
            raise ValueError("must not be shorter than minDuration")
        return value


class SetWeightStep(Model):
    """Give the canary so many percent of the traffic."""

    set_weight: Percent
    """Percent of the traffic for the canary."""


class PauseStep(Model):
    """Wait."""

    pause: Pause
    """Wait for `duration`, or without one until somebody resumes or promotes."""


class AnalysisStep(Model):
    """Judge by templates of this step's own."""

    analysis: InlineAnalysis
    """Wait for an analysis by templates of this step's own."""


class JudgeStep(Model):
    """Judge by the background analysis."""

    judge: Judge
    """Hold here until the background analysis has proved "not worse" at this weight (ours)."""


STEP_KINDS: Mapping[type[Model], str] = {
    SetWeightStep: "setWeight",
    PauseStep: "pause",
    AnalysisStep: "analysis",
    JudgeStep: "judge",
}
"""Each kind of step by the one key it has."""


def _step_tag(value: object) -> str | None:
    """Which kind of step it is; None unless it has exactly one key."""
    if isinstance(value, Mapping):
        keys = list(value)
        return f"tag:{keys[0]}" if len(keys) == 1 else None
    return f"tag:{STEP_KINDS[type(value)]}" if isinstance(value, Model) else None


Step = Annotated[
    Annotated[SetWeightStep, Tag("tag:setWeight")]
    | Annotated[PauseStep, Tag("tag:pause")]
    | Annotated[AnalysisStep, Tag("tag:analysis")]
    | Annotated[JudgeStep, Tag("tag:judge")],
    Discriminator(
        _step_tag,
        custom_error_type="one_key",
        custom_error_message="a step has exactly one key",
    ),
]


HISTORY = (timedelta(minutes=10), timedelta(days=7))
"""The least and the most history that a calibration may ask for."""


def _history(span: timedelta) -> timedelta:
    least, most = HISTORY
    if not least <= span <= most:
        raise ValueError("must be from 10m to 168h")
    return span


class BackgroundAnalysis(Model):
    """The analysis that runs beside the steps, from `startingStep` to the end."""

    templates: tuple[TemplateRef, ...] = Field(min_length=1, max_length=32)
    args: tuple[GivenArgument, ...] = Field((), max_length=64)
    starting_step: Count = 0
    """The index of the step with which it begins."""
    false_rollback: Annotated[Share, Field(gt=0, lt=0.5)] = 0.01
    """Alpha (ours): the chance to roll back a canary that is fine, over the whole rollout, all metrics, steps
    and looks together."""
    false_promotion: Annotated[Share, Field(gt=0, lt=0.5)] = 0.05
    """Beta (ours): the chance to pass a step with an unacceptable canary, for each guardrail and step."""
    calibrate: Annotated[Duration, AfterValidator(_history)] | None = None
    """Before the first look (ours): so much of the stable pods' recorded history tells how noisy each metric
    is by itself. Default: none, metrics are taken as their templates say."""
    dry_run: tuple[DryRun, ...] = Field((), max_length=32)
    """Metrics of its templates that are measured and shown, and decide nothing."""
    measurement_retention: tuple[MeasurementRetention, ...] = Field((), max_length=32)
    """How many measurements are shown of which metrics; goes before what the templates say."""

    _args = field_validator("args")(rules.distinct("name"))


class HTTPRouteRef(Model):
    """An HTTPRoute, or one named rule of it, that splits between our two Services."""

    name: Name
    rule: Annotated[str, Field(max_length=253)] = ""
    """The rule's name; empty where exactly one rule holds our pair."""


class GatewayAPI(Model):
    """Traffic routing by the Gateway API."""

    http_routes: tuple[HTTPRouteRef, ...] = Field(alias="httpRoutes", min_length=1, max_length=16)
    """The routes whose weights are ours."""

    _routes = field_validator("http_routes")(rules.distinct("name", "rule"))


class TrafficRouting(Model):
    """Who splits the traffic."""

    gateway_api: GatewayAPI = Field(alias="gatewayAPI")
    """The Gateway API, first class (ours)."""


class Canary(Model):
    """Traffic in steps between the stable and the canary version."""

    canary_service: Name
    """The Service that reaches the canary's pods."""
    stable_service: Name
    """The Service that reaches the stable version's pods."""
    traffic_routing: TrafficRouting
    """Who splits the traffic between the two Services."""
    analysis: BackgroundAnalysis | None = None
    """The analysis that runs beside the steps."""
    steps: tuple[Step, ...] = Field((), max_length=100)
    """What happens on the way from nothing to all traffic, in order."""
    max_surge: int | str | None = None
    """Only for a canary without traffic routing; without effect beside it, as in Argo Rollouts."""
    max_unavailable: int | str | None = None
    """Only for a canary without traffic routing; without effect beside it, as in Argo Rollouts."""
    scale_down_delay_seconds: Count = 30
    """How long the old stable pods stay after a promotion."""
    scale_down_delay_revision_limit: Count | None = None
    """How many old versions keep their pods meanwhile, the newest first; absent: all."""
    abort_scale_down_delay_seconds: Count = 30
    """How long the canary's pods stay after a rollback; 0 keeps them."""
    min_pods_per_replica_set: Annotated[Count, Field(ge=1)] = 1
    """The least number of pods of a version that gets traffic."""

    _differ = field_validator("stable_service")(rules.other_than_canary_service)
    _steps = field_validator("steps")(rules.judged_with_traffic)
    _surge = field_validator("max_surge", "max_unavailable")(rules.count_or_percent)
    _room = field_validator("max_unavailable")(rules.room_to_move)


class Strategy(Model):
    """How a new version takes over."""

    canary: Canary
    """Traffic in steps between the stable and the canary version."""


class RollbackWindow(Model):
    """Which versions may come back without steps and analysis, once their pods are ready."""

    revisions: Annotated[Count, Field(le=PROMOTED_LIMIT)] = 0
    """How many versions before the stable one, counted by their promotions; 0: none."""


class RolloutSpec(Model):
    """What a Rollout asks for."""

    replicas: Count | None = None
    """Pods wanted; absent keeps the live number, else 1."""
    selector: LabelSelector
    """Which pods are ours; it can't be changed."""
    template: Mapping[str, Any]
    """The pods, as in a Deployment."""
    revision_history_limit: Count = 10
    """How many old ReplicaSets without pods are kept."""
    paused: Switch = False
    """Hold all steps and scaling."""
    progress_deadline_seconds: Annotated[Count, Field(ge=1)] = 600
    """Without progress for so long the rollout is Degraded."""
    min_ready_seconds: Count = 0
    """How long a pod must be ready before it counts as available."""
    progress_deadline_abort: Switch = False
    """Whether it is rolled back then."""
    rollback_window: RollbackWindow = RollbackWindow()
    """Which versions may come back without steps and analysis; absent: none."""
    retry: Annotated[str, Field(max_length=253)] = ""
    """A new value is a new attempt of a refused spec (ours)."""
    strategy: Strategy
    """How a new version takes over."""

    _selective = field_validator("selector")(rules.selects_something)
    _template = field_validator("template")(rules.pods_that_the_selector_finds)
    _ready = field_validator("min_ready_seconds")(rules.shorter_than_deadline)


class Rollout(Model):
    """Pods, of which a new version takes over the traffic step by step, or goes back."""

    metadata: ObjectMeta
    spec: RolloutSpec


KIND = Kind(
    "Rollout",
    Rollout,
    ROLLOUT,
    NAME_LIMIT,
    {
        "spec.strategy.canary.trafficRouting": "a canary by pod counts alone is not supported yet: "
        "name the HTTPRoutes under trafficRouting.gatewayAPI.httpRoutes",
        "spec.strategy.canary": "use strategy.canary",
    },
)


def parse_rollout(manifest: Manifest) -> Rollout:
    """The Rollout that `manifest` asks for.

    Raises:
        InvalidSpec: with every problem that is found, not only the first.
    """
    return parse(KIND, manifest)

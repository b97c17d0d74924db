"""What a canary is judged by. `compare` is ours; all else has Argo Rollouts' names."""

from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from rollout.api import rules
from rollout.api.base import Duration, Manifest, Model
from rollout.api.errors import Problem
from rollout.api.margin import Margin, Unit, margins_amiss
from rollout.api.meta import ObjectCondition, ObjectMeta
from rollout.api.parsing import Kind, parse
from rollout.api.rollout import Argument
from rollout.api.selectors import are_matchers, is_selector, placeholders, unknown_placeholders
from rollout.api.unsupported import ANALYSIS_TEMPLATE

EDGES_LIMIT = 3
METRICS_LIMIT = 32


_QUOTES = "; placeholders stand in double quotes"


def _selector(text: str) -> str:
    if not is_selector(text):
        example = 'must be a metric selector such as requests_total{code=~"5.."}, not an expression'
        raise ValueError(example + _QUOTES * bool(placeholders(text)))
    return text


def _matchers(text: str) -> str:
    if not are_matchers(text):
        raise ValueError(
            'must be matchers such as service="shop-canary"' + _QUOTES * bool(placeholders(text))
        )
    return text


Selector = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_selector)]
Matchers = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_matchers)]


class Direction(StrEnum):
    """Which change is harm."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Role(StrEnum):
    """What a metric may do: gate and roll back; gate only, as it should improve; be shown."""

    GUARDRAIL = "guardrail"
    SUCCESS = "success"
    WARN = "warn"


class ArmsPreset(StrEnum):
    """Where the arms are told apart by what a known source of metrics writes."""

    PODS = "pods"
    TRAEFIK = "traefik"
    ISTIO = "istio"
    ENVOY_GATEWAY = "envoy-gateway"
    LINKERD = "linkerd"
    NGINX_GATEWAY = "nginx-gateway"


BUILT_PRESETS = (ArmsPreset.PODS, ArmsPreset.TRAEFIK)


class Proportion(Model):
    """Bad events out of all events."""

    bad: Selector
    """The counter of bad events, counted within `total`."""
    total: Selector
    """The counter of all events."""


class Histogram(Model):
    """The share of requests slower than an edge of a classic histogram."""

    buckets: Selector
    """The histogram's `_bucket` series."""
    slo: tuple[Duration, ...] = Field(min_length=1, max_length=EDGES_LIMIT)
    """Edges: the share of slower requests must stay within the margins. Each must be a bucket's edge."""

    @field_validator("slo")
    @classmethod
    def _rising(cls, edges: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
        if edges[:1] <= (timedelta(0),) or any(low >= high for low, high in pairwise(edges)):
            raise ValueError("the edges must be above 0 and rising")
        return edges


class Rate(Model):
    """Events by exposure, in pod-hours."""

    events: Selector
    """The counter of events."""


class Arms(Model):
    """How the series of the two versions are told apart: by a preset, a label, or matchers for both."""

    preset: ArmsPreset | None = None
    """pods: namespace and pod name; traefik: the proxy's own series by Service."""
    label: Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=253)] | None = None
    """The label that holds the pod template's hash."""
    stable: Matchers | None = None
    """Matchers of the stable version's series."""
    canary: Matchers | None = None
    """Matchers of the canary's series."""

    @field_validator("preset")
    @classmethod
    def _built(cls, preset: ArmsPreset | None) -> ArmsPreset | None:
        if preset is not None and preset not in BUILT_PRESETS:
            raise ValueError(f"{preset} is not supported yet: use {' or '.join(BUILT_PRESETS)}, or matchers")
        return preset

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.stable is None) != (self.canary is None):
            raise ValueError("stable and canary belong together")
        ways = [self.preset is not None, self.label is not None, self.stable is not None]
        if sum(ways) != 1:
            raise ValueError("must have exactly one of preset, label, or stable and canary")
        return self


class Compare(Model):
    """The sequential comparison of the canary with the stable version, same traffic, same time (ours)."""

    proportion: Proportion | None = None
    """Bad events out of all events."""
    histogram: Histogram | None = None
    """Shares of requests slower than the edges of a classic histogram."""
    rate: Rate | None = None
    """Events by exposure."""
    tolerate: Margin | None = None
    """Surely acceptable: no rollback at or below it. Default: 5% and 0.02pp; of a rate 5% and 0.02/h."""
    unacceptable: Margin | None = None
    """Surely not: no promotion at or beyond it. Default: 50% and 0.25pp; of a rate 50% and 12/h."""
    direction: Direction = Direction.INCREASE
    """Which change is harm: increase or decrease."""
    role: Role = Role.GUARDRAIL
    """guardrail: gates and rolls back; success: gates; warn: is shown."""
    arms: Arms = Arms(preset=ArmsPreset.PODS)
    """How the two versions' series are told apart. Default: by pod name."""

    @property
    def measured(self) -> Proportion | Histogram | Rate:
        """What is compared."""
        found = self.proportion or self.histogram or self.rate
        assert found is not None
        return found

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of everything that may hold placeholders."""
        named = {
            ".proportion.bad": self.proportion and self.proportion.bad,
            ".proportion.total": self.proportion and self.proportion.total,
            ".histogram.buckets": self.histogram and self.histogram.buckets,
            ".rate.events": self.rate and self.rate.events,
            ".arms.stable": self.arms.stable,
            ".arms.canary": self.arms.canary,
        }
        return tuple((path, text) for path, text in named.items() if text)

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if sum(each is not None for each in (self.proportion, self.histogram, self.rate)) != 1:
            raise ValueError("must have exactly one of proportion, histogram, rate")
        unit = Unit.PER_HOUR if self.rate else Unit.POINTS
        problems = margins_amiss(self.tolerate, self.unacceptable, unit, improve=self.role is Role.SUCCESS)
        if problems:
            raise rules.WrongFieldsError(*problems)
        return self


class Prometheus(Model):
    """A Prometheus server."""

    address: Annotated[str, Field(pattern="^(https?://[^ ]+)?$", max_length=2048)] = ""
    """Where its API is: http://prometheus:9090. Default: the operator's own."""


class Provider(Model):
    """Where the numbers come from."""

    prometheus: Prometheus = Prometheus()
    """A Prometheus server."""


class Metric(Model):
    """One thing to compare."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """A name, unique in the template."""
    interval: Annotated[Duration, AfterValidator(rules.positive)] | None = None
    """How often to look. Default: the scrape interval."""
    compare: Compare
    """What is compared, and how much worse is tolerated (ours)."""
    provider: Provider = Provider()
    """Where the numbers come from. Default: the operator's own Prometheus."""


def _known_placeholders(metrics: tuple[Metric, ...], info: ValidationInfo) -> tuple[Metric, ...]:
    if "args" not in info.data:
        return metrics  # they have a problem of their own
    args = frozenset(argument.name for argument in info.data["args"])
    problems = [
        Problem(f"[{index}].compare{path}", f"nothing fills in {{{{{name}}}}}", remedy)
        for index, metric in enumerate(metrics)
        for path, text in metric.compare.selectors
        for name, remedy in unknown_placeholders(text, args)
    ]
    if problems:
        raise rules.WrongFieldsError(*problems)
    return metrics


class AnalysisTemplateSpec(Model):
    """What to judge by."""

    args: tuple[Argument, ...] = Field((), max_length=64)
    """Arguments; one without a value must be given by the Rollout."""
    metrics: tuple[Metric, ...] = Field(min_length=1, max_length=METRICS_LIMIT)
    """What is compared."""

    _args = field_validator("args")(rules.distinct("name"))
    _metrics = field_validator("metrics")(rules.distinct("name"))
    _placeholders = field_validator("metrics")(_known_placeholders)


class AnalysisTemplateStatus(Model):
    """What was said about a template."""

    observed_generation: int = 0
    """The generation that it is about."""
    conditions: tuple[ObjectCondition, ...] = ()
    """InvalidSpec."""


class AnalysisTemplate(Model):
    """What a canary is judged by."""

    metadata: ObjectMeta
    spec: AnalysisTemplateSpec


TEMPLATE_KIND = Kind("AnalysisTemplate", AnalysisTemplate, ANALYSIS_TEMPLATE)
CLUSTER_TEMPLATE_KIND = Kind("ClusterAnalysisTemplate", AnalysisTemplate, ANALYSIS_TEMPLATE)


def parse_analysis_template(manifest: Manifest) -> AnalysisTemplate:
    """The AnalysisTemplate that `manifest` describes.

    Raises:
        InvalidSpec: with every problem that is found, not only the first.
    """
    return parse(TEMPLATE_KIND, manifest)


def parse_cluster_analysis_template(manifest: Manifest) -> AnalysisTemplate:
    """The ClusterAnalysisTemplate that `manifest` describes.

    Raises:
        InvalidSpec: with every problem that is found, not only the first.
    """
    return parse(CLUSTER_TEMPLATE_KIND, manifest)

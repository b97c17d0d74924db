"""What a canary is judged by. `compare` is ours; all else has Argo Rollouts' names."""

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rollout.api import rules
from rollout.api.base import Duration, Manifest, Model
from rollout.api.compare import Compare
from rollout.api.errors import Problem
from rollout.api.meta import ObjectCondition, ObjectMeta
from rollout.api.naming import DryRun, MeasurementRetention
from rollout.api.parsing import Kind, parse
from rollout.api.providers import Provider, SecretKey
from rollout.api.rollout import Argument
from rollout.api.selectors import placeholders, unknown_placeholders
from rollout.api.threshold import Threshold, kind_of_metric, one_kind
from rollout.api.unsupported import ANALYSIS_TEMPLATE

METRICS_LIMIT = 32


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

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of everything that may hold placeholders."""
        return tuple((f".compare{path}", text) for path, text in self.compare.selectors)

    @property
    def credentials(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of what secret arguments may stand in."""
        return tuple(
            (f".provider.prometheus{path}", text) for path, text in self.provider.prometheus.credentials
        )


AnyMetric = Annotated[
    Annotated[Metric, Tag("tag:compare")] | Annotated[Threshold, Tag("tag:threshold")],
    Discriminator(kind_of_metric),
    BeforeValidator(one_kind),
]
"""One thing to judge by: compared with the stable version, or held against conditions."""


_SECRETS_STAND = "a secret may stand in provider.prometheus.headers and .authentication alone"


class TemplateValueFrom(Model):
    """Where the value of an argument comes from."""

    secret_key_ref: SecretKey
    """A Secret; its value may stand in headers and authentication alone."""


class TemplateArgument(Argument):
    """An argument that a template declares."""

    value_from: TemplateValueFrom | None = None
    """Where the value comes from, in place of `value`."""

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.value is not None and self.value_from is not None:
            raise ValueError("must have value or valueFrom, not both")
        return self


def _known_placeholders(metrics: tuple[AnyMetric, ...], info: ValidationInfo) -> tuple[AnyMetric, ...]:
    if "args" not in info.data:
        return metrics  # they have a problem of their own
    args = frozenset(argument.name for argument in info.data["args"])
    problems = [
        Problem(f"[{index}]{path}", f"nothing fills in {{{{{name}}}}}", remedy)
        for index, metric in enumerate(metrics)
        for path, text in (*metric.texts, *metric.credentials)
        for name, remedy in unknown_placeholders(text, args)
    ]
    secret = {f"args.{argument.name}" for argument in info.data["args"] if argument.value_from is not None}
    problems += [
        Problem(f"[{index}]{path}", f"the secret {{{{{name}}}}} would be shown", _SECRETS_STAND)
        for index, metric in enumerate(metrics)
        for path, text in metric.texts
        for name in placeholders(text)
        if name in secret
    ]
    if problems:
        raise rules.WrongFieldsError(*problems)
    return metrics


class AnalysisTemplateSpec(Model):
    """What to judge by."""

    args: tuple[TemplateArgument, ...] = Field((), max_length=64)
    """Arguments; one without a value must be given by the Rollout."""
    metrics: tuple[AnyMetric, ...] = Field(min_length=1, max_length=METRICS_LIMIT)
    """What is judged by."""
    dry_run: tuple[DryRun, ...] = Field((), max_length=METRICS_LIMIT)
    """Metrics that are measured and shown, and decide nothing."""
    measurement_retention: tuple[MeasurementRetention, ...] = Field((), max_length=METRICS_LIMIT)
    """How many measurements are shown of which metrics; by default 10."""

    @property
    def compared(self) -> tuple[Metric, ...]:
        """Metrics that compare the canary with the stable version."""
        return tuple(metric for metric in self.metrics if isinstance(metric, Metric))

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

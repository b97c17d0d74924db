"""Our kinds, as the API server is told of them: names, columns, and the rules that no schema can say."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollout.api import analysis, analysisrun, gitsource, rollout, sourcestatus, threshold
from rollout.api.base import Model
from rollout.api.compare import MEASURES
from rollout.api.status import RolloutStatus
from rollout.api.unsupported import ANALYSIS_RUN, ANALYSIS_TEMPLATE, GIT_SOURCE, ROLLOUT, Unsupported


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in CEL that the schema of the object at `path` gets."""

    path: str
    rule: str
    message: str
    field: str = ""
    """The field below the object that the message is about."""
    reason: str = "FieldValueInvalid"


@dataclass(frozen=True, slots=True)
class Definition:
    """A kind as a CustomResourceDefinition."""

    kind: str
    plural: str
    model: type[Model]
    status: type[Model]
    unsupported: tuple[Unsupported, ...]
    rules: tuple[Rule, ...] = ()
    columns: tuple[tuple[str, str, str], ...] = ()
    """(name, type, JSON path)"""
    short_names: tuple[str, ...] = ()
    scope: str = "Namespaced"
    scale: Mapping[str, str] = field(default_factory=dict)


_CANARY = "spec.strategy.canary"
_STEP = f"{_CANARY}.steps[]"
_COMPARE = "spec.metrics[].compare"
_STEP_KEYS = (
    *rollout.STEP_KINDS.values(),
    *(row.field for row in ROLLOUT if row.parent == _STEP),
)


def _exactly_one(fields: tuple[str, ...]) -> str:
    return " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in fields) + " == 1"


_ROLLOUT_RULES = (
    Rule(
        "",
        f"size(self.metadata.name) <= {rollout.NAME_LIMIT}",
        f"the name must have at most {rollout.NAME_LIMIT} characters: ReplicaSets and pods add to it",
    ),
    Rule("spec.selector", "self == oldSelf", "the selector can't be changed"),
    Rule(
        "spec.selector",
        "(has(self.matchLabels) && size(self.matchLabels) > 0)"
        " || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
        "selects every pod: give it labels",
    ),
    Rule(
        "spec",
        "self.progressDeadlineSeconds > self.minReadySeconds",
        "must be less than progressDeadlineSeconds",
        "minReadySeconds",
    ),
    Rule(
        _CANARY,
        "!has(self.canaryService) || !has(self.stableService) || self.canaryService != self.stableService",
        "must differ from canaryService",
        "stableService",
    ),
    Rule(
        _CANARY,
        "!has(self.steps) || has(self.analysis) || !self.steps.exists(step, has(step.judge))",
        "a judge step needs strategy.canary.analysis",
        "steps",
    ),
    Rule(
        _STEP,
        _exactly_one(_STEP_KEYS),
        f"must have exactly one of {', '.join(rollout.STEP_KINDS.values())}",
    ),
)

_METRIC = "spec.metrics[]"
_QUERIED = "has(self.provider) && has(self.provider.prometheus) && has(self.provider.prometheus.query)"
_GIVEN = " || ".join(f"has(self.{name})" for name in threshold.OWN)

_METRIC_RULES = (
    Rule(_METRIC, "has(self.name)", "name is required", "name", "FieldValueRequired"),
    Rule(
        _METRIC,
        f"has(self.compare) || ({_QUERIED})",
        "compare is required, or provider.prometheus.query with conditions",
        "compare",
        "FieldValueRequired",
    ),
    Rule(
        _METRIC,
        f"!has(self.compare) || !({_GIVEN} || ({_QUERIED}))",
        "a query, its conditions and limits are not beside compare: make it two metrics",
        "compare",
    ),
    Rule(
        _COMPARE,
        _exactly_one((*MEASURES, "preset")),
        f"must have exactly one of {', '.join((*MEASURES, 'preset'))}",
    ),
    Rule(
        _COMPARE,
        "(has(self.preset) && self.preset == 'latency') == has(self.slo)",
        "slo goes with preset: latency, and with nothing else here",
    ),
    Rule(
        f"{_COMPARE}.arms",
        "has(self.stable) == has(self.canary) && " + _exactly_one(("preset", "label", "stable")),
        "must have exactly one of preset, label, or stable and canary",
    ),
)

_AGE = ("Age", "date", ".metadata.creationTimestamp")
_READY = '.status.conditions[?(@.type=="Ready")]'

DEFINITIONS = (
    Definition(
        "Rollout",
        "rollouts",
        rollout.Rollout,
        RolloutStatus,
        ROLLOUT,
        _ROLLOUT_RULES,
        (
            ("Phase", "string", ".status.phase"),
            ("Step", "string", ".status.step"),
            ("Weight", "integer", ".status.canary.weights.canary.weight"),
            ("Stable", "string", ".status.stableRS"),
            ("Canary", "string", ".status.currentPodHash"),
            ("Verdict", "string", ".status.verdict"),
            ("Git", "string", ".status.source.revision"),
            _AGE,
        ),
        ("pro",),
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.HPAReplicas",
            "labelSelectorPath": ".status.selector",
        },
    ),
    Definition(
        "AnalysisTemplate",
        "analysistemplates",
        analysis.AnalysisTemplate,
        analysis.AnalysisTemplateStatus,
        ANALYSIS_TEMPLATE,
        _METRIC_RULES,
        (_AGE,),
    ),
    Definition(
        "ClusterAnalysisTemplate",
        "clusteranalysistemplates",
        analysis.AnalysisTemplate,
        analysis.AnalysisTemplateStatus,
        ANALYSIS_TEMPLATE,
        _METRIC_RULES,
        (_AGE,),
        scope="Cluster",
    ),
    Definition(
        "AnalysisRun",
        "analysisruns",
        analysisrun.AnalysisRun,
        analysisrun.AnalysisRunStatus,
        ANALYSIS_RUN,
        _METRIC_RULES,
        (("Phase", "string", ".status.phase"), ("Message", "string", ".status.message"), _AGE),
    ),
    Definition(
        "GitSource",
        "gitsources",
        gitsource.GitSource,
        sourcestatus.GitSourceStatus,
        GIT_SOURCE,
        (),
        (
            ("URL", "string", ".spec.url"),
            ("Ready", "string", f"{_READY}.status"),
            ("Revision", "string", ".status.lastAppliedRevision"),
            ("Message", "string", f"{_READY}.message"),
            _AGE,
        ),
    ),
)

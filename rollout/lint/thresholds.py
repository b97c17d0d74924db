"""What a template's threshold metrics hardly mean, though it is valid."""

import re
from collections.abc import Iterator

from rollout.api.analysis import CLUSTER_TEMPLATE_KIND, TEMPLATE_KIND, AnalysisTemplateSpec
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.naming import names
from rollout.api.parsing import parse
from rollout.api.threshold import Threshold
from rollout.lint.alone import is_kind
from rollout.lint.findings import Document, Finding, Severity, finding

_NO_DATA = re.compile(
    r"\b(?:isNaN|isInf|isNil|default)\s*\(\s*result\b|\b(?:len|size)\s*\(\s*result\s*\)\s*(?:==\s*0|<\s*1|<=\s*0)\b"
)
"""What Argo Rollouts' users write for a query that gives nothing, or nothing but NaN."""


def doubtful(document: Document) -> Iterator[Finding]:
    """Metrics that can't succeed, and rules that speak of no metric."""
    for kind in (TEMPLATE_KIND, CLUSTER_TEMPLATE_KIND):
        if not is_kind(document.body, kind.name):
            continue
        try:
            spec = parse(kind, document.body).spec
        except InvalidSpec:
            return
        problems = (*_unconditional(spec), *_of_no_data(spec), *_of_nobody(spec))
        yield from (finding(document, problem, Severity.WARNING) for problem in problems)


def _unconditional(spec: AnalysisTemplateSpec) -> Iterator[Problem]:
    dry = [rule.metric_name for rule in spec.dry_run]
    for index, metric in enumerate(spec.metrics):
        if not isinstance(metric, Threshold) or metric.conditions:
            continue
        if not any(names(pattern, metric.name) for pattern in dry):
            what = "without a condition it proves nothing: the rollout will wait for somebody"
            yield Problem(f"spec.metrics[{index}]", what, "give successCondition, or name it in spec.dryRun")


def _of_no_data(spec: AnalysisTemplateSpec) -> Iterator[Problem]:
    for index, metric in enumerate(spec.metrics):
        for path, text in metric.conditions if isinstance(metric, Threshold) else ():
            if _NO_DATA.search(text):
                what = "says what no data means, but no data is inconclusive whatever it says"
                yield Problem(f"spec.metrics[{index}]{path}", what, "add `or vector(0)` to the query")


def _of_nobody(spec: AnalysisTemplateSpec) -> Iterator[Problem]:
    known = [metric.name for metric in spec.metrics]
    remedy = f"its metrics are {', '.join(known)}"
    asked = {
        "dryRun": [rule.metric_name for rule in spec.dry_run],
        "measurementRetention": [rule.metric_name for rule in spec.measurement_retention],
    }
    for field, patterns in asked.items():
        for index, pattern in enumerate(patterns):
            if not any(names(pattern, name) for name in known):
                path = f"spec.{field}[{index}].metricName"
                yield Problem(path, f"{pattern!r} names no metric of this template", remedy)

"""Threshold metrics as people write them: what is taken, what is refused and with which words."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import api_manifests as manifests
import pytest
import yaml
from api_manifests import changed

from rollout.api.analysis import Metric, parse_analysis_template
from rollout.api.crd import open_api
from rollout.api.errors import InvalidSpec
from rollout.api.kinds import DEFINITIONS
from rollout.api.naming import exactly, names
from rollout.api.rollout import parse_rollout
from rollout.api.rules import WrongFieldsError
from rollout.api.threshold import Threshold
from rollout.lint import Document, lint
from rollout.sandbox.apiserver import rules, structural, validation

ARGO = """
apiVersion: progressive.delivery/v1alpha1
kind: AnalysisTemplate
metadata: {name: success-rate}
spec:
  args:
  - {name: service-name, value: shop}
  - {name: least, value: "0.95"}
  - {name: limit, value: "3"}
  metrics:
  - name: success-rate
    interval: 5m
    initialDelay: 30s
    count: 10
    successCondition: result[0] >= {{args.least}}
    failureLimit: "{{args.limit}}"
    inconclusiveLimit: "2"
    consecutiveErrorLimit: 5
    consecutiveSuccessLimit: 4
    provider:
      prometheus:
        address: http://prometheus.example.com:9090
        query: |
          sum(irate(requests_total{destination=~"{{args.service-name}}",code!~"5.*"}[5m])) /
          sum(irate(requests_total{destination=~"{{args.service-name}}"}[5m]))
  dryRun:
  - metricName: success.*
  measurementRetention:
  - {metricName: success-rate, limit: 20}
"""


def template(**metric: Any) -> dict[str, Any]:
    """The template above, its metric changed; None leaves a field out."""
    body: dict[str, Any] = yaml.safe_load(ARGO)
    changed = {**body["spec"]["metrics"][0], **metric}
    body["spec"]["metrics"][0] = {name: value for name, value in changed.items() if value is not None}
    return body


def problems(body: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        parse_analysis_template(body)
    return {each.path: f"{each.message} ({each.remedy})" for each in caught.value.problems}


def test_a_template_of_argo_rollouts_is_taken_as_it_is() -> None:
    spec = parse_analysis_template(template()).spec
    metric = spec.metrics[0]
    assert isinstance(metric, Threshold)
    assert (metric.interval, metric.count, metric.inconclusive_limit) == (timedelta(minutes=5), 10, 2)
    assert [path for path, _ in metric.texts] == [
        ".successCondition",
        ".failureLimit",
        ".provider.prometheus.query",
    ]
    assert (spec.dry_run[0].metric_name, spec.measurement_retention[0].limit) == ("success.*", 20)
    assert spec.compared == ()


def test_arguments_are_filled_in_wherever_they_stand() -> None:
    body = template(count="{{args.limit}}", interval="{{ args.every }}")
    body["spec"]["args"].append({"name": "every"})
    metric = parse_analysis_template(body).spec.metrics
    assert isinstance(metric[0], Threshold)
    values = {"args.least": "0.9", "args.limit": "7", "args.service-name": "a.b", "args.every": "90s"}
    found = metric[0].resolved(values)
    assert (found.count, found.failure_limit, found.interval) == (7, 7, timedelta(seconds=90))
    assert found.success_condition == "result[0] >= 0.9"
    assert 'destination=~"a.b"' in found.provider.prometheus.query
    assert Threshold.model_validate(found.manifest()) == found
    with pytest.raises(WrongFieldsError, match="failureLimit: write a whole number"):
        metric[0].resolved({**values, "args.limit": "many"})


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        pytest.param(
            {"successCondition": "result[0] >= 0.95 &"},
            "successCondition",
            "column 19: unexpected '&' (write && or `and`)",
            id="a condition that can't be read",
        ),
        pytest.param(
            {"failureCondition": "resul[0] >= {{args.least}} || foo"},
            "failureCondition",
            "column 1: unknown name 'resul' (the measured value is `result`)",
            id="a name of nothing",
        ),
        pytest.param(
            {"conditionLanguage": "cel", "successCondition": "result[0] >= 1.0 and true"},
            "successCondition",
            "column 18: Syntax error: mismatched input 'and' (mend the CEL expression)",
            id="expr where CEL is meant",
        ),
        pytest.param(
            {"failureLimit": "lots"}, "failureLimit", "write a whole number, or -1 for", id="no number"
        ),
        pytest.param({"count": -1}, "count", "write a whole number, not negative", id="a negative count"),
        pytest.param({"count": 1.5}, "count", "write a whole number", id="half a count"),
        pytest.param({"interval": "soon"}, "interval", "write a duration such as 30s", id="no duration"),
        pytest.param({"interval": None}, "count", "needs an interval (give interval)", id="many at once"),
        pytest.param({"interval": "0s"}, "interval", "must be longer than 0s", id="no interval"),
        pytest.param(
            {"failureLimit": "{{args.limits}}"},
            "failureLimit",
            "nothing fills in {{args.limits}} (declare limits in spec.args)",
            id="an argument that nobody declares",
        ),
        pytest.param(
            {"provider": {"prometheus": {"query": " "}}},
            "provider.prometheus.query",
            "is required (give a query in PromQL)",
            id="an empty query",
        ),
        pytest.param(
            {"compare": {"up": {}}, "provider": {}},
            "successCondition",
            "goes with a query, not with compare (make it two metrics)",
            id="both ways at once",
        ),
        pytest.param(
            {"successConditions": "true"}, "successConditions", "did you mean successCondition?", id="a typo"
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_path_and_a_remedy(
    changes: dict[str, Any], path: str, says: str
) -> None:
    assert says in problems(template(**changes))[f"spec.metrics[0].{path}"]


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "a{1,9}", "[", ".*.*.*.*x", "a**", "(?=a)", "\\"],
)
def test_patterns_of_names_are_matched_in_bounded_time(pattern: str) -> None:
    body = template()
    body["spec"]["dryRun"] = [{"metricName": pattern}]
    assert "simple pattern" in problems(body)["spec.dryRun[0].metricName"]


@pytest.mark.parametrize(
    ("pattern", "metric", "speaks"),
    [
        ("success", "success-rate", True),
        ("^rate", "success-rate", False),
        ("a|s.*e$", "success-rate", True),
        (exactly("a.b@3"), "a.b@3", True),
        (exactly("a.b@3"), "axb@3", False),
        (exactly("a b+c"), "a b+c", True),
    ],
)
def test_a_pattern_speaks_of_a_metric(pattern: str, metric: str, speaks: bool) -> None:
    body = template()
    body["spec"]["dryRun"] = [{"metricName": pattern}]
    parse_analysis_template(body)
    assert names(pattern, metric) is speaks


def test_a_metric_that_is_compared_stands_beside_one_with_conditions() -> None:
    body = template()
    body["spec"]["metrics"].append({"name": "up", "compare": {"up": {}}})
    spec = parse_analysis_template(body).spec
    assert [type(metric) for metric in spec.metrics] == [Threshold, Metric]
    assert [metric.name for metric in spec.compared] == ["up"]


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        pytest.param({"name": "a"}, "compare is required, or provider.prometheus.query", id="neither"),
        pytest.param({"compare": {"up": {}}, "count": 2, "name": "a"}, "not beside compare", id="both"),
        pytest.param({"provider": {"prometheus": {"query": "up"}}}, "name is required", id="no name"),
    ],
)
def test_the_api_server_refuses_what_is_neither_or_both(metric: dict[str, Any], says: str) -> None:
    definition = next(each for each in DEFINITIONS if each.kind == "AnalysisTemplate")
    body = template()
    body["spec"]["metrics"] = [metric]
    schema = open_api(definition)
    structural.default(body, schema)
    told = [cause.message for cause in (*validation.validate(body, schema), *rules.check(body, schema))]
    assert any(says in each for each in told), told


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        pytest.param({"podTemplateHashValue": "Latest"}, "", "", id="the canary's hash"),
        pytest.param(
            {"podTemplateHashValue": "Oldest"}, ".podTemplateHashValue", "'Stable' or 'Latest'", id="whose"
        ),
        pytest.param(
            {"fieldRef": {"fieldPath": "metadata.name"}}, ".fieldRef", "not supported yet", id="a field"
        ),
    ],
)
def test_a_rollout_gives_a_version_as_the_value_of_an_argument(
    value: dict[str, Any], path: str, says: str
) -> None:
    analysis = "spec.strategy.canary.analysis"
    body = changed(manifests.rollout(), f"{analysis}.args", [{"name": "hash", "valueFrom": value}])
    if not says:
        given = parse_rollout(body).spec.strategy.canary.analysis
        assert given is not None
        assert given.args[0].placeholder == "{{canary.hash}}"
        return
    with pytest.raises(InvalidSpec) as caught:
        parse_rollout(body)
    told = {each.path: str(each) for each in caught.value.problems}
    assert says in told[f"{analysis}.args[0].valueFrom{path}"]


def said(body: dict[str, Any]) -> list[str]:
    return [str(finding) for finding in lint([Document("t.yaml", 1, body)])]


def test_lint_warns_of_a_metric_that_can_not_succeed_and_of_rules_for_nobody() -> None:
    assert said(template()) == []
    [told] = said(template(successCondition="isNaN(result[0]) || result[0] > 0.95"))
    assert "warning: spec.metrics[0].successCondition: says what no data means" in told
    body = template(successCondition=None)
    body["spec"]["dryRun"] = [{"metricName": "other"}]
    of_nobody, unconditional = said(body)
    assert "warning: spec.dryRun[0].metricName: 'other' names no metric of this template" in of_nobody
    assert "(its metrics are success-rate)" in of_nobody
    assert "warning: spec.metrics[0]: without a condition it proves nothing" in unconditional
    assert "(give successCondition, or name it in spec.dryRun)" in unconditional

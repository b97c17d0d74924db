from datetime import timedelta

import api_manifests as manifests
import pytest
from api_manifests import changed
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis as judged
from rollout.api.analysis import parse_analysis_template
from rollout.api.analysisrun import parse_analysis_run
from rollout.api.compare import ArmsPreset, Proportion
from rollout.api.errors import InvalidSpec
from rollout.api.margin import DEFAULT_TOLERATE, DEFAULT_UNACCEPTABLE, Scale
from rollout.api.measures import Direction, Role
from rollout.api.selectors import are_matchers, filled, is_selector, placeholders

ERRORS = "spec.metrics[0].compare"
LATENCY = "spec.metrics[1].compare"


def problems(body: manifests.Body) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        parse_analysis_template(body)
    return {problem.path: f"{problem.message} ({problem.remedy})" for problem in caught.value.problems}


def test_a_template_becomes_a_value_with_its_defaults() -> None:
    errors, latency = parse_analysis_template(manifests.template()).spec.metrics
    assert isinstance(errors.compare.measured, Proportion)
    assert errors.interval is None
    assert (errors.compare.direction, errors.compare.role) == (Direction.INCREASE, Role.GUARDRAIL)
    assert errors.compare.arms.preset is ArmsPreset.PODS
    assert latency.compare.histogram is not None
    assert latency.compare.histogram.slo == (timedelta(milliseconds=300),)


def test_a_metric_that_names_no_prometheus_is_asked_of_the_operators_own() -> None:
    body = changed(manifests.template(), "spec.metrics[0].provider", None)
    assert parse_analysis_template(body).spec.metrics[0].provider.prometheus.address == ""


def test_a_run_has_the_same_metrics_as_its_template() -> None:
    template = parse_analysis_template(manifests.template()).spec
    assert parse_analysis_run(manifests.run()).spec.metrics == template.metrics


@pytest.mark.parametrize(
    ("path", "value", "where", "says"),
    [
        pytest.param(
            f"{ERRORS}.proportion.bad",
            "sum(rate(errors[5m]))",
            f"{ERRORS}.proportion.bad",
            'must be a metric selector such as requests_total{code=~"5.."}, not an expression ()',
            id="an expression has no counts",
        ),
        pytest.param(
            f"{ERRORS}.proportion.bad",
            'x{a="{{args.apq}}"}',
            f"{ERRORS}.proportion.bad",
            "nothing fills in {{args.apq}} (declare apq in spec.args)",
            id="an argument that nobody declared",
        ),
        pytest.param(
            f"{ERRORS}.rate",
            {"events": "restarts_total"},
            ERRORS,
            "must have exactly one of proportion, histogram, rate, mean, up, preset ()",
            id="two measures in one metric",
        ),
        pytest.param(
            ERRORS,
            {"preset": "latency"},
            ERRORS,
            "slo goes with preset: latency, and with nothing else here ()",
            id="a latency without its edges",
        ),
        pytest.param(
            ERRORS,
            {"preset": "errors", "slo": ["300ms"]},
            ERRORS,
            "slo goes with preset: latency, and with nothing else here ()",
            id="errors with edges",
        ),
        pytest.param(
            ERRORS,
            {"preset": "saturation"},
            f"{ERRORS}.preset",
            "must be 'errors' or 'latency', not 'saturation' ()",
            id="a preset that nobody knows",
        ),
        pytest.param(
            f"{ERRORS}.tolerate",
            {"absolute": "1/h"},
            f"{ERRORS}.tolerate.absolute",
            "must be written in pp ()",
            id="events per hour of a share",
        ),
        pytest.param(
            f"{ERRORS}.tolerate",
            {"relative": "-1%"},
            f"{ERRORS}.tolerate.relative",
            "must not be negative (only a success metric asks for an improvement)",
            id="a guardrail that asks for an improvement",
        ),
        pytest.param(
            f"{ERRORS}.unacceptable",
            {"absolute": "100pp"},
            f"{ERRORS}.unacceptable.absolute",
            "must be below 100pp ()",
            id="a margin that nothing reaches",
        ),
        pytest.param(
            f"{ERRORS}.arms",
            {"preset": "contour"},
            f"{ERRORS}.arms.preset",
            "must be 'pods', 'traefik', 'istio', 'envoy-gateway', 'linkerd' or 'nginx-gateway', "
            "not 'contour' ()",
            id="a data plane that nobody knows",
        ),
        pytest.param(
            f"{ERRORS}.arms",
            {"preset": "pods", "label": "hash"},
            f"{ERRORS}.arms",
            "must have exactly one of preset, label, or stable and canary ()",
            id="two ways to tell the arms apart",
        ),
        pytest.param(
            f"{ERRORS}.arms",
            {"stable": 'a="b"'},
            f"{ERRORS}.arms",
            "stable and canary belong together ()",
            id="one arm only",
        ),
        pytest.param(
            f"{ERRORS}.arms",
            {"stable": "a=b", "canary": 'a="c"'},
            f"{ERRORS}.arms.stable",
            'must be matchers such as service="shop-canary" ()',
            id="a matcher without quotes",
        ),
        pytest.param(
            f"{LATENCY}.histogram.slo",
            ["2s", "1s"],
            f"{LATENCY}.histogram.slo",
            "the edges must be above 0 and rising ()",
            id="falling edges",
        ),
        pytest.param(
            f"{LATENCY}.histogram.slo",
            [0.3],
            f"{LATENCY}.histogram.slo[0]",
            "write a duration such as 30s, 5m, 1h30m, or a number of seconds ()",
            id="an edge without unit",
        ),
        pytest.param(
            "spec.metrics[1].name",
            "errors",
            "spec.metrics[1]",
            "errors is listed twice ()",
            id="two metrics of one name",
        ),
        pytest.param("spec.metrics", [], "spec.metrics", "must have at least 1 item ()", id="no metric"),
        pytest.param(
            "spec.metrics[0].interval",
            0,
            "spec.metrics[0].interval",
            "must be longer than 0s ()",
            id="no interval",
        ),
        pytest.param(
            "spec.metrics[0].provider.prometheus.address",
            "prometheus:9090",
            "spec.metrics[0].provider.prometheus.address",
            "must match pattern '^(https?://[^ ]+)?$' ()",
            id="an address without its scheme",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_path(path: str, value: object, where: str, says: str) -> None:
    assert problems(changed(manifests.template(), path, value))[where] == says


@pytest.mark.parametrize(
    ("margins", "faults"),
    [
        pytest.param(
            {"tolerate": {"relative": "60%", "absolute": "1pp"}, "unacceptable": {"relative": "50%"}},
            {
                f"{ERRORS}.tolerate.relative": "must not exceed unacceptable.relative, which is 50% ()",
                f"{ERRORS}.tolerate.absolute": "must not exceed unacceptable.absolute, which is 0 ()",
            },
            id="both written",
        ),
        pytest.param(
            {"tolerate": {"relative": "60%"}},
            {f"{ERRORS}.tolerate.relative": "must not exceed unacceptable.relative, which is 50% ()"},
            id="more than the default that is unacceptable",
        ),
        pytest.param(
            {"unacceptable": {"relative": "50%"}},
            {f"{ERRORS}.unacceptable.absolute": "must not be below tolerate.absolute, which is 0.02pp ()"},
            id="less than the default that is tolerated",
        ),
    ],
)
def test_tolerating_more_than_what_is_unacceptable_is_refused(
    margins: dict[str, object], faults: dict[str, str]
) -> None:
    body = manifests.template()
    body["spec"]["metrics"][0]["compare"] |= margins
    assert problems(body) == faults


@pytest.mark.parametrize(
    ("measure", "kind", "scale"),
    [
        pytest.param(
            {"proportion": {"bad": "a", "total": "b"}}, judged.Proportion("a", "b"), Scale.SHARE, id="share"
        ),
        pytest.param({"rate": {"events": "a"}}, judged.Rate("a"), Scale.RATE, id="rate"),
        pytest.param({"mean": {"gauge": "a"}}, judged.Mean("a"), Scale.RATIO, id="gauge"),
        pytest.param({"up": {}}, judged.Up(), Scale.SCRAPES, id="scrapes"),
    ],
)
def test_the_default_margins_are_those_of_the_judge(
    measure: dict[str, object], kind: judged.Kind, scale: Scale
) -> None:
    metric = judged.Metric("a", kind)
    for ours, theirs in (
        (DEFAULT_TOLERATE[scale], metric.acceptable),
        (DEFAULT_UNACCEPTABLE[scale], metric.refusable),
    ):
        assert (ours.relative, ours.amount) == (theirs.relative, theirs.absolute)
    parse_analysis_template(changed(manifests.template(), ERRORS, measure))


def test_a_success_metric_may_ask_for_an_improvement() -> None:
    body = changed(manifests.template(), f"{ERRORS}.role", "success")
    metric = parse_analysis_template(
        changed(body, f"{ERRORS}.unacceptable", {"relative": "-5%"})
    ).spec.metrics[0]
    assert metric.compare.unacceptable is not None
    assert metric.compare.unacceptable.relative == -0.05


@pytest.mark.parametrize(
    ("text", "good"),
    [
        pytest.param("http_requests_total", True, id="a name"),
        pytest.param('http_requests_total{code=~"5..",app="a"}', True, id="name and matchers"),
        pytest.param('{__name__="x"}', True, id="matchers alone"),
        pytest.param("x{}", True, id="a name with empty braces"),
        pytest.param('x{a="}"}', True, id="a brace in a text"),
        pytest.param('x{a="\\""}', True, id="an escaped quote"),
        pytest.param("job:errors:rate5m", True, id="a recorded name"),
        pytest.param("{}", False, id="everything"),
        pytest.param("x[5m]", False, id="a range"),
        pytest.param("rate(x[5m])", False, id="a function"),
        pytest.param("a / b", False, id="arithmetic"),
        pytest.param("x offset 5m", False, id="an offset"),
        pytest.param('x{a="b"} or vector(0)', False, id="an operator after a selector"),
        pytest.param('x{a="b}', False, id="an open quote"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_only_a_selector_is_one(text: str, good: bool) -> None:
    assert is_selector(text) is good


def test_matchers_stand_without_braces() -> None:
    assert are_matchers('service=~".+-svc-{{namespace}}-{{stable.service}}-[0-9]+@kubernetesgateway"')
    assert not are_matchers('{service="a"}')


@settings(derandomize=True)
@given(st.text(alphabet="\"\\'`{}=,\nx", max_size=6))
def test_a_value_can_not_leave_the_text_it_is_put_into(value: str) -> None:
    assert is_selector(filled('x{a="{{args.a}}"}', {"args.a": value}))


def test_every_placeholder_needs_a_value() -> None:
    assert placeholders('x{a="{{ args.a }}",b="{{canary.hash}}"}') == ("args.a", "canary.hash")
    with pytest.raises(KeyError):
        filled("{{args.a}}", {})

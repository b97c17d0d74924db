"""A preset in, the exact series of both versions out; or why not."""

from typing import Any

import pytest
from preset_cases import CASES, Body, plane, resolved, route

from rollout.api.base import FROM_MANIFEST
from rollout.api.compare import ArmsPreset, Histogram
from rollout.api.errors import InvalidSpec
from rollout.plan.observed import UNKNOWN_PLANE

EACH = [pytest.param(case, id=case["preset"]) for case in CASES]
SERVED = [pytest.param(case, id=case["preset"]) for case in CASES if "controller" in case]
EDGES = {"slo": ["500ms"]}


def told(case: Body, compare: Body) -> Body:
    """What comes of a metric, as the table says it."""
    metric = resolved(compare, plane(route(*filter(None, [case.get("controller")])))).compare
    measured = metric.proportion or metric.histogram
    assert measured is not None
    assert metric.preset is None
    shown = measured.manifest()
    return shown | {"stable": metric.arms.stable, "canary": metric.arms.canary}


def arms(case: Body) -> Body:
    return {"stable": case["stable"], "canary": case["canary"]}


def test_every_preset_has_a_case() -> None:
    assert {case["preset"] for case in CASES} == set(ArmsPreset)


@pytest.mark.parametrize("case", EACH)
def test_errors(case: Body) -> None:
    assert told(case, {"preset": "errors", "arms": {"preset": case["preset"]}}) == case["errors"] | arms(case)


@pytest.mark.parametrize("case", [each for each in EACH if "latency" in each.values[0]])  # type: ignore[operator]
def test_latency(case: Body) -> None:
    asked = {"preset": "latency", "slo": case["latency"]["slo"], "arms": {"preset": case["preset"]}}
    compare = resolved(asked, plane(route(*filter(None, [case.get("controller")])))).compare
    assert compare.histogram == Histogram.model_validate(case["latency"], context=FROM_MANIFEST)
    assert (compare.preset, compare.slo) == (None, None)
    assert compare.arms.manifest() == arms(case)


@pytest.mark.parametrize("case", SERVED)
def test_without_arms_the_data_plane_that_serves_the_route_tells_them(case: Body) -> None:
    assert told(case, {"preset": "errors"}) == case["errors"] | arms(case)


@pytest.mark.parametrize("case", EACH)
def test_series_of_ones_own_are_told_apart_in_the_same_way(case: Body) -> None:
    own = {"bad": 'own{code="500"}', "total": "own"}
    assert told(case, {"proportion": own, "arms": {"preset": case["preset"]}}) == own | arms(case)


def test_the_applications_own_series_by_a_label_of_the_pods() -> None:
    metric = resolved({"preset": "errors", "arms": {"label": "rollouts_pod_template_hash"}}, UNKNOWN_PLANE)
    assert metric.compare.proportion is not None
    assert metric.compare.proportion.total == "http_requests_total"
    assert metric.compare.arms.canary == 'rollouts_pod_template_hash="7d4b9c"'
    assert metric.compare.arms.stable == 'rollouts_pod_template_hash="6c9f7d"'


@pytest.mark.parametrize("case", EACH)
def test_only_what_counts_nothing_but_split_requests_may_tell_the_real_share(case: Body) -> None:
    asked = {"preset": "errors", "arms": {"preset": case["preset"]}}
    assert resolved(asked, plane(route())).compare.routed is (case["preset"] != "linkerd")


def test_series_of_ones_own_need_no_data_plane() -> None:
    metric = resolved({"proportion": {"bad": "a", "total": "b"}}, UNKNOWN_PLANE)
    assert metric.compare.arms.canary == 'namespace="shop",pod=~"checkout-7d4b9c-[a-z0-9]{5}"'


def test_envoy_gateway_names_each_rule_that_holds_the_pair() -> None:
    twice = route("gateway.envoyproxy.io/gatewayclass-controller")
    twice["spec"]["rules"].append(twice["spec"]["rules"][1])
    metric = resolved({"preset": "errors"}, plane(twice))
    assert metric.compare.arms.canary == (
        'envoy_cluster_name=~"httproute/shop/checkout/rule/1/backend/2|httproute/shop/checkout/rule/2/backend/2"'
    )


@pytest.mark.parametrize(
    ("compare", "routes", "says", "remedy"),
    [
        pytest.param(
            {"preset": "errors"},
            [route()],
            "no route says yet which data plane serves it",
            "write arms: {preset: ...}: envoy-gateway, istio, linkerd, nginx-gateway, pods, traefik; "
            "or give its Gateway and GatewayClass to lint and plan",
            id="a route that nobody took yet",
        ),
        pytest.param(
            {"preset": "errors"},
            [route("io.cilium/gateway-controller")],
            "the routes are served by io.cilium/gateway-controller, which has no preset",
            "write arms: {preset: pods} for the application's own series, or name the series",
            id="a data plane without a preset",
        ),
        pytest.param(
            {"preset": "errors"},
            [route("istio.io/gateway-controller", "traefik.io/gateway-controller")],
            "the routes are served by istio.io/gateway-controller and traefik.io/gateway-controller, "
            "more than one data plane",
            "write arms: {preset: ...}: envoy-gateway, istio, linkerd, nginx-gateway, pods, traefik",
            id="two data planes",
        ),
        pytest.param(
            {"preset": "errors", "arms": {"preset": "traefik"}},
            [route("istio.io/gateway-controller")],
            "the routes are served by istio.io/gateway-controller, which does not write the series of "
            "traefik",
            "write arms: {preset: pods} for the application's own series",
            id="a preset that the route's data plane does not have",
        ),
        pytest.param(
            {"preset": "latency", **EDGES, "arms": {"preset": "nginx-gateway"}},
            [route()],
            "nginx-gateway has no histogram of latencies",
            "write arms: {preset: pods} for the application's own series",
            id="a latency that nobody measures",
        ),
        pytest.param(
            {"preset": "errors"},
            [route("gateway.envoyproxy.io/gatewayclass-controller", filtered=False)],
            "Envoy Gateway counts all backends of rule 1 of route 'checkout' together",
            "give one of its backendRefs a filter, such as responseHeaderModifier, or write arms: "
            "{preset: pods} for the application's own series",
            id="a label that does not tell the versions apart",
        ),
        pytest.param(
            {"preset": "errors", "arms": {"preset": "envoy-gateway"}},
            [],
            "no route is known that names both Services",
            "give the route",
            id="no route where its place is the label",
        ),
    ],
)
def test_a_preset_that_can_not_be_had_is_refused_with_a_remedy(
    compare: Body, routes: list[Body], says: str, remedy: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        resolved(compare, plane(*routes))
    (problem,) = caught.value.problems
    assert problem.path == "spec.strategy.canary.analysis.templates[0]"
    assert (problem.message, problem.remedy) == (f"metric 'asked': {says}", remedy)


def test_a_parent_that_the_route_no_longer_names_is_not_asked() -> None:
    left: Any = route("traefik.io/gateway-controller")
    left["spec"]["parentRefs"] = [{"name": "other"}]
    assert plane(left).controllers == ()

from typing import Any

import api_manifests as manifests
import pytest
from api_manifests import Body, changed

from rollout.lint import Document, Finding, Severity, lint

CANARY = "spec.strategy.canary"
ROUTES = f"{CANARY}.trafficRouting.gatewayAPI.httpRoutes[0]"


def service(name: str, **selector: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": selector or {"app": "shop"}, "ports": [{"port": 80}]},
    }


def route(name: str = "shop", *backends: str) -> Body:
    refs = [{"name": each, "port": 80} for each in backends or ("shop-stable", "shop-canary")]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"rules": [{"name": "main", "backendRefs": refs}]},
    }


def shop() -> dict[str, Body]:
    """All that a Rollout refers to."""
    return {
        "rollout": manifests.rollout(),
        "stable": service("shop-stable"),
        "canary": service("shop-canary"),
        "route": route(),
        "template": manifests.template(),
    }


def findings(bodies: dict[str, Body]) -> list[Finding]:
    return lint(Document(f"{name}.yaml", 1, body) for name, body in bodies.items())


def said(bodies: dict[str, Body], severity: Severity = Severity.ERROR) -> dict[str, str]:
    return {
        f"{found.path} {found.field}": found.message
        for found in findings(bodies)
        if found.severity is severity
    }


def test_a_whole_set_has_nothing_to_be_said_about() -> None:
    assert findings(shop()) == []


@pytest.mark.parametrize(
    ("part", "body", "where", "says"),
    [
        pytest.param(
            "stable",
            None,
            f"rollout.yaml {CANARY}.stableService",
            "the Service 'shop-stable' does not exist",
            id="no stable Service",
        ),
        pytest.param(
            "canary",
            service("shop-canary", app="other"),
            f"rollout.yaml {CANARY}.canaryService",
            "the Service 'shop-canary' selects app=other, which the pods don't carry",
            id="a Service for other pods",
        ),
        pytest.param(
            "canary",
            changed(service("shop-canary"), "metadata.namespace", "elsewhere"),
            f"rollout.yaml {CANARY}.canaryService",
            "the Service 'shop-canary' does not exist",
            id="a Service of another namespace",
        ),
        pytest.param(
            "canary",
            changed(service("shop-canary"), "spec.selector", None),
            f"rollout.yaml {CANARY}.canaryService",
            "the Service 'shop-canary' has no selector, so its endpoints can't be steered",
            id="a Service without selector",
        ),
        pytest.param(
            "canary",
            changed(service("shop-canary"), "apiVersion", "serving.knative.dev/v1"),
            f"rollout.yaml {CANARY}.canaryService",
            "the Service 'shop-canary' does not exist",
            id="a Service of another group",
        ),
        pytest.param(
            "route", None, f"rollout.yaml {ROUTES}", "the route 'shop' does not exist", id="no route"
        ),
        pytest.param(
            "route",
            route("shop", "shop-stable"),
            f"rollout.yaml {ROUTES}",
            "route 'shop': none of its rules holds both 'shop-stable' and 'shop-canary'",
            id="a route without our pair",
        ),
        pytest.param(
            "template",
            None,
            f"rollout.yaml {CANARY}.analysis.templates[0].templateName",
            "AnalysisTemplate 'golden-signals' does not exist",
            id="no template",
        ),
        pytest.param(
            "template",
            changed(manifests.template(), "spec.args", [{"name": "app"}]),
            f"rollout.yaml {CANARY}.analysis.args",
            "argument 'app' of template 'golden-signals' has no value",
            id="an argument without value",
        ),
        pytest.param(
            "rollout",
            changed(manifests.rollout(), "spec.replics", 3),
            "rollout.yaml spec.replics",
            "unknown field",
            id="an unknown field",
        ),
        pytest.param(
            "rollout",
            manifests.rollout() | {"kind": "Rolout"},
            "rollout.yaml kind",
            "unknown kind Rolout",
            id="an unknown kind of ours",
        ),
        pytest.param(
            "route",
            changed(route(), "spec.rules[0].backendRefs", "shop"),
            "route.yaml spec.rules[0].backendRefs",
            "must be a list",
            id="a misshapen route",
        ),
        pytest.param(
            "route",
            changed(route(), "spec", None),
            "route.yaml spec",
            "is required",
            id="a route without spec",
        ),
        pytest.param(
            "other",
            {"some": "yaml"},
            "other.yaml kind",
            "is no Kubernetes object",
            id="a file that is no object",
        ),
        pytest.param(
            "other",
            service("shop-stable"),
            "other.yaml metadata.name",
            "Service shop-stable stands in stable.yaml:1 too",
            id="the same object twice",
        ),
        pytest.param(
            "other",
            changed(manifests.rollout(), "metadata.name", "again"),
            f"other.yaml {CANARY}.stableService",
            "Service shop-stable belongs to Rollout shop already",
            id="a Service of two Rollouts",
        ),
        pytest.param(
            "other",
            changed(manifests.rollout(), "metadata.name", "again"),
            f"other.yaml {ROUTES}",
            "HTTPRoute shop rule main belongs to Rollout shop already",
            id="a rule of two Rollouts",
        ),
    ],
)
def test_what_would_be_refused_is_an_error_with_its_place(
    part: str, body: Body | None, where: str, says: str
) -> None:
    bodies = {name: each for name, each in shop().items() if name != part}
    if body is not None:
        bodies[part] = body
    assert said(bodies)[where] == says


@pytest.mark.parametrize(
    ("path", "value", "where", "says"),
    [
        pytest.param(
            f"{CANARY}.steps", [], f"{CANARY}.steps", "a new version gets all traffic at once", id="no steps"
        ),
        pytest.param(
            f"{CANARY}.steps",
            [{"setWeight": 5}, {"pause": {"duration": "1h"}}],
            f"{CANARY}.steps",
            "no step waits for evidence",
            id="steps that only wait",
        ),
        pytest.param(
            f"{CANARY}.steps[0]",
            {"analysis": {"templates": [{"templateName": "golden-signals"}]}},
            f"{CANARY}.steps[0].analysis",
            "no traffic reaches the canary yet",
            id="an analysis of nothing",
        ),
        pytest.param(
            f"{CANARY}.analysis.templates[0].clusterScope",
            True,
            f"{CANARY}.analysis.templates[0].templateName",
            "ClusterAnalysisTemplate 'golden-signals' does not exist",
            id="a cluster-wide template that may live elsewhere",
        ),
    ],
)
def test_what_is_hardly_meant_is_a_warning(path: str, value: Any, where: str, says: str) -> None:
    body = changed(manifests.rollout(), path, value)
    if path == f"{CANARY}.steps[0]":
        body = changed(
            body, f"{CANARY}.steps", [body["spec"]["strategy"]["canary"]["steps"][0], {"setWeight": 5}]
        )
    assert said(shop() | {"rollout": body}, Severity.WARNING)[f"rollout.yaml {where}"] == says


def test_a_manifest_without_namespace_fits_where_it_is_applied() -> None:
    bodies = {name: changed(body, "metadata.namespace", None) for name, body in shop().items()}
    assert findings(bodies) == []
    assert findings(shop() | {"stable": bodies["stable"]}) == []


def test_a_finding_is_at_the_line_of_its_field_where_that_is_known() -> None:
    lines = {"spec.replics": 7}
    body = changed(manifests.rollout(), "spec.replics", 3)
    found = lint([Document("shop.yaml", 2, body, position=lines.__getitem__)])
    assert str(found[0]) == "shop.yaml:7: error: spec.replics: unknown field (did you mean replicas?)"


def test_other_kinds_are_nobodys_business() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}}
    assert findings(shop() | {"config": config}) == []


def golden(*metrics: Body) -> Body:
    return changed(manifests.template(), "spec", {"metrics": [*metrics]})


def served_by(controller: str) -> dict[str, Body]:
    """A Gateway and its class, and our route on it."""
    api = "gateway.networking.k8s.io/v1"
    return {
        "route": changed(route(), "spec.parentRefs", [{"name": "main", "namespace": "edge"}]),
        "gateway": {
            "apiVersion": api,
            "kind": "Gateway",
            "metadata": {"name": "main", "namespace": "edge"},
            "spec": {"gatewayClassName": "edge"},
        },
        "class": {
            "apiVersion": api,
            "kind": "GatewayClass",
            "metadata": {"name": "edge"},
            "spec": {"controllerName": controller},
        },
    }


ERRORS = {"name": "errors", "compare": {"preset": "errors"}}
TEMPLATE = f"rollout.yaml {CANARY}.analysis.templates[0]"


def test_what_a_preset_comes_to_is_shown_with_all_that_is_known_beforehand() -> None:
    bodies = shop() | served_by("traefik.io/gateway-controller") | {"template": golden(ERRORS)}
    assert said(bodies, Severity.ERROR) == {}
    matchers = 'service=~"httproute-shop-.+-svc-shop-shop-{}-[0-9]+@kubernetesgateway"'
    assert said(bodies, Severity.NOTE) == {
        TEMPLATE: "metric 'errors' (traefik): bad traefik_service_requests_total{code=~\"5..\"}, "
        "total traefik_service_requests_total; "
        f"stable {{{matchers.format('stable')}}}, canary {{{matchers.format('canary')}}}"
    }


def test_hashes_that_only_a_run_knows_are_left_open() -> None:
    own = {"name": "slow", "compare": {"preset": "latency", "slo": ["250ms"], "arms": {"preset": "pods"}}}
    assert said(shop() | {"template": golden(own)}, Severity.NOTE) == {
        TEMPLATE: "metric 'slow' (pods): buckets http_request_duration_seconds_bucket; "
        'stable {namespace="shop",pod=~"shop-{{stable.hash}}-[a-z0-9]{5}"}, '
        'canary {namespace="shop",pod=~"shop-{{canary.hash}}-[a-z0-9]{5}"}'
    }


def test_a_data_plane_that_no_manifest_names_is_a_doubt_as_the_cluster_may_know_it() -> None:
    bodies = shop() | {"template": golden(ERRORS)}
    assert said(bodies) == {}
    assert said(bodies, Severity.WARNING) == {
        TEMPLATE: "metric 'errors': no route says yet which data plane serves it"
    }


def test_a_preset_of_another_data_plane_is_refused() -> None:
    asked = {"name": "errors", "compare": {"preset": "errors", "arms": {"preset": "traefik"}}}
    bodies = shop() | served_by("istio.io/gateway-controller") | {"template": golden(asked)}
    assert said(bodies) == {
        TEMPLATE: "metric 'errors': the routes are served by istio.io/gateway-controller, "
        "which does not write the series of traefik"
    }


def test_an_edge_that_a_source_does_not_have_by_default_is_a_doubt() -> None:
    slow = {"name": "slow", "compare": {"preset": "latency", "slo": ["300ms"]}}
    bodies = shop() | served_by("istio.io/gateway-controller") | {"template": golden(slow)}
    assert said(bodies) == {}
    assert said(bodies, Severity.WARNING) == {
        TEMPLATE: "metric 'slow': 0.3 s is no edge of the histogram that istio has by default"
    }

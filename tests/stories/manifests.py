"""The manifests of one shop: a Rollout, its Services and its route, as a person would write them."""

from collections.abc import Sequence
from typing import Any

Manifest = dict[str, Any]

NAME, STABLE, CANARY = "shop", "shop-stable", "shop-canary"
PAUSED_AT_HALF: tuple[Manifest, ...] = ({"setWeight": 50}, {"pause": {}})
API = "progressive.delivery/v1alpha1"
LABELS = {"app": "shop"}


def rollout(
    image: str = "shop:v1",
    *,
    steps: Sequence[Manifest] = PAUSED_AT_HALF,
    replicas: int | None = 2,
    canary: Manifest | None = None,
    **spec: Any,
) -> Manifest:
    """A Rollout; `canary` adds to (or overrides) the strategy, further words are fields of the spec."""
    strategy = {
        "stableService": STABLE,
        "canaryService": CANARY,
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": NAME}]}},
        "scaleDownDelaySeconds": 1,
        "abortScaleDownDelaySeconds": 1,
        "steps": list(steps),
        **(canary or {}),
    }
    return {
        "apiVersion": API,
        "kind": "Rollout",
        "metadata": {"name": NAME},
        "spec": {
            **({} if replicas is None else {"replicas": replicas}),
            "selector": {"matchLabels": LABELS},
            "template": template(image),
            "strategy": {"canary": strategy},
            **spec,
        },
    }


def template(image: str) -> Manifest:
    return {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "shop", "image": image, "ports": [{"containerPort": 8080}]}]},
    }


def service(name: str, **selector: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector or LABELS, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def route(stable: str = STABLE, canary: str = CANARY) -> Manifest:
    backends = [
        {"name": stable, "port": 80, "weight": 100},
        {"name": canary, "port": 80, "weight": 0},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": NAME},
        "spec": {
            "parentRefs": [{"name": "sandbox", "namespace": "gateway"}],
            "hostnames": ["shop.local"],
            "rules": [{"backendRefs": backends}],
        },
    }


def errors(prometheus: str, name: str = "errors", **compare: Any) -> Manifest:
    """A template that counts failed requests out of all; each pod has as many, whatever the route says."""
    proportion = {"bad": 'http_requests_total{code=~"5.."}', "total": "http_requests_total"}
    metric = {
        "name": "errors",
        "interval": "1s",
        "compare": {
            "proportion": proportion,
            "routed": False,  # the fake's pods all get the same load, whatever the weights are
            "tolerate": {"relative": "5%", "absolute": "0.02pp"},
            "unacceptable": {"relative": "100%", "absolute": "1pp"},
            **compare,
        },
        "provider": {"prometheus": {"address": prometheus}},
    }
    return {
        "apiVersion": API,
        "kind": "AnalysisTemplate",
        "metadata": {"name": name},
        "spec": {"metrics": [metric]},
    }


def traffic() -> tuple[Manifest, ...]:
    """What a Rollout refers to."""
    return (service(STABLE), service(CANARY), route())


JUDGED = {"analysis": {"templates": [{"templateName": "errors"}]}}
"""Background analysis, for `rollout(canary=JUDGED)`."""

"""The manifests of a fleet: Rollouts that are judged by two compare metrics, and all that they refer to."""

from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]

API = "progressive.delivery/v1alpha1"
INTERVAL = "15s"
TEMPLATE = "golden"
SERVICE_PORT = 80
HOLD = "6h"
"""How long the judge looks at least: the fleet stays under way for as long as it is measured."""
UNDER_WAY = ({"setWeight": 20}, {"judge": {"minDuration": HOLD, "maxDuration": HOLD}})


def namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def template(prometheus: str, interval: str = INTERVAL) -> Manifest:
    """Failed requests out of all, and requests over 300 ms."""
    return {
        "apiVersion": API,
        "kind": "AnalysisTemplate",
        "metadata": {"name": TEMPLATE},
        "spec": {"metrics": [_errors(prometheus, interval), _latency(prometheus, interval)]},
    }


def _errors(prometheus: str, interval: str) -> Manifest:
    proportion = {"bad": 'http_requests_total{code=~"5.."}', "total": "http_requests_total"}
    return {
        "name": "errors",
        "interval": interval,
        "compare": {
            "proportion": proportion,
            "tolerate": {"relative": "5%", "absolute": "0.02pp"},
            "unacceptable": {"relative": "50%", "absolute": "0.25pp"},
            "routed": False,  # each pod of the stub serves the same rate, whatever the route says
        },
        "provider": {"prometheus": {"address": prometheus}},
    }


def _latency(prometheus: str, interval: str) -> Manifest:
    return {
        "name": "latency",
        "interval": interval,
        "compare": {
            "histogram": {"buckets": "http_request_duration_seconds_bucket", "slo": ["300ms"]},
            "routed": False,
        },
        "provider": {"prometheus": {"address": prometheus}},
    }


def shop(name: str, image: str, steps: tuple[Manifest, ...] = UNDER_WAY, **canary: Any) -> Iterator[Manifest]:
    """One Rollout, its two Services and its route; `canary` adds to the strategy."""
    stable, other = f"{name}-stable", f"{name}-canary"
    yield _service(stable, name)
    yield _service(other, name)
    yield _route(name, stable, other)
    yield {
        "apiVersion": API,
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": _pods(name, image),
            "strategy": {
                "canary": {
                    "stableService": stable,
                    "canaryService": other,
                    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": name}]}},
                    "analysis": {"templates": [{"templateName": TEMPLATE}]},
                    "scaleDownDelaySeconds": 1,
                    "abortScaleDownDelaySeconds": 1,
                    "steps": list(steps),
                    **canary,
                }
            },
        },
    }


def _pods(name: str, image: str) -> Manifest:
    container = {
        "name": "shop",
        "image": image,
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}


def _service(name: str, app: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": SERVICE_PORT, "targetPort": 8080}]},
    }


def _route(name: str, stable: str, canary: str) -> Manifest:
    backends = [
        {"name": stable, "port": SERVICE_PORT, "weight": 100},
        {"name": canary, "port": SERVICE_PORT, "weight": 0},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "sandbox", "namespace": "gateway"}],
            "hostnames": [f"{name}.local"],
            "rules": [{"backendRefs": backends}],
        },
    }

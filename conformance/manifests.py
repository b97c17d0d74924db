"""The manifests of one shop, as a person would write them; its version is an environment variable."""

import math
from collections.abc import Sequence
from typing import Any

from conformance.api import OURS, Object

NAME, STABLE, CANARY = "shop", "shop-stable", "shop-canary"
LABELS = {"app": "shop"}
HASH = "rollouts-pod-template-hash"
BAD = "bad"
"""Where a version's name holds it, 6 % of its requests fail instead of 1 %."""
NOBODY = "conformance"
"""A scheduler that does not exist: pods that it shall place stay as we script them."""
PAUSED_AT_HALF: tuple[Object, ...] = ({"setWeight": 50}, {"pause": {}})
JUDGED = {"analysis": {"templates": [{"templateName": "errors"}]}}
"""Background analysis, for `rollout(canary=JUDGED)`."""
IN_STEPS: tuple[Object, ...] = (
    *({"setWeight": 25}, {"judge": {"minDuration": "1s", "maxDuration": "2m"}}),
    *({"setWeight": 50}, {"judge": {"minDuration": "1s", "maxDuration": "2m"}}),
)


def rollout(
    pod: Object, *, steps: Sequence[Object] = PAUSED_AT_HALF, canary: Object | None = None, **spec: Any
) -> Object:
    """A Rollout of `pod`; `canary` adds to the strategy, further words are fields of the spec."""
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
        "apiVersion": f"{OURS}/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": LABELS},
            "template": pod,
            "strategy": {"canary": strategy},
            **spec,
        },
    }


def pod(version: str, image: str, *, scripted: bool) -> Object:
    """A pod template, as the strictest Pod Security Standard admits it."""
    container = {
        "name": "shop",
        "image": image,
        "env": [{"name": "VERSION", "value": version}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: Object = {
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if scripted:
        spec["schedulerName"] = NOBODY
    return {"metadata": {"labels": LABELS}, "spec": spec}


def version(pod: Object) -> str:
    """Which version a pod, a ReplicaSet's template or a Rollout's is."""
    env = pod["spec"]["containers"][0].get("env") or ()
    return next((each["value"] for each in env if each["name"] == "VERSION"), "")


def service(name: str) -> Object:
    """A Service of all versions: the operator narrows it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def route(parent: Object) -> Object:
    """All traffic to the stable Service, and a second rule that is none of the operator's business."""
    backends = [
        {"name": STABLE, "port": 80, "weight": 100},
        {"name": CANARY, "port": 80, "weight": 0},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": NAME},
        "spec": {
            "parentRefs": [parent],
            "hostnames": ["conformance.invalid"],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": backends,
                },
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/elsewhere"}}],
                    "backendRefs": [{"name": "elsewhere", "port": 80}],
                },
            ],
        },
    }


def errors(prometheus: str) -> Object:
    """A template that counts failed requests out of all."""
    metric = {
        "name": "errors",
        "interval": "1s",
        "compare": {
            "proportion": {
                "bad": 'http_requests_total{code=~"5.."}',
                "total": "http_requests_total",
            },
            "routed": False,  # the stub's pods all get the same load, whatever the weights are
            "tolerate": {"relative": "5%", "absolute": "0.02pp"},
            "unacceptable": {"relative": "100%", "absolute": "1pp"},
        },
        "provider": {"prometheus": {"address": prometheus}},
    }
    return {
        "apiVersion": f"{OURS}/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "errors"},
        "spec": {"metrics": [metric]},
    }


def percent(route: Object) -> int | None:
    """The canary's share of the pair, rounded up; None where the route does not hold the pair."""
    for rule in route["spec"].get("rules") or ():
        weights = {ref["name"]: int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or ()}
        if {STABLE, CANARY} <= set(weights) and weights[STABLE] + weights[CANARY]:
            return math.ceil(100 * weights[CANARY] / (weights[STABLE] + weights[CANARY]))
    return None

"""The presets' cases, and the policy that each is asked in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rollout.api.analysis import Metric, parse_analysis_template
from rollout.api.rollout import parse_rollout
from rollout.plan.observed import Plane
from rollout.routers.planes import read_plane
from rollout.workloads import runs

Body = dict[str, Any]

CASES: list[Body] = yaml.safe_load(Path(__file__).with_name("presets.yaml").read_text())
VALUES = {
    "namespace": "shop",
    "name": "checkout",
    "stable.hash": "6c9f7d",
    "canary.hash": "7d4b9c",
    "stable.service": "checkout-stable",
    "canary.service": "checkout-canary",
}
_API = "progressive.delivery/v1alpha1"


def route(*controllers: str, filtered: bool = True) -> Body:
    """A route that names the pair in its second rule, another backend between them."""
    parents = [{"name": f"gateway-{index}"} for index, _ in enumerate(controllers)]
    refs: list[Body] = [{"name": name} for name in ("checkout-stable", "checkout-mirror", "checkout-canary")]
    if filtered:
        refs[2]["filters"] = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["x"]}}]
    return {
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {
            "parentRefs": parents,
            "rules": [{"backendRefs": [{"name": "cart"}]}, {"backendRefs": refs}],
        },
        "status": {
            "parents": [
                {"parentRef": parent, "controllerName": controller}
                for parent, controller in zip(parents, controllers, strict=True)
            ]
        },
    }


def plane(*routes: Body) -> Plane:
    return read_plane(((each, None) for each in routes), "checkout-stable", "checkout-canary")


def resolved(compare: Body, seen: Plane, values: Mapping[str, str] = VALUES) -> Metric:
    """A metric as a run asks it. Raises InvalidSpec."""
    template = parse_analysis_template(
        {
            "apiVersion": _API,
            "kind": "AnalysisTemplate",
            "metadata": {"name": "golden"},
            "spec": {"metrics": [{"name": "asked", "compare": compare}]},
        }
    ).spec
    spec = parse_rollout(
        {
            "apiVersion": _API,
            "kind": "Rollout",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {
                "selector": {"matchLabels": {"app": "checkout"}},
                "template": {
                    "metadata": {"labels": {"app": "checkout"}},
                    "spec": {"containers": [{"name": "a", "image": "a:1"}]},
                },
                "strategy": {
                    "canary": {
                        "stableService": "checkout-stable",
                        "canaryService": "checkout-canary",
                        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}},
                        "analysis": {"templates": [{"templateName": "golden"}]},
                        "steps": [{"setWeight": 10}, {"judge": {}}],
                    }
                },
            },
        }
    ).spec
    (metric,) = runs.metrics(spec, {("golden", False): template}, values, seen)
    return metric

"""Manifests that are right, to be spoiled by the tests."""

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

Body = dict[str, Any]

PROMETHEUS = {"prometheus": {"address": "http://prometheus:9090"}}


def rollout() -> Body:
    """A canary in three steps, judged in the background."""
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {"containers": [{"name": "shop", "image": "shop:v1"}]},
            },
            "strategy": {
                "canary": {
                    "canaryService": "shop-canary",
                    "stableService": "shop-stable",
                    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
                    "analysis": {"templates": [{"templateName": "golden-signals"}]},
                    "steps": [{"setWeight": 5}, {"judge": {}}, {"pause": {"duration": "30s"}}],
                }
            },
        },
    }


def template() -> Body:
    """Errors as a proportion and latency as an SLO."""
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "golden-signals", "namespace": "shop"},
        "spec": {
            "args": [{"name": "app", "value": "shop"}],
            "metrics": [
                {
                    "name": "errors",
                    "compare": {
                        "proportion": {
                            "bad": 'http_requests_total{app="{{args.app}}",code=~"5.."}',
                            "total": 'http_requests_total{app="{{args.app}}"}',
                        },
                    },
                    "provider": PROMETHEUS,
                },
                {
                    "name": "latency",
                    "compare": {"histogram": {"buckets": "request_seconds_bucket", "slo": ["300ms"]}},
                    "provider": PROMETHEUS,
                },
            ],
        },
    }


def run() -> Body:
    """The record of the template's judgement."""
    return template() | {"kind": "AnalysisRun"}


def git_source() -> Body:
    """A branch and a directory of a repository."""
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "GitSource",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"url": "https://git.example.com/shop.git", "ref": {"branch": "main"}, "path": "shop"},
    }


def changed(body: Body, path: str, value: Any) -> Body:
    """`body` with `value` at `path`, which is written as a manifest's field path; what lacks is made.

    A value of None takes the field away.
    """
    changed_body = copy.deepcopy(body)
    place: Any = changed_body
    parts = [_part(part) for part in path.replace("[", ".[").split(".")]
    for part, following in pairwise(parts):
        if isinstance(place, Mapping) and part not in place:
            place[part] = [{}] if isinstance(following, int) else {}
        place = place[part]
    if value is None:
        del place[parts[-1]]
    else:
        place[parts[-1]] = value
    return changed_body


def _part(text: str) -> str | int:
    return int(text[1:-1]) if text.startswith("[") else text

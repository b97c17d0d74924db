"""A live Rollout object is read leniently where safety asks for it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api.intents import IntentKey
from rollout.api.status import Stage
from rollout.observe.reading import read, read_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SET = datetime(2025, 12, 31, tzinfo=UTC)
STRATEGY = {
    "canary": {
        "stableService": "s",
        "canaryService": "c",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "r", "rule": "main"}]}},
    }
}


def rollout(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "x"}},
        "template": {
            "metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "x", "image": "x:1"}]},
        },
        "strategy": STRATEGY,
        **changes.pop("spec", {}),
    }
    metadata = {"name": "x", "namespace": "n", "uid": "u", **changes.pop("metadata", {})}
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "Rollout",
        "metadata": metadata,
        "spec": spec,
        **changes,
    }


def test_an_invalid_spec_still_tells_services_routes_and_intents() -> None:
    reading = read(
        rollout(
            spec={"replicas": "many", "strategy": {"canary": {**STRATEGY["canary"], "setps": []}}},
            metadata={"annotations": {"progressive.delivery/abort": "stop"}},
        ),
        NOW,
    )
    assert reading.spec is None
    assert {problem.path for problem in reading.problems} == {"spec.replicas", "spec.strategy.canary.setps"}
    assert reading.traffic is not None
    assert (reading.traffic.stable_service, reading.traffic.canary_service) == ("s", "c")
    assert [(route.name, route.rule) for route in reading.routes] == [("r", "main")]
    assert [intent.key for intent in reading.intents] == [IntentKey.ABORT]


def test_an_intent_is_dated_and_attributed_by_managed_fields() -> None:
    entry = {
        "manager": "kubectl-annotate",
        "time": "2025-12-31T00:00:00Z",
        "fieldsV1": {"f:metadata": {"f:annotations": {"f:progressive.delivery/pause": {}}}},
    }
    annotations = {"progressive.delivery/pause": "lunch"}
    found = read(rollout(metadata={"annotations": annotations, "managedFields": [entry]}), NOW).intents
    assert [(each.reason, each.set_at, each.by) for each in found] == [("lunch", SET, "kubectl-annotate")]


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"turn": 7, "stage": "Stepping", "later": {"x": 1}}, id="a field of a later version"),
        pytest.param({"turn": 7, "stage": "Stepping", "history": "lost"}, id="a field that is damaged"),
        pytest.param(
            {"turn": 7, "stage": "Stepping", "conditions": [{"type": "Odd"}]}, id="a strange condition"
        ),
    ],
)
def test_a_status_is_read_around_what_can_not_be_read(status: dict[str, Any]) -> None:
    found = read_status(status)
    assert (found.turn, found.stage) == (7, Stage.STEPPING)


def test_a_template_has_one_hash_however_it_is_written() -> None:
    one = read(rollout(), NOW).wanted
    other = read(rollout(spec={"replicas": 5}), NOW).wanted
    assert one is not None
    assert other is not None
    assert (one.hash, one.attempt, one.images) == (other.hash, other.attempt, ("x:1",))

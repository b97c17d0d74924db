"""What a Rollout object tells of its deletion, and what Git's objects become meanwhile."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.gitops import composing
from rollout.observe.reading import Reading, read
from rollout.plan.observed import Traffic
from rollout.workloads.labels import HASH_LABEL

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DELETED = "2025-12-31T23:59:00Z"


def reading(status: dict[str, Any] | None = None, **metadata: Any) -> Reading:
    return read(
        {
            "apiVersion": "progressive.delivery/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": "shop", "namespace": "shop", **metadata},
            "spec": {"strategy": {"canary": {"stableService": "renamed", "canaryService": "shop-canary"}}},
            "status": status or {},
        },
        NOW,
    )


def test_it_tells_since_when_it_is_deleted_and_whether_we_hold_it() -> None:
    held = reading(deletionTimestamp=DELETED, finalizers=["foreground", "progressive.delivery/traffic"])
    assert (held.deleted_at, held.finalized) == (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), True)
    free = reading(finalizers=["somebody.else/holds"])
    assert (free.deleted_at, free.finalized) == (None, False)


@pytest.mark.parametrize(
    ("metadata", "traffic"),
    [
        pytest.param({}, Traffic("renamed", "shop-canary"), id="while it lives: as the spec says"),
        pytest.param(
            {"deletionTimestamp": DELETED},
            Traffic("shop-stable", "shop-canary"),
            id="in a deletion: those that were written",
        ),
    ],
)
def test_which_services_are_meant(metadata: dict[str, Any], traffic: Traffic) -> None:
    status = {"canary": {"services": {"stable": "shop-stable", "canary": "shop-canary"}}}
    assert reading(status, **metadata).traffic == traffic


def test_in_a_deletion_before_anything_was_written_the_spec_says_which() -> None:
    assert reading(deletionTimestamp=DELETED).traffic == Traffic("renamed", "shop-canary")


@pytest.mark.parametrize(
    ("metadata", "selected"),
    [
        pytest.param({}, "v1", id="while it lives: the recorded revision"),
        pytest.param({"deletionTimestamp": DELETED}, None, id="in a deletion: none, where ours has left"),
    ],
)
def test_the_revision_that_gits_service_gets_where_the_live_one_names_none(
    metadata: dict[str, Any], selected: str | None
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "renamed", "namespace": "shop", "resourceVersion": "7"},
        "spec": {"selector": {"app": "shop"}},
    }
    status = {"stage": "Stable", "stableRS": "v1", "currentPodHash": "v1"}
    composed = composing.compose(service, service, [reading(status, **metadata)])
    assert composed["spec"]["selector"].get(HASH_LABEL) == selected

"""Who is woken for a change, and how often one object is put back."""

from datetime import UTC, datetime, timedelta

import pytest

from rollout.api.sourcestatus import InventoryEntry
from rollout.git.manifests import Manifest
from rollout.gitops.keeping import Keeper
from rollout.gitops.ownership import changes
from rollout.gitops.pace import Pace
from rollout.gitops.trying import Difference
from rollout.workloads.services import HASH_LABEL

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_object_that_is_changed_again_and_again_is_put_back_ever_more_slowly() -> None:
    pace, now = Pace(), NOW
    waits = []
    for _ in range(12):
        again = pace.waits_until(now)
        waits.append(int((again - now).total_seconds()) if again else 0)
        now = again or now
        pace.corrected(now)
    assert waits == [0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert pace.waits_until(now + timedelta(minutes=11)) is None, "somebody gave up"


@pytest.mark.parametrize(
    ("manager", "told"),
    [
        pytest.param("rollout-git", False, id="it is as Git has brought it"),
        pytest.param("kubectl-patch", True, id="somebody wiped the revision"),
    ],
)
def test_a_service_that_lacks_its_revision_is_drift_where_somebody_else_made_it_so(
    manager: str, told: bool
) -> None:
    claim = {"manager": manager, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:selector": {}}}}
    metadata = {"name": "web", "managedFields": [claim]}
    live = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "web"}}}
    wanted = {**live, "spec": {"selector": {"app": "web", HASH_LABEL: "abc"}}}
    manifest = Manifest("web.yaml", 1, 1, live, {})
    assert Difference(manifest, live, changes(live, wanted), wanted).is_drift is told


def test_what_was_deleted_is_drift() -> None:
    service = Manifest("web.yaml", 1, 1, {"apiVersion": "v1", "kind": "Service", "metadata": {}}, {})
    assert Difference(service, None, ()).is_drift


def entry(kind: str, name: str, *, stale: bool = False) -> InventoryEntry:
    return InventoryEntry(api_version="v1", kind=kind, namespace="shop", name=name, stale=stale)


def test_a_change_concerns_who_applied_the_object_and_what_is_followed() -> None:
    keeper = Keeper("home")
    held = (entry("Service", "web"), entry("ConfigMap", "web"), entry("Service", "old", stale=True))
    keeper.knows(("shop", "a"), held, followed=True)
    keeper.knows(("pay", "b"), held, followed=True)
    keeper.knows(("shop", "abroad"), held, followed=False)
    assert keeper.suspect("shop", "Service", "web") == [("shop", "a")]
    assert keeper.suspect("shop", "ConfigMap", "web") == []
    assert keeper.suspect("shop", "Service", "old") == []
    keeper.forget(("shop", "a"))
    assert keeper.suspect("shop", "Service", "web") == []

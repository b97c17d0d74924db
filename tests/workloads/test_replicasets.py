"""A revision's ReplicaSet: rendered, read back, scaled, and seen with its pods' troubles."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.workloads import pods, replicasets
from rollout.workloads.replicasets import Revision

CASE = yaml.safe_load(Path(__file__).with_name("replicaset.yaml").read_text())
REVISION = Revision(hash="6c9f7d", number=3, identity="sha256-a", attempt="at-1")
AT = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)


def live(**changes: Any) -> dict[str, Any]:
    """The rendered ReplicaSet as a server would show it."""
    made: dict[str, Any] = deepcopy(CASE["replicaSet"])
    made["metadata"] |= {"uid": "rs-1", "resourceVersion": "41", "creationTimestamp": "2026-11-21T04:00:00Z"}
    made["status"] = {"replicas": 4, "readyReplicas": 3, "availableReplicas": 2}
    made["metadata"]["annotations"] |= changes
    return made


def test_render_marks_the_revision_everywhere_and_keeps_the_template() -> None:
    before = deepcopy(CASE["rollout"])
    assert replicasets.render(CASE["rollout"], REVISION, 4) == CASE["replicaSet"]
    assert CASE["rollout"] == before, "what came in was changed"


def test_a_template_without_labels_gets_the_hash_alone() -> None:
    rollout = deepcopy(CASE["rollout"])
    del rollout["spec"]["template"]["metadata"], rollout["spec"]["minReadySeconds"]
    made = replicasets.render(rollout, REVISION, 0)
    assert made["spec"]["template"]["metadata"] == {"labels": {"rollouts-pod-template-hash": "6c9f7d"}}
    assert (made["spec"]["minReadySeconds"], made["spec"]["replicas"]) == (0, 0)


def test_read_gives_back_what_render_wrote() -> None:
    read = replicasets.read(live())
    assert read.revision == REVISION
    assert (read.wanted, read.created, read.ready, read.available) == (4, 4, 3, 2)
    assert (read.owner_uid, read.resource_version, read.images) == ("4f0c", "41", ("shop:v1",))
    assert read.desired_replicas == 4
    assert read.created_at == AT - timedelta(minutes=30)
    assert read.scale_down_at is None


@pytest.mark.parametrize(
    ("annotations", "number", "scale_down_at"),
    [
        pytest.param(
            {"progressive.delivery/scale-down-at": "2026-11-21T04:30:00Z"}, 3, AT, id="a time is read"
        ),
        pytest.param({"progressive.delivery/scale-down-at": "soon"}, 3, None, id="no time is none"),
        pytest.param(
            {"progressive.delivery/scale-down-at": "2026-11-21T04:30:00"}, 3, None, id="without zone is none"
        ),
        pytest.param({"progressive.delivery/revision": "third"}, 0, None, id="an unreadable number is 0"),
    ],
)
def test_marks_that_somebody_mangled_count_as_absent(
    annotations: dict[str, str], number: int, scale_down_at: datetime | None
) -> None:
    read = replicasets.read(live(**annotations))
    assert read.revision.number == number
    assert read.scale_down_at == scale_down_at


def test_an_object_without_marks_owner_or_status_reads_as_empty() -> None:
    made = {"metadata": {"name": "x", "namespace": "shop"}, "spec": {}}
    read = replicasets.read(made)
    assert (read.owner_uid, read.revision, read.ready) == ("", Revision("", 0), 0)
    assert read.wanted == 1, "the API's default"


def test_patch_sets_replicas_and_the_time_over_the_version_that_was_read() -> None:
    read = replicasets.read(live())
    assert replicasets.patch(read, 0, AT) == {
        "metadata": {
            "resourceVersion": "41",
            "annotations": {
                "progressive.delivery/desired-replicas": "0",
                "progressive.delivery/scale-down-at": "2026-11-21T04:30:00Z",
            },
        },
        "spec": {"replicas": 0},
    }


def test_patch_without_a_time_removes_it_and_with_a_revision_marks_anew() -> None:
    again = Revision(hash="6c9f7d", number=5, identity="sha256-a", attempt="at-2")
    marks = replicasets.patch(replicasets.read(live()), 4, revision=again)["metadata"]["annotations"]
    assert marks == {
        "progressive.delivery/revision": "5",
        "progressive.delivery/template": "sha256-a",
        "progressive.delivery/attempt": "at-2",
        "progressive.delivery/desired-replicas": "4",
        "progressive.delivery/scale-down-at": None,
    }


def test_a_mark_that_the_revision_does_not_say_is_left_as_it_is() -> None:
    patch = replicasets.patch(replicasets.read(live()), 4, revision=Revision("6c9f7d", 5))
    assert "progressive.delivery/template" not in patch["metadata"]["annotations"]
    assert patch["metadata"]["annotations"]["progressive.delivery/revision"] == "5"


def test_the_time_that_patch_writes_is_read_back_the_same() -> None:
    when = AT + timedelta(microseconds=1500)
    assert (
        replicasets.read(
            live(**{"progressive.delivery/scale-down-at": replicasets.time_text(when)})
        ).scale_down_at
        == when
    )


def pod(name: str, *, owner: str = "rs-1", **changes: Any) -> pods.Pod:
    return pods.read(
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": {"rollouts-pod-template-hash": "6c9f7d"},
                "ownerReferences": [{"uid": owner, "controller": True}],
            }
            | changes.pop("metadata", {}),
            "status": changes,
        }
    )


def crashing(restarts: int) -> dict[str, Any]:
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s"}
    return {
        "name": "app",
        "restartCount": restarts,
        "state": {"waiting": waiting},
        "lastState": {"terminated": {"exitCode": 137}},
    }


def test_a_turn_sees_troubles_and_restarts_of_its_live_pods_only() -> None:
    seen = replicasets.observe(
        replicasets.read(live()),
        [
            pod("checkout-6c9f7d-b", containerStatuses=[crashing(3)]),
            pod(
                "checkout-6c9f7d-a",
                containerStatuses=[{"name": "app", "restartCount": 1, "state": {"running": {}}}],
            ),
            pod(
                "leaving",
                metadata={"deletionTimestamp": "2026-11-21T04:29:00Z"},
                containerStatuses=[crashing(9)],
            ),
            pod("foreign", owner="rs-2", containerStatuses=[crashing(9)]),
        ],
    )
    assert seen.restarts == 4
    assert [(each.pod, each.reason, each.restarts) for each in seen.troubles] == [
        ("checkout-6c9f7d-b", "CrashLoopBackOff", 3)
    ]
    assert seen.troubles[0].message == "container app: back-off 10s: last exit code 137"
    assert (seen.hash, seen.revision, seen.ready, seen.available) == ("6c9f7d", 3, 3, 2)

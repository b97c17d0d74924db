"""What one pod tells."""

from typing import Any

import pytest

from rollout.workloads import pods


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "shop", "uid": "u"}, "status": status}


def waiting(reason: str) -> dict[str, Any]:
    return {"name": "app", "restartCount": 0, "state": {"waiting": {"reason": reason}}}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param({}, None, id="a pod that was only just created"),
        pytest.param(
            {"containerStatuses": [waiting("ContainerCreating")]}, None, id="a container being created"
        ),
        pytest.param({"containerStatuses": [waiting("PodInitializing")]}, None, id="init containers at work"),
        pytest.param({"containerStatuses": [waiting("ImagePullBackOff")]}, "ImagePullBackOff", id="no image"),
        pytest.param({"containerStatuses": [waiting("CrashLoopBackOff")]}, "CrashLoopBackOff", id="crashing"),
        pytest.param(
            {
                "initContainerStatuses": [waiting("CreateContainerConfigError")],
                "containerStatuses": [waiting("PodInitializing")],
            },
            "CreateContainerConfigError",
            id="an init container without its configuration",
        ),
    ],
)
def test_trouble_is_what_does_not_pass_by_waiting(status: dict[str, Any], reason: str | None) -> None:
    trouble = pods.read(pod(**status)).trouble
    assert (trouble.reason if trouble else None) == reason


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        pytest.param([{"type": "Ready", "status": "True"}], True, id="ready"),
        pytest.param([{"type": "Ready", "status": "False"}], False, id="not ready"),
        pytest.param([{"type": "PodScheduled", "status": "True"}], False, id="only scheduled"),
    ],
)
def test_ready_is_the_condition(conditions: list[dict[str, str]], ready: bool) -> None:
    assert pods.read(pod(conditions=conditions)).ready is ready


def test_a_pod_of_nobody_belongs_to_no_revision() -> None:
    read = pods.read(pod())
    assert (read.hash, read.owner_uid, read.terminating, read.restarts) == ("", "", False, 0)

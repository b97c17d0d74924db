"""Pods: what the fast lane and the counting of endpoints need of one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest
from rollout.plan.observed import PodTrouble
from rollout.workloads.labels import HASH_LABEL

TROUBLES = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
        "StartError",
    }
)
"""Reasons of a waiting container that don't pass by waiting a little, as the kubelet writes them."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod."""

    namespace: str
    name: str
    uid: str
    hash: str
    """The revision it belongs to; '' where it carries no label of ours."""
    owner_uid: str
    """Its controller; '' where it has none."""
    ready: bool
    terminating: bool
    restarts: int
    trouble: PodTrouble | None = None


def read(pod: Manifest) -> Pod:
    """A pod as the API server tells it."""
    metadata, status = pod["metadata"], pod.get("status", {})
    containers = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    restarts = sum(int(each.get("restartCount", 0)) for each in containers)
    return Pod(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        hash=(metadata.get("labels") or {}).get(HASH_LABEL, ""),
        owner_uid=controller_uid(metadata),
        ready=_ready(status),
        terminating="deletionTimestamp" in metadata,
        restarts=restarts,
        trouble=_trouble(metadata["name"], restarts, containers),
    )


def controller_uid(metadata: Mapping[str, Any]) -> str:
    """The uid of an object's controller; '' where it has none."""
    owners = metadata.get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _trouble(name: str, restarts: int, containers: Iterable[Mapping[str, Any]]) -> PodTrouble | None:
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in TROUBLES:
            return PodTrouble(name, waiting["reason"], _why(container, waiting), restarts)
    return None


def _why(container: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    """The kubelet's message and, of a crash, how the container last ended."""
    last = (container.get("lastState") or {}).get("terminated") or {}
    ended = f"last exit code {last['exitCode']}" if "exitCode" in last else ""
    parts = (f"container {container.get('name', '')}", str(waiting.get("message") or ""), ended)
    return ": ".join(part for part in parts if part)

"""What controllers ask about pods: readiness, availability, and which go first."""

from datetime import datetime
from typing import Any

from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.controllers.ownership import deleting

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def condition(obj: Object, kind: str) -> Object | None:
    """A status condition by type."""
    return next((c for c in obj.get("status", {}).get("conditions") or () if c["type"] == kind), None)


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is True."""
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True"


def is_active(pod: Object) -> bool:
    """Whether the pod counts: neither finished nor on its way out."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and not deleting(pod)


def instant(text: str | None) -> datetime | None:
    """Read a timestamp of the API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def available_in(pod: Object, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until a ready pod is available: 0 when it is, None when it isn't ready."""
    if not is_ready(pod):
        return None
    ready = condition(pod, "Ready")
    since = instant(ready.get("lastTransitionTime")) if ready else None
    if not min_ready_seconds:
        return 0.0
    if since is None:
        return float(min_ready_seconds)
    return max(0.0, min_ready_seconds - (now - since).total_seconds())


def deletion_rank(pod: Object) -> tuple[Any, ...]:
    """Sorts first what Kubernetes deletes first.

    Unscheduled, pending, not ready, cheap, ready for a shorter time, restarted more often, newer (the order
    of kube-controller-manager's ActivePodsWithRanks; all pods share the one node here).
    """
    meta, status = pod["metadata"], pod.get("status", {})
    ready = condition(pod, "Ready") or {}
    restarts = sum(c.get("restartCount", 0) for c in status.get("containerStatuses") or ())
    return (
        bool(pod["spec"].get("nodeName")),
        _PHASES.get(status.get("phase", "Pending"), 1),
        is_ready(pod),
        _cost(meta.get("annotations") or {}),
        -_seconds(ready.get("lastTransitionTime")) if is_ready(pod) else 0.0,
        -restarts,
        -_seconds(meta.get("creationTimestamp")),
    )


def _cost(annotations: Object) -> int:
    try:
        return int(annotations.get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _seconds(text: str | None) -> float:
    found = instant(text)
    return found.timestamp() if found else 0.0

"""The finalizer that a Rollout carries while traffic is ours."""

from typing import Any

from rollout.api.base import Manifest
from rollout.api.meta import TRAFFIC_FINALIZER


def held(rollout: Manifest) -> bool:
    """Whether the Rollout carries it."""
    return TRAFFIC_FINALIZER in (rollout["metadata"].get("finalizers") or ())


def patch(rollout: Manifest, *, wanted: bool) -> tuple[dict[str, Any], ...]:
    """JSON patch operations (RFC 6902) on `rollout` as read, that set or remove it; empty where it holds.

    Finalizers of others stay. They fail (422) on any object but the one that was read.
    """
    if held(rollout) == wanted:
        return ()
    others = [each for each in rollout["metadata"].get("finalizers") or () if each != TRAFFIC_FINALIZER]
    listed = [*others, TRAFFIC_FINALIZER] if wanted else others
    version = rollout["metadata"]["resourceVersion"]
    return (
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/metadata/finalizers", "value": listed},
    )

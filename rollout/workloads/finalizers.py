"""Finalizers of our kinds: a Rollout's while traffic is ours, a GitSource's while it has to clear away."""

from typing import Any

from rollout.api.base import Manifest
from rollout.api.meta import TRAFFIC_FINALIZER


def held(manifest: Manifest, finalizer: str = TRAFFIC_FINALIZER) -> bool:
    """Whether the object carries it."""
    return finalizer in (manifest["metadata"].get("finalizers") or ())


def patch(
    manifest: Manifest, *, wanted: bool, finalizer: str = TRAFFIC_FINALIZER
) -> tuple[dict[str, Any], ...]:
    """JSON patch operations (RFC 6902) on an object as read, that set or remove it; empty where it holds.

    Finalizers of others stay. They fail (422) on any object but the one that was read.
    """
    if held(manifest, finalizer) == wanted:
        return ()
    others = [each for each in manifest["metadata"].get("finalizers") or () if each != finalizer]
    listed = [*others, finalizer] if wanted else others
    version = manifest["metadata"]["resourceVersion"]
    return (
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/metadata/finalizers", "value": listed},
    )

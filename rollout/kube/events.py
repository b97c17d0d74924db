"""Events for people: what `kubectl describe` tells."""

from datetime import UTC, datetime
from typing import Any

from rollout.api.base import Manifest

COMPONENT = "rollout"
MESSAGE_LIMIT = 1024
"""The API server refuses longer messages."""


def event(
    about: Manifest, reason: str, message: str, now: datetime, *, warning: bool = False
) -> dict[str, Any]:
    """An Event about an object; `about` carries its apiVersion, kind and metadata, `reason` is CamelCase."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace") or "default"
    when = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name'][:200]}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "reason": reason,
        "message": text,
        "type": "Warning" if warning else "Normal",
        "count": 1,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
    }

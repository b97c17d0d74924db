"""Git's Services and routes with the live hash and the live weights in them. Pure.

`rules`, `backendRefs` and a Service's `selector` are atomic: Git's objects, written raw, would undo a
rollback or let both versions' pods into one Service.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rollout.api.base import Manifest
from rollout.git.revision import Revision
from rollout.observe.reading import SOURCE_ANNOTATION, Reading
from rollout.routers import gateway_api
from rollout.workloads import services


def uses(reading: Reading, kind: str, name: str) -> bool:
    """Whether a Rollout writes to this object."""
    if kind == "Service":
        traffic = reading.traffic
        return traffic is not None and name in (traffic.stable_service, traffic.canary_service)
    return kind == "HTTPRoute" and any(route.name == name for route in reading.routes)


def compose(wanted: Manifest, live: Manifest | None, rollouts: Iterable[Reading]) -> dict[str, Any]:
    """`wanted` as it may be written while these Rollouts use it.

    Raises:
        InvalidSpec: Git's route does not hold a pair that the live one splits.
    """
    composed = dict(wanted)
    for reading in rollouts:
        if wanted["kind"] == "Service":
            composed = services.compose(composed, live, _recorded_hash(reading, wanted["metadata"]["name"]))
        else:
            composed = _route(composed, live, reading)
    return composed


def with_source(
    wanted: Manifest, live: Manifest | None, source: str, brought_by: Revision, path: str, blob: str
) -> dict[str, Any]:
    """A Rollout that says which commit brought it; the same content keeps the commit that it came with."""
    told = _told(live)
    if told.get("blob") == blob and told.get("path") == path and told.get("gitSource") == source:
        text = json.dumps(told)
    else:
        text = json.dumps(
            {
                "gitSource": source,
                "commit": brought_by.sha,
                "branch": brought_by.branch,
                "path": path,
                "subject": brought_by.subject[:200],
                "blob": blob,
            }
        )
    metadata = wanted["metadata"]
    annotations = {**(metadata.get("annotations") or {}), SOURCE_ANNOTATION: text}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def told_blob(live: Manifest | None) -> tuple[str, str]:
    """(blob, commit) that a live Rollout came with."""
    told = _told(live)
    return str(told.get("blob", "")), str(told.get("commit", ""))


def _told(live: Manifest | None) -> Mapping[str, Any]:
    annotations = (live or {}).get("metadata", {}).get("annotations") or {}
    try:
        told = json.loads(annotations.get(SOURCE_ANNOTATION, "{}"))
    except ValueError:
        return {}
    return told if isinstance(told, Mapping) else {}


def _recorded_hash(reading: Reading, service: str) -> str | None:
    status, traffic = reading.status, reading.traffic
    if reading.deleted_at is not None:
        return None
    if traffic is not None and service == traffic.stable_service:
        return status.stable_rs or None
    return status.stable_rs or status.current_pod_hash or None


def _route(composed: dict[str, Any], live: Manifest | None, reading: Reading) -> dict[str, Any]:
    traffic = reading.traffic
    if traffic is None:
        return composed
    for route in reading.routes:
        if route.name == composed["metadata"]["name"]:
            composed = gateway_api.compose(
                composed,
                live,
                traffic.stable_service,
                traffic.canary_service,
                route.rule or None,
                reading.status.canary.desired_weight,
            )
    return composed

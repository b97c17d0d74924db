"""Services: the stable and the canary one, told apart by the revision hash in their selectors."""

from collections.abc import Iterable, Mapping
from typing import Any

from rollout.api.base import Manifest
from rollout.api.errors import Problem
from rollout.plan import observed
from rollout.workloads.endpoints import EndpointSlice, ready_by_hash
from rollout.workloads.labels import HASH_LABEL

_HASH_PATH = f"/spec/selector/{HASH_LABEL}"


def selected_hash(service: Manifest) -> str | None:
    """The revision that the selector names; None where it names none."""
    value = _selector(service).get(HASH_LABEL)
    return str(value) if value else None


def read(
    service: Manifest, slices: Iterable[EndpointSlice], hashes: Mapping[str, str], *, settled: bool
) -> observed.Service:
    """What a turn sees of a Service; `slices` and `hashes` (pod name to revision) are of its namespace."""
    metadata = service["metadata"]
    return observed.Service(
        name=metadata["name"],
        resource_version=metadata["resourceVersion"],
        hash=selected_hash(service),
        ready=ready_by_hash(slices, metadata["name"], hashes),
        settled=settled,
    )


def render(service: Manifest, revision_hash: str | None) -> dict[str, Any]:
    """`service` with its selector naming the revision (None: no revision); all else equals what came in."""
    selector = {key: value for key, value in _selector(service).items() if key != HASH_LABEL}
    if revision_hash:
        selector[HASH_LABEL] = revision_hash
    return {**service, "spec": {**service.get("spec", {}), "selector": selector}}


def patch(service: Manifest, revision_hash: str | None) -> tuple[dict[str, Any], ...]:
    """The same as JSON patch operations (RFC 6902) on `service` as read; empty where it says it already.

    They fail (422) on any object but the one that was read.
    """
    selector = _selector(service)
    if selector.get(HASH_LABEL) == revision_hash:
        return ()
    write: dict[str, Any] = {"op": "remove", "path": _HASH_PATH}
    if revision_hash:
        write = {"op": "add", "path": _HASH_PATH, "value": revision_hash}
    return (
        {"op": "test", "path": "/metadata/resourceVersion", "value": service["metadata"]["resourceVersion"]},
        {"op": "test", "path": "/spec/selector", "value": dict(selector)},
        write,
    )


def compose(git: Manifest, live: Manifest | None, recorded_hash: str | None) -> dict[str, Any]:
    """Git's Service with the revision that the live one selects or, where it selects none, the recorded one.

    `selector` is one atomic field: Git's, written as it stands, would let both versions' pods in. The
    result carries the live resourceVersion, so that writing it fails (409) on any object but the one that
    was read.
    """
    composed = render(git, (selected_hash(live) if live else None) or recorded_hash)
    metadata = {key: value for key, value in composed.get("metadata", {}).items() if key != "resourceVersion"}
    if live:
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    return {**composed, "metadata": metadata}


def problems(
    service: Manifest | None, name: str, labels: Mapping[str, str], path: str
) -> tuple[Problem, ...]:
    """What keeps the Service `name`, referred to at field `path`, from reaching pods with these template
    labels.
    """
    if service is None:
        return (Problem(path, f"the Service {name!r} does not exist", "create it, or name another one"),)
    selector = {key: value for key, value in _selector(service).items() if key != HASH_LABEL}
    if not selector:
        message = f"the Service {name!r} has no selector, so its endpoints can't be steered"
        return (Problem(path, message, "give it a selector that matches spec.template.metadata.labels"),)
    foreign = sorted(f"{key}={value}" for key, value in selector.items() if labels.get(key) != value)
    if foreign:
        message = f"the Service {name!r} selects {', '.join(foreign)}, which the pods don't carry"
        return (Problem(path, message, "let its selector match spec.template.metadata.labels"),)
    return ()


def _selector(service: Manifest) -> Mapping[str, Any]:
    selector: Mapping[str, Any] = service.get("spec", {}).get("selector") or {}
    return selector

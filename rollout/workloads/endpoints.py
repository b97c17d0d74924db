"""EndpointSlices: which revisions a Service reaches, by ready endpoints that are not on their way out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest

SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """One slice of a Service's endpoints."""

    namespace: str
    name: str
    service: str
    serving: tuple[str, ...]
    """Who serves: a pod's name, or `address:<ip>` for an endpoint without one; ready and not terminating."""


def read(endpoint_slice: Manifest) -> EndpointSlice:
    """A slice as the API server tells it."""
    metadata = endpoint_slice["metadata"]
    return EndpointSlice(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        service=(metadata.get("labels") or {}).get(SERVICE_LABEL, ""),
        serving=tuple(sorted(_who(each) for each in endpoint_slice.get("endpoints") or () if _serves(each))),
    )


def ready_by_hash(
    slices: Iterable[EndpointSlice], service: str, hashes: Mapping[str, str]
) -> tuple[tuple[str, int], ...]:
    """(revision hash, endpoints) of `service`, sorted; `hashes` is revision by pod name.

    An endpoint that is no pod of ours counts under ''. A pod counts once, in however many slices it stands
    (one a family of addresses).
    """
    serving = {who for each in slices if each.service == service for who in each.serving}
    return tuple(sorted(Counter(hashes.get(who, "") for who in serving).items()))


def _serves(endpoint: Mapping[str, Any]) -> bool:
    """Absent `ready` means ready and absent `terminating` means not, by the EndpointSlice API."""
    conditions = endpoint.get("conditions") or {}
    return conditions.get("ready") is not False and conditions.get("terminating") is not True


def _who(endpoint: Mapping[str, Any]) -> str:
    target = endpoint.get("targetRef") or {}
    if target.get("kind") == "Pod":
        return str(target["name"])
    return f"address:{next(iter(endpoint.get('addresses') or ()), '')}"

"""A snapshot, and how its parts are told from what was read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rollout.api.base import Manifest
from rollout.api.status import Stage
from rollout.observe.reading import Reading
from rollout.plan import observed
from rollout.plan.observed import Observed, Plane
from rollout.routers import gateway_api
from rollout.routers.planes import read_plane
from rollout.workloads import runs


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot, and the objects it was made of, for those who write them."""

    at: datetime
    """When it was complete: a turn that was stopped while it read counts no time that it did not see."""
    rollout: Manifest
    observed: Observed
    services: Mapping[str, Manifest]
    routes: Mapping[str, Manifest]
    templates: runs.Templates
    plane: Plane
    live: bool
    """Whether writes may rest on it; else it was good for a look."""


def under_way(reading: Reading) -> bool:
    """Whether traffic may move: what writes would rest on is then read live."""
    return reading.deleted_at is not None or reading.status.stage not in (Stage.STABLE, Stage.REFUSED)


def alone(rollout: Manifest, reading: Reading, why: str) -> Observed:
    """A Rollout of whose surroundings nothing could be read."""
    metadata = rollout["metadata"]
    return Observed(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        resource_version=metadata["resourceVersion"],
        status=reading.status,
        traffic=reading.traffic,
        deleted_at=reading.deleted_at,
        finalized=reading.finalized,
        unread=why,
    )


def plane_of(reading: Reading, found: Mapping[str, Manifest]) -> observed.Plane:
    """The data plane that serves its routes, as far as they tell."""
    if reading.traffic is None:
        return observed.UNKNOWN_PLANE
    ours = ((found[each.name], each.rule or None) for each in reading.routes if each.name in found)
    return read_plane(ours, reading.traffic.stable_service, reading.traffic.canary_service)


def seen_routes(reading: Reading, found: Mapping[str, Manifest]) -> tuple[observed.Route, ...]:
    """What its routes say of its two Services."""
    seen = []
    for named in reading.routes:
        manifest = found.get(named.name)
        if manifest is None or reading.traffic is None:
            continue
        told = gateway_api.read(
            manifest, reading.traffic.stable_service, reading.traffic.canary_service, named.rule or None
        )
        seen.append(
            observed.Route(
                kind="HTTPRoute",
                name=named.name,
                rule=named.rule,
                resource_version=manifest["metadata"]["resourceVersion"],
                canary_percent=told.canary_percent,
                exact=told.exact,
                accepted=told.accepted,
                message=told.message,
            )
        )
    return tuple(seen)


def replicas_of(reading: Reading, replica_sets: tuple[observed.ReplicaSet, ...]) -> int:
    """spec.replicas; absent keeps the live value of the stable version, else 1."""
    if reading.spec is not None and reading.spec.replicas is not None:
        return reading.spec.replicas
    stable = next((each for each in replica_sets if each.hash == reading.status.stable_rs), None)
    return stable.wanted if stable is not None else max((each.wanted for each in replica_sets), default=1)

"""ReplicaSets: one revision's pods, rendered from the Rollout that owns them, and read back."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rollout.api.base import Manifest
from rollout.plan import observed
from rollout.workloads.labels import ATTEMPT, DESIRED_REPLICAS, HASH_LABEL, IDENTITY, REVISION, SCALE_DOWN_AT
from rollout.workloads.pods import Pod, controller_uid


@dataclass(frozen=True, slots=True)
class Revision:
    """What marks one revision."""

    hash: str
    """The pod template hash: suffix of the ReplicaSet's name and value of the label."""
    number: int
    """Counted from 1."""
    identity: str = ""
    """The identity of the template as written."""
    attempt: str = ""


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """A ReplicaSet as its own object tells it; its pods' troubles are added by `observe`."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner_uid: str
    """Its controller; '' for an orphan."""
    revision: Revision
    created_at: datetime
    wanted: int
    created: int
    ready: int
    available: int
    scale_down_at: datetime | None
    desired_replicas: int | None
    images: tuple[str, ...]
    deleting: bool


def name_of(rollout: str, revision_hash: str) -> str:
    """The name of the ReplicaSet of a revision."""
    return f"{rollout}-{revision_hash}"


def render(rollout: Manifest, revision: Revision, replicas: int) -> dict[str, Any]:
    """The ReplicaSet of `revision`, as it is created; `rollout` is the live object, with its kind and uid."""
    metadata, spec = rollout["metadata"], rollout["spec"]
    template = deepcopy(dict(spec["template"]))
    template["metadata"] = _labelled(template.get("metadata") or {}, revision.hash)
    selector = deepcopy(dict(spec["selector"]))
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: revision.hash}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name_of(metadata["name"], revision.hash),
            "namespace": metadata["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": _annotations(revision, replicas),
            "ownerReferences": [_owner(rollout)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": spec.get("minReadySeconds", 0),
            "selector": selector,
            "template": template,
        },
    }


def patch(
    replica_set: observed.ReplicaSet | ReplicaSet,
    replicas: int,
    scale_down_at: datetime | None = None,
    revision: Revision | None = None,
) -> dict[str, Any]:
    """A merge patch that sets the replicas and when they may go (None: not set), and re-marks the revision.

    It carries the resourceVersion as read: 409 on any object but that one.
    """
    marks: dict[str, str | None] = dict(_annotations(revision, replicas)) if revision else {}
    marks[DESIRED_REPLICAS] = str(replicas)
    marks[SCALE_DOWN_AT] = time_text(scale_down_at) if scale_down_at else None
    return {
        "metadata": {"resourceVersion": replica_set.resource_version, "annotations": marks},
        "spec": {"replicas": replicas},
    }


def read(replica_set: Manifest) -> ReplicaSet:
    """A ReplicaSet as the API server tells it; marks that are missing or unreadable count as absent."""
    metadata, spec, status = replica_set["metadata"], replica_set["spec"], replica_set.get("status", {})
    marks = metadata.get("annotations") or {}
    pod_spec = spec.get("template", {}).get("spec", {})
    return ReplicaSet(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        owner_uid=controller_uid(metadata),
        revision=Revision(
            hash=(metadata.get("labels") or {}).get(HASH_LABEL, ""),
            number=_number(marks.get(REVISION)) or 0,
            identity=marks.get(IDENTITY, ""),
            attempt=marks.get(ATTEMPT, ""),
        ),
        created_at=_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
        wanted=int(spec.get("replicas", 1)),
        created=int(status.get("replicas", 0)),
        ready=int(status.get("readyReplicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        scale_down_at=_time(marks.get(SCALE_DOWN_AT)),
        desired_replicas=_number(marks.get(DESIRED_REPLICAS)),
        images=tuple(str(each.get("image", "")) for each in pod_spec.get("containers") or ()),
        deleting="deletionTimestamp" in metadata,
    )


def observe(replica_set: ReplicaSet, pods: Iterable[Pod]) -> observed.ReplicaSet:
    """What a turn sees of it: with the troubles and restarts of its live pods among `pods`."""
    live = [pod for pod in pods if pod.owner_uid == replica_set.uid and not pod.terminating]
    return observed.ReplicaSet(
        name=replica_set.name,
        hash=replica_set.revision.hash,
        uid=replica_set.uid,
        resource_version=replica_set.resource_version,
        revision=replica_set.revision.number,
        created_at=replica_set.created_at,
        wanted=replica_set.wanted,
        created=replica_set.created,
        ready=replica_set.ready,
        available=replica_set.available,
        scale_down_at=replica_set.scale_down_at,
        images=replica_set.images,
        troubles=tuple(sorted((pod.trouble for pod in live if pod.trouble), key=lambda trouble: trouble.pod)),
        restarts=sum(pod.restarts for pod in live),
    )


def time_text(when: datetime) -> str:
    """RFC 3339 in UTC, to the second or finer where it is finer."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _labelled(metadata: Mapping[str, Any], revision_hash: str) -> dict[str, Any]:
    return {**metadata, "labels": {**(metadata.get("labels") or {}), HASH_LABEL: revision_hash}}


def _annotations(revision: Revision, replicas: int) -> dict[str, str]:
    """Marks; what the revision does not say is left as it is."""
    marks = {
        REVISION: str(revision.number),
        IDENTITY: revision.identity,
        ATTEMPT: revision.attempt,
        DESIRED_REPLICAS: str(replicas),
    }
    return {name: value for name, value in marks.items() if value}


def _owner(rollout: Manifest) -> dict[str, Any]:
    return {
        "apiVersion": rollout["apiVersion"],
        "kind": rollout["kind"],
        "name": rollout["metadata"]["name"],
        "uid": rollout["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _time(text: object) -> datetime | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return when if when.tzinfo else None


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() else None

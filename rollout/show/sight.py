"""What is to be seen of one Rollout, gathered from its object and its ReplicaSets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollout.api.status import ConditionType, RolloutStatus, Stage
from rollout.show.steps import Steps, position, steps_of, words

HASH_LABEL = "rollouts-pod-template-hash"
SHORT_COMMIT = 7
DEFAULT_FALSE_ROLLBACK = "1%"

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arm:
    """One version and the pods that serve it."""

    hash: str
    version: str
    ready: int | None
    """None where its ReplicaSet is not (or may not be) seen."""
    wanted: int | None
    weight: int | None
    """Percent of the pair as it was read back; None where it was not."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One Rollout as a person looks at it."""

    name: str
    namespace: str
    created_at: datetime | None
    status: RolloutStatus
    steps: Steps
    stable: Arm | None
    canary: Arm | None
    """None while what is wanted is stable."""
    false_rollback: str
    """Empty where nothing is judged."""

    @property
    def under_way(self) -> bool:
        """Whether steps are being taken."""
        idle = self.status.stage in (Stage.INITIAL, Stage.STABLE, Stage.REFUSED)
        return not idle and self.canary is not None and self.status.current_step_index is not None

    @property
    def position(self) -> str:
        """`3/8`, or empty while no step is being taken."""
        return position(self.steps, self.status.current_step_index) if self.under_way else ""

    @property
    def step(self) -> str:
        """The present step in words."""
        index = self.status.current_step_index
        return words(self.steps, index) if self.under_way and index is not None else ""

    @property
    def git(self) -> str:
        """Branch and commit: `main@1a2b3c4`; empty where no GitSource brought it."""
        source = self.status.source
        if source is None or not source.commit:
            return ""
        return "@".join(part for part in (source.branch, source.commit[:SHORT_COMMIT]) if part)

    def condition(self, kind: ConditionType) -> bool:
        """Whether a condition is True."""
        return any(each.type is kind and each.status == "True" for each in self.status.conditions)


def status_of(rollout: Object) -> RolloutStatus:
    """The status, fields of newer versions left out."""
    return RolloutStatus.model_validate(rollout.get("status") or {}, extra="ignore")


def sight(rollout: Object, replica_sets: Iterable[Object] = ()) -> Sight:
    """Gather what is to be seen; `replica_sets` may hold foreign ones and may be empty."""
    meta = rollout["metadata"]
    status = status_of(rollout)
    own = {_hash(each): each for each in replica_sets if _is_owned(each, meta.get("uid"))}
    weights = status.canary.weights
    versions = {entry.hash: entry.version for entry in status.history if entry.version}
    stable, canary = status.stable_rs, status.current_pod_hash
    return Sight(
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        created_at=_time(meta.get("creationTimestamp")),
        status=status,
        steps=steps_of(rollout),
        stable=_arm(stable, own, versions, weights.stable.weight if weights else None),
        canary=None
        if canary == stable
        else _arm(canary, own, versions, weights.canary.weight if weights else None),
        false_rollback=_false_rollback(rollout),
    )


def tag(images: Iterable[str]) -> str:
    """What tells versions apart for people: the tag of each image, else the end of its digest or name."""
    return ",".join(_tag(image) for image in images)


def _tag(image: str) -> str:
    name, _, digest = image.strip().partition("@")
    last = name.rpartition("/")[2]
    return last.partition(":")[2] or digest.rpartition(":")[2][:12] or last


def _arm(
    revision: str, own: Mapping[str, Object], versions: Mapping[str, str], weight: int | None
) -> Arm | None:
    if not revision:
        return None
    found = own.get(revision)
    if found is None:
        return Arm(revision, tag([versions[revision]]) if revision in versions else "", None, None, weight)
    containers = found["spec"].get("template", {}).get("spec", {}).get("containers", [])
    return Arm(
        hash=revision,
        version=tag(each["image"] for each in containers if each.get("image")),
        ready=found.get("status", {}).get("readyReplicas", 0),
        wanted=found["spec"].get("replicas", 1),
        weight=weight,
    )


def _hash(replica_set: Object) -> str:
    label: str = (replica_set["metadata"].get("labels") or {}).get(HASH_LABEL, "")
    return label


def _is_owned(replica_set: Object, uid: str | None) -> bool:
    owners = replica_set["metadata"].get("ownerReferences") or []
    return any(owner.get("uid") == uid for owner in owners)


def _false_rollback(rollout: Object) -> str:
    canary = (rollout.get("spec") or {}).get("strategy", {}).get("canary") or {}
    analysis = canary.get("analysis")
    return str(analysis.get("falseRollback", DEFAULT_FALSE_ROLLBACK)) if isinstance(analysis, Mapping) else ""


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

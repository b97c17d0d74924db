"""How the world shall be, never how it shall change: doing an action twice does it once.

Their order is the safety argument. `RecordStatus` stands before whatever raises a weight, changes a selector
or takes pods away; execution stops at the first action that fails.
"""

from dataclasses import dataclass
from datetime import datetime

from rollout.api.status import RolloutStatus


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """The write-ahead log and the fence: a status PUT with the snapshot's resourceVersion."""

    status: RolloutStatus


@dataclass(frozen=True, slots=True)
class EnsureFinalizer:
    """The Rollout carries the traffic finalizer, or carries it no longer."""

    held: bool


@dataclass(frozen=True, slots=True)
class EnsureReplicaSet:
    """The wanted revision has a ReplicaSet with so many replicas."""

    hash: str
    revision: int
    replicas: int


@dataclass(frozen=True, slots=True)
class EnsureReplicas:
    """An existing ReplicaSet has so many replicas; `scale_down_at` is set or removed with it."""

    name: str
    replicas: int
    scale_down_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RemoveReplicaSet:
    """An old ReplicaSet beyond the history limit is gone."""

    name: str


@dataclass(frozen=True, slots=True)
class EnsureWeights:
    """Every route of this Rollout gives the canary so many percent of our pair."""

    canary_percent: int


@dataclass(frozen=True, slots=True)
class EnsureSelector:
    """A Service's selector names this revision; None: no revision of ours."""

    service: str
    hash: str | None


@dataclass(frozen=True, slots=True)
class EnsureRun:
    """An AnalysisRun exists: `role` is `background` or the step's index as text."""

    name: str
    role: str
    attempt: str
    hash: str


@dataclass(frozen=True, slots=True)
class FinishRun:
    """An AnalysisRun has ended with this phase (Successful, Failed, Error, Inconclusive) and message."""

    name: str
    phase: str
    message: str


@dataclass(frozen=True, slots=True)
class ClearIntent:
    """The intent's annotation is removed, if it still has this value."""

    annotation: str
    value: str


@dataclass(frozen=True, slots=True)
class Announce:
    """An Event for people."""

    reason: str
    message: str
    warning: bool = False
    of: EnsureWeights | EnsureSelector | None = None
    """The write that it tells of: told only where that was done; None where it is of what was recorded."""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Look again at this time; now or earlier means at once."""

    when: datetime


Action = (
    RecordStatus
    | EnsureFinalizer
    | EnsureReplicaSet
    | EnsureReplicas
    | RemoveReplicaSet
    | EnsureWeights
    | EnsureSelector
    | EnsureRun
    | FinishRun
    | ClearIntent
    | Announce
    | WakeAt
)

"""The world as one turn read it: immutable, small, and everything that a decision may rest on.

Nothing here is a Kubernetes object; `rollout.observe` fills it from the caches and, where staleness would
hurt, from live reads. An absent thing is None, never a default.
"""

from dataclasses import dataclass, field
from datetime import datetime

from rollout.api.errors import Problem
from rollout.api.intents import Intent
from rollout.api.rollout import RolloutSpec
from rollout.api.status import RefusedAttempt, RolloutStatus, SourceStatus


@dataclass(frozen=True, slots=True)
class PodTrouble:
    """A pod that will not get well by waiting a little (fast lane P5)."""

    pod: str
    reason: str
    """As the kubelet says: CrashLoopBackOff, ImagePullBackOff, CreateContainerConfigError, ..."""
    message: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """One revision's pods."""

    name: str
    hash: str
    uid: str
    resource_version: str
    revision: int
    created_at: datetime
    wanted: int
    """spec.replicas"""
    created: int = 0
    ready: int = 0
    available: int = 0
    scale_down_at: datetime | None = None
    """When its pods may go, as its annotation says."""
    images: tuple[str, ...] = ()
    troubles: tuple[PodTrouble, ...] = ()
    restarts: int = 0
    """Container restarts over its live pods."""


@dataclass(frozen=True, slots=True)
class Service:
    """A Service of ours and whom it reaches."""

    name: str
    resource_version: str
    hash: str | None
    """The revision its live selector names; None while it names none (before adoption)."""
    ready: tuple[tuple[str, int], ...] = ()
    """(revision hash, ready and non-terminating endpoints) for each revision its EndpointSlices hold; a
    foreign pod counts under the hash ''."""
    settled: bool = False
    """Selector and endpoints have stood as they are for `minSettle`."""

    def ready_of(self, revision: str) -> int:
        """Ready endpoints of `revision`."""
        return dict(self.ready).get(revision, 0)

    @property
    def ready_total(self) -> int:
        """Ready endpoints of whatever revision."""
        return sum(count for _, count in self.ready)

    def serves_only(self, revision: str) -> bool:
        """Whether ready endpoints exist and all are of `revision`."""
        return self.ready_of(revision) > 0 and self.ready_of(revision) == self.ready_total


@dataclass(frozen=True, slots=True)
class Route:
    """A traffic object's rule that holds our pair."""

    kind: str
    name: str
    rule: str
    """The rule's name, or its index where it has none."""
    resource_version: str
    canary_percent: int | None
    """Observed percent of the pair that goes to canary, rounded up so that no trace reads as 0."""
    exact: bool = True
    """Whether `canary_percent` is exact: a foreign weight may be unrepresentable as whole percent."""
    accepted: bool | None = None
    """The object's own status: True, False, or None where it says nothing (yet) for this generation."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a route's rule names our pair."""

    route: str
    rule: int
    """The rule's index."""
    stable: int
    """The place of the stable Service in the rule's backendRefs."""
    canary: int
    filtered: bool = False
    """Whether one of the rule's backendRefs has filters of its own."""

    def at(self, arm: str) -> int:
        """The place of `stable` or `canary`."""
        return self.stable if arm == "stable" else self.canary


@dataclass(frozen=True, slots=True)
class Plane:
    """What the routes tell of the data plane that serves them."""

    controllers: tuple[str, ...] = ()
    """The `controllerName` of each implementation that took a route; none while none says so."""
    backends: tuple[Backend, ...] = ()


UNKNOWN_PLANE = Plane()


@dataclass(frozen=True, slots=True)
class Run:
    """An AnalysisRun of ours."""

    name: str
    uid: str
    resource_version: str
    phase: str
    message: str = ""
    attempt: str = ""
    role: str = ""
    """`background`, or the step's index as text."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the spec asks for now."""

    hash: str
    attempt: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """Names of the traffic objects, read leniently, so that an abort works while the spec is invalid."""

    stable_service: str
    canary_service: str


@dataclass(frozen=True, slots=True)
class Observed:
    """One Rollout and all that belongs to it, as of one moment."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    status: RolloutStatus
    spec: RolloutSpec | None = None
    """None while the spec is invalid; `problems` says why."""
    problems: tuple[Problem, ...] = ()
    """Of the spec and of what it refers to. A reference's problem leaves `spec` in place."""
    wanted: Wanted | None = None
    """None only while the template itself is unreadable."""
    traffic: Traffic | None = None
    """None where no traffic routing is asked for."""
    replicas: int = 1
    """spec.replicas, or the live value, or 1."""
    intents: tuple[Intent, ...] = ()
    replica_sets: tuple[ReplicaSet, ...] = ()
    stable_service: Service | None = None
    canary_service: Service | None = None
    routes: tuple[Route, ...] = ()
    runs: tuple[Run, ...] = ()
    source: SourceStatus | None = None
    recovered: tuple[RefusedAttempt, ...] | None = None
    """What Git tells of attempts that were refused in a cluster before this one, where the template is the
    last good one of that cluster; None where it is the one that is wanted."""
    deleted_at: datetime | None = None
    """Since when it is being deleted; None while it is not."""
    finalized: bool = False
    """Whether it carries our finalizer: weights or selectors may be ours."""
    unread: str = ""
    """Why Services, routes or pods could not be read; '' where they were. Of a Rollout being deleted only."""
    notes: tuple[str, ...] = field(default=())
    """Warnings that observation itself makes, for Events: `FieldsPruned: ...`."""

    def replica_set(self, revision: str) -> ReplicaSet | None:
        """The ReplicaSet of `revision`."""
        return next((each for each in self.replica_sets if each.hash == revision), None)

    def reads_back(self, canary_percent: int) -> bool:
        """Whether every route gives the canary exactly so much."""
        return bool(self.routes) and all(
            route.exact and route.canary_percent == canary_percent for route in self.routes
        )

    @property
    def canary_percent(self) -> int | None:
        """The largest canary share over all routes; None while no route of ours can be read."""
        shares = [route.canary_percent for route in self.routes if route.canary_percent is not None]
        return max(shares) if shares and len(shares) == len(self.routes) else None

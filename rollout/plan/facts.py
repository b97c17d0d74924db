"""What one turn knows, and the questions that several decisions ask of it. Nothing is decided here."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rollout.api.rollout import Canary, RolloutSpec, Step
from rollout.api.status import PauseReason, RolloutStatus
from rollout.plan import floor, schedule
from rollout.plan.evidence import Evidence
from rollout.plan.observed import Observed, ReplicaSet, Service


@dataclass(frozen=True, slots=True)
class Facts:
    """The snapshot, the evidence and the time of one turn."""

    observed: Observed
    evidence: Evidence
    now: datetime

    @property
    def spec(self) -> RolloutSpec | None:
        """What is asked for; None while it can't be read."""
        return self.observed.spec

    @property
    def canary(self) -> Canary | None:
        """The strategy; None while the spec can't be read."""
        return self.spec.strategy.canary if self.spec else None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps asked for now; none while the spec can't be read."""
        return self.canary.steps if self.canary else ()

    @property
    def invalid(self) -> bool:
        """Whether the spec, or what it refers to, has to be mended first."""
        return self.spec is None or bool(self.observed.problems)

    @property
    def blocked(self) -> bool:
        """Whether somebody has to mend something first: nothing goes forward, everything goes back."""
        return self.invalid or bool(self.evidence.problems)

    @property
    def replicas(self) -> int:
        """Pods wanted in all: those asked for, and no fewer than the floor while it stands (D5)."""
        return max(self.observed.replicas, floor.least(self.observed.status, self.now))

    @property
    def live(self) -> int | None:
        """The largest canary share over all routes, in percent; None while one can't be read."""
        return self.observed.canary_percent

    def reads_back(self, canary_percent: int) -> bool:
        """Whether every route gives the canary exactly so much."""
        return self.observed.reads_back(canary_percent)

    @property
    def accepted(self) -> bool | None:
        """What the routes' own status says: False if one says no, None if one says nothing."""
        says = {route.accepted for route in self.observed.routes}
        return False if False in says else None if None in says or not says else True

    def available(self, revision: str) -> int:
        """Available pods of `revision`."""
        found = self.observed.replica_set(revision)
        return found.available if found else 0

    @property
    def canary_gone(self) -> bool:
        """Whether the canary Service reaches nobody: all its traffic is lost."""
        service = self.observed.canary_service
        return service is not None and service.ready_total == 0

    def settled_at(self, status: RolloutStatus, canary_percent: int) -> bool:
        """Whether the recorded weight is `canary_percent`, in effect, and has stood for the settling time."""
        return (
            status.canary.desired_weight == canary_percent
            and self.in_effect(status)
            and status.weight_since is not None
            and self.now >= status.weight_since + schedule.MIN_SETTLE
        )

    def in_effect(self, status: RolloutStatus) -> bool:
        """Whether the recorded weight was read back from every route and denied by no status (D2)."""
        if status.weight_since is None or not self.reads_back(status.canary.desired_weight):
            return False
        waited = self.now >= status.weight_since + schedule.ACCEPT_WAIT
        return self.accepted is True or (self.accepted is None and waited)

    def steps_edited(self, status: RolloutStatus) -> bool:
        """Whether the steps are no longer those that this attempt began with."""
        return self.spec is not None and schedule.step_hash(self.steps) != status.current_step_hash

    def paused_by_user(self, status: RolloutStatus) -> bool:
        """Whether a person holds it, by `spec.paused` or by an intent."""
        return bool(self.spec and self.spec.paused) or pauses(status, PauseReason.USER)


def pauses(status: RolloutStatus, reason: PauseReason) -> bool:
    """Whether a pause for `reason` is under way."""
    return any(condition.reason is reason for condition in status.pause_conditions)


def ready(service: Service | None) -> int:
    """Ready endpoints behind a Service, of whatever revision."""
    return service.ready_total if service else 0


def names(service: Service | None, revision: str) -> bool:
    """Whether the Service's live selector names `revision`."""
    return service is not None and service.hash == revision


def reaches_only(service: Service | None, revision: str) -> bool:
    """Whether the Service names `revision`, and its ready endpoints, at least one, are all of it."""
    return service is not None and service.hash == revision and service.serves_only(revision)


def others(replica_sets: Iterable[ReplicaSet], *revisions: str) -> list[ReplicaSet]:
    """ReplicaSets of other revisions, oldest first."""
    return sorted(
        (each for each in replica_sets if each.hash not in revisions), key=lambda each: each.revision
    )

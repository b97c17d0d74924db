"""What can go wrong, and when: values that can be drawn, written down, left out and played again."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from .prometheus import Mode


class Kind(StrEnum):
    """What happens."""

    # to one call to the API server
    KILL_BEFORE = "killed before"
    KILL_AFTER = "killed after"
    FREEZE_BEFORE = "frozen before"  # stopped, another takes over, and it goes on later
    FREEZE_AFTER = "frozen after"
    FREEZE_SENT = "frozen as it went out"  # it is on its way then, and is done late
    DELAY = "delayed"
    CUT_BEFORE = "cut before"
    CUT_AFTER = "cut after"
    HANG_BEFORE = "no answer, not done"
    HANG_AFTER = "no answer, done"
    TWICE = "sent twice"
    CONFLICT = "409"
    EXPIRED = "410"
    TEST_FAILED = "422"
    INVALID = "422 with causes"
    BUSY = "429"
    BROKEN = "500"
    UNAVAILABLE = "503"
    # to the API server, from a time on
    STORM = "a third of all calls fails"
    WATCHES_CUT = "watches cut"
    WATCHES_GONE = "watches told 410"
    WATCHES_LATE = "watches late"
    # to operators
    SECOND = "a second operator"
    KILLED = "killed at rest"
    # to Prometheus
    METRICS = "metrics"
    RESETS = "counters reset"
    # to Git
    GIT_GONE = "Git is gone"
    GIT_HANGS = "Git hangs"
    GIT_FORCED = "the branch is forced"
    # to an operator's work on Git, at the n-th time that a statement runs or a git is started
    LEFT_GIT = "killed, its git goes on"
    LOST_GIT = "killed with its git"
    LOST_DISK = "killed with its git, its disk is lost"
    GIT_KILLED = "a git is killed"
    # to the world
    POD_GONE = "a pod is deleted"
    CANARY_GONE = "all canary pods are deleted"
    STABLE_GONE = "all stable pods are deleted"
    SLOW_PODS = "new pods are slow"
    CANARY_UNREADY = "canary pods not ready"
    STABLE_UNREADY = "stable pods not ready"
    FLIPPING = "pods flip"
    FOREIGN_WEIGHT = "a foreign weight"
    FOREIGN_SELECTOR = "a foreign selector"


CALLS = tuple(Kind)[: list(Kind).index(Kind.STORM)]
"""What happens to one call."""
FREEZES = {Kind.FREEZE_BEFORE, Kind.FREEZE_AFTER, Kind.FREEZE_SENT}
STATEMENTS = {Kind.LEFT_GIT, Kind.LOST_GIT, Kind.LOST_DISK, Kind.GIT_KILLED}
GIT = {Kind.GIT_GONE, Kind.GIT_HANGS, Kind.GIT_FORCED}
ERRORS = {
    Kind.CONFLICT: 409,
    Kind.EXPIRED: 410,
    Kind.TEST_FAILED: 422,
    Kind.INVALID: 422,
    Kind.BUSY: 429,
    Kind.BROKEN: 500,
    Kind.UNAVAILABLE: 503,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: at the n-th write (`write`), request, or call at a site (`verb resource`);
    or at a time, in seconds after the story's change began. `seconds` is how long it lasts or takes.
    """

    kind: Kind
    write: int = 0
    request: int = 0
    site: str = ""
    nth: int = 1
    time: float = 0.0
    seconds: float = 0.0
    mode: Mode | None = None

    def __str__(self) -> str:
        if self.write:
            where = f"at write {self.write}"
        elif self.request:
            where = f"at request {self.request}"
        elif self.site:
            where = f"at {self.site} #{self.nth}"
        else:
            where = f"at {self.time:.1f} s"
        lasts = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind}{f' {self.mode}' if self.mode else ''} {where}{lasts}"

    def as_json(self) -> dict[str, Any]:
        """As it is written down; what is not set is left out."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """As it was written down."""
        kind, mode = Kind(told["kind"]), told.get("mode")
        rest = {key: value for key, value in told.items() if key not in {"kind", "mode"}}
        return cls(kind, mode=Mode(mode) if mode else None, **rest)

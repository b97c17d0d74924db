"""What was seen in each act, and whether it was what the story tells. Values only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rollout.api.status import HistoryEntry, Phase, RolloutStatus
from rollout.demo.story import Act
from rollout.sandbox.shop.load import LoadReport
from rollout.show.sight import Sight, tag

NOBODY = "-"
"""The version that the load generator counts answers under that no version gave."""


@dataclass(frozen=True, slots=True)
class Users:
    """What users saw during an act."""

    canary: int
    """Requests that the version under trial answered."""
    stable: int
    """Requests that other versions answered."""
    failed_by_canary: int
    failed_by_stable: int
    failed_by_nobody: int
    """Requests that no version answered: the proxy's own errors, and connections cut."""

    @property
    def failed(self) -> int:
        """All failures."""
        return self.failed_by_canary + self.failed_by_stable + self.failed_by_nobody


@dataclass(frozen=True, slots=True)
class Record:
    """One act as it was seen to end."""

    act: str
    title: str
    version: str
    revision: int | None
    hash: str
    commit: str
    phase: str
    serves: str
    verdict: str
    reason: str
    decided_at: datetime | None
    """The deciding scrape, or the annotation."""
    last_answer_at: datetime | None
    """The last answer of the version under trial."""
    top_weight: int
    users: Users
    took_s: float
    complaint: str
    differences: tuple[str, ...]
    """What was not as told; empty where all was."""
    evidence_s: float | None = None
    """For how long its evidence was gathered, where the plan says how long that takes."""
    put_back: str = ""
    """The operator's commit that took this act's back, where it writes to the branch."""
    planned_s: tuple[float, float] | None = None
    """Between which seconds the plan puts it, at the rate of requests that users really made."""

    @property
    def silence_s(self) -> float | None:
        """Seconds from the deciding scrape (or the annotation) to the last canary response at the proxy."""
        if self.decided_at is None or self.last_answer_at is None:
            return None
        return round((self.last_answer_at - self.decided_at).total_seconds(), 3)

    def to_json(self) -> dict[str, Any]:
        """As `--json` writes it."""
        times = {
            key: value.isoformat(timespec="milliseconds")
            for key, value in (("decided_at", self.decided_at), ("last_answer_at", self.last_answer_at))
            if value is not None
        }
        return asdict(self) | times | {"silence_s": self.silence_s, "ok": not self.differences}


def users(canary_version: str | None, before: LoadReport, after: LoadReport) -> Users:
    """The difference of two reports; without a version under trial nobody is the canary."""

    def requests(report: LoadReport, chosen: set[str]) -> int:
        return sum(report.requests(each) for each in chosen)

    def failed(report: LoadReport, chosen: set[str]) -> int:
        return sum(report.failed(each) for each in chosen)

    canary = {canary_version} if canary_version else set()
    nobody = {NOBODY}
    stable = set(after.counts) - canary - nobody
    return Users(
        canary=requests(after, canary) - requests(before, canary),
        stable=requests(after, stable) - requests(before, stable),
        failed_by_canary=failed(after, canary) - failed(before, canary),
        failed_by_stable=failed(after, stable) - failed(before, stable),
        failed_by_nobody=failed(after, nobody) - failed(before, nobody),
    )


def newest(status: RolloutStatus) -> HistoryEntry | None:
    """The newest entry of the history."""
    return max(status.history, key=lambda entry: entry.at, default=None)


def entry_of(status: RolloutStatus, version: str, since: datetime) -> HistoryEntry | None:
    """What became of `version`, told since `since`."""
    found = [each for each in status.history if tag(each.version.split(",")) == version and each.at >= since]
    return max(found, key=lambda entry: entry.at, default=None)


def serving(seen: Sight) -> str:
    """The version that all users get; empty while it is not one alone."""
    weights = seen.status.canary.weights
    alone = seen.canary is None or (weights is not None and weights.canary.weight == 0)
    return seen.stable.version if seen.stable and alone else ""


def differences(
    act: Act, seen: Sight, verdict: str, top_weight: int, counted: Users, complaint: str
) -> tuple[str, ...]:
    """Each thing that ended otherwise than told, as `what: told, seen`."""
    ends = act.ends
    low, high = ends.canary_requests
    most = "any number" if high is None else str(high)
    checks: Mapping[str, tuple[bool, str, str]] = {
        "phase": (seen.status.phase == ends.phase, ends.phase, _word(seen.status.phase)),
        "serving version": (serving(seen) == ends.serves, ends.serves, serving(seen) or "more than one"),
        "verdict": (ends.verdict is None or verdict == ends.verdict, str(ends.verdict), verdict or "none"),
        "top weight": (
            ends.top_weight[0] <= top_weight <= ends.top_weight[1],
            f"{ends.top_weight[0]} to {ends.top_weight[1]} %",
            f"{top_weight} %",
        ),
        "canary requests": (
            low <= counted.canary and (high is None or counted.canary <= high),
            f"{low} to {most}",
            str(counted.canary),
        ),
        "requests that nobody answered": (counted.failed_by_nobody == 0, "0", str(counted.failed_by_nobody)),
        "GitSource's message": (
            bool(ends.complaint.search(complaint)) if ends.complaint else not complaint,
            ends.complaint.pattern if ends.complaint else "none",
            complaint or "none",
        ),
    }
    return tuple(f"{what}: told {told}, seen {was}" for what, (ok, told, was) in checks.items() if not ok)


def _word(phase: Phase | None) -> str:
    return str(phase) if phase else "none"

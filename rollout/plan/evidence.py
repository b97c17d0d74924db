"""What the judge says, as the planner hears it: a verdict with its reason, no numbers to decide on."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rollout.api.status import MetricEvidence


class Outcome(StrEnum):
    """One answer over all metrics that gate the present step."""

    WORSE = "worse"
    """Proved worse than the tolerated margin: roll back."""
    NOT_WORSE = "not worse"
    """Every guardrail proved, by evidence of this step alone, that it is not unacceptably worse."""
    UNDECIDED = "undecided"
    """Not enough evidence yet."""
    BLIND = "blind"
    """No metric data, or the source can't be reached: holds, neither judges (D1, D4)."""
    MISROUTED = "misrouted"
    """Requests do not go where the routes say: holds."""
    FAILED = "failed"
    """More measurements failed their condition than a limit allows: roll back."""
    INCONCLUSIVE = "inconclusive"
    """Measured, and neither good nor bad: waiting brings no answer, somebody has to decide."""
    NONE = "none"
    """This policy asks for no analysis now."""

    @property
    def holds(self) -> bool:
        """Whether nothing may go forward and no clock of a judgement may run."""
        return self in (Outcome.BLIND, Outcome.MISROUTED)


class Sent(StrEnum):
    """What the real requests show of the weight: the reasons of the condition `Misrouted`."""

    UNKNOWN = "NotJudging"
    UNVERIFIED = "ShareUnverified"
    """No request was counted at this weight yet."""
    AS_ASKED = "ShareVerified"
    """Nothing contradicts it."""
    ELSEWHERE = "ShareContradicted"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The judgement on what was measured up to now."""

    outcome: Outcome
    reason: str = ""
    step_key: str = ""
    """The step that fresh evidence was gathered for (`schedule.evidence_key`); of another step: no pass."""
    compatible: bool = False
    """Whether `promoteIfCompatible` may let this step pass without proof."""
    metrics: tuple[MetricEvidence, ...] = ()
    decided_at: datetime | None = None
    """The time of the sample that decided."""
    share: Sent = Sent.UNKNOWN
    """What the requests show of the route."""
    routing: str = ""
    """Where they go instead, and the remedy; '' while nothing contradicts the weight."""
    problems: tuple[str, ...] = ()
    """Configuration errors: a query that Prometheus refuses, several series where one is meant."""
    short: tuple[str, ...] | None = None
    """Of each step that can't reach its margin at the present traffic, why; None while that is not known."""
    told_every: timedelta = timedelta(seconds=2)
    """How often numbers that merely moved are worth a write: more seldom where many Rollouts share."""


NO_EVIDENCE = Evidence(Outcome.NONE)

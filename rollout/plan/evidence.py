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
    FAILED = "failed"
    """More measurements failed their condition than a limit allows: roll back."""
    INCONCLUSIVE = "inconclusive"
    """Measured, and neither good nor bad: waiting brings no answer, somebody has to decide."""
    NONE = "none"
    """This policy asks for no analysis now."""


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
    problems: tuple[str, ...] = ()
    """Configuration errors: a query that Prometheus refuses, several series where one is meant."""
    told_every: timedelta = timedelta(seconds=2)
    """How often numbers that merely moved are worth a write: more seldom where many Rollouts share."""


NO_EVIDENCE = Evidence(Outcome.NONE)

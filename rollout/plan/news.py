"""Numbers that only move are no news: they are recorded with the next change, or after a while.

A look at the metrics comes every scrape; a status write for each would make a paused rollout write for ever.
"""

from datetime import timedelta

from rollout.api.status import MetricEvidence, RolloutStatus
from rollout.plan.facts import Facts

WAITING_EVERY = timedelta(minutes=5)
"""While somebody is waited for."""


def without_mere_numbers(facts: Facts, after: RolloutStatus) -> RolloutStatus:
    """`after`, with the evidence as it was recorded where nothing else is new and it is not old."""
    before = facts.observed.status
    if after.evidence == before.evidence:
        return after
    unmoved = after.model_copy(update={"evidence": before.evidence})
    waits = bool(after.pause_conditions) or facts.paused_by_user(after)
    old = before.evidence_since is None or facts.now - before.evidence_since >= (
        WAITING_EVERY if waits else facts.evidence.told_every
    )
    first = _counted(after.evidence) != _counted(before.evidence)
    if unmoved == before and before.evidence and not old and not first:
        return unmoved
    return after.model_copy(update={"evidence_since": facts.now})


def _counted(evidence: tuple[MetricEvidence, ...]) -> tuple[tuple[str, bool], ...]:
    """Which metrics have counted anything of the canary: the first numbers are news."""
    return tuple((each.metric, each.canary is not None and each.canary.total > 0) for each in evidence)

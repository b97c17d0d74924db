"""What is remembered of revisions: what became of each, and which attempts are refused (invariant I7)."""

from datetime import datetime

from rollout.api.status import (
    HISTORY_LIMIT,
    REFUSED_LIMIT,
    HistoryEntry,
    RefusedAttempt,
    RolloutStatus,
    SourceStatus,
    Verdict,
)
from rollout.plan.facts import Facts

AGAIN = "."
"""Stands between an attempt's key and the number of the retry."""


def key(attempt: str) -> str:
    """The attempt key without the number of the retry."""
    return attempt.partition(AGAIN)[0]


def next_name(facts: Facts, status: RolloutStatus, wanted: str) -> str:
    """The name of a new attempt: `key`, or `key.2`, `key.3` if it was tried: its evidence is its own."""
    named = [run.attempt for run in facts.observed.runs]
    tried = [status.attempt, *named, *(entry.attempt for entry in status.history)]
    numbers = [int(each.partition(AGAIN)[2] or 1) for each in tried if key(each) == wanted]
    return f"{wanted}{AGAIN}{max(numbers) + 1}" if numbers else wanted


def refused(status: RolloutStatus, attempt: str) -> RefusedAttempt | None:
    """The refusal of `attempt`, if it was refused."""
    return next((each for each in status.refused if each.attempt == key(attempt)), None)


def entered(
    facts: Facts,
    status: RolloutStatus,
    verdict: Verdict,
    reason: str,
    revision: str = "",
    decided_at: datetime | None = None,
) -> tuple[HistoryEntry, ...]:
    """History with an entry for the revision under way, or for `revision` as the present commit has it."""
    named = revision or status.current_pod_hash
    source = (facts.observed.source if revision else status.source) or SourceStatus()
    found = facts.observed.replica_set(named)
    entry = HistoryEntry(
        revision=found.revision if found else 0,
        hash=named,
        attempt=status.attempt,
        git_source=source.git_source,
        commit=source.commit,
        version=", ".join(found.images) if found else "",
        verdict=verdict,
        reason=reason,
        top_weight=status.top_weight,
        decided_at=decided_at,
        at=facts.now,
    )
    return (*status.history, entry)[-HISTORY_LIMIT:]


def refusing(
    facts: Facts, status: RolloutStatus, verdict: Verdict, reason: str
) -> tuple[RefusedAttempt, ...]:
    """Refusals with the attempt under way added: as it began, and as the spec words it by now."""
    keys = [key(status.attempt)]
    wanted = facts.observed.wanted
    if wanted is not None and wanted.hash == status.current_pod_hash and wanted.attempt not in keys:
        keys.append(wanted.attempt)
    kept = [each for each in status.refused if each.attempt not in keys]
    added = [
        RefusedAttempt(
            attempt=each, hash=status.current_pod_hash, verdict=verdict, reason=reason, at=facts.now
        )
        for each in keys
    ]
    return tuple([*kept, *added][-REFUSED_LIMIT:])


def forgiving(status: RolloutStatus, attempt: str) -> tuple[RefusedAttempt, ...]:
    """Refusals without `attempt`: somebody asked for it again."""
    return tuple(each for each in status.refused if each.attempt != key(attempt))

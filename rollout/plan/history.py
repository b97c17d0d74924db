"""What is remembered of revisions: what became of each, which attempts are refused (invariant I7), and which
versions were promoted (the rollback window)."""

from collections.abc import Iterable
from datetime import datetime

from rollout.api.status import (
    HISTORY_LIMIT,
    PROMOTED_LIMIT,
    REFUSED_LIMIT,
    HistoryEntry,
    PromotedRevision,
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


def recalling(status: RolloutStatus, recalled: Iterable[RefusedAttempt]) -> tuple[RefusedAttempt, ...]:
    """Refusals with those of a cluster before this one, which count as older."""
    known = {each.attempt for each in status.refused}
    return tuple(
        [*(each for each in recalled if each.attempt not in known), *status.refused][-REFUSED_LIMIT:]
    )


def forgiving(status: RolloutStatus, attempt: str) -> tuple[RefusedAttempt, ...]:
    """Refusals without `attempt`: somebody asked for it again."""
    return tuple(each for each in status.refused if each.attempt != key(attempt))


def promoting(status: RolloutStatus) -> tuple[PromotedRevision, ...]:
    """Promotions with that of the revision under way, after that of the stable version.

    What was promoted after it before is forgotten: a version that people went back from is no older one.
    """
    known = [each.hash for each in status.promoted]
    replaced = [] if not status.stable_rs or status.stable_rs in known else [status.stable_rs]
    promoted = [*status.promoted, *map(_promotion, replaced)]
    hashes = [each.hash for each in promoted]
    if status.current_pod_hash in hashes:
        promoted = promoted[: hashes.index(status.current_pod_hash)]
    return (*promoted, _promotion(status.current_pod_hash))[-PROMOTED_LIMIT - 1 :]


def _promotion(revision: str) -> PromotedRevision:
    return PromotedRevision(hash=revision)


def discrediting(status: RolloutStatus) -> tuple[PromotedRevision, ...]:
    """Promotions, where the revision under way is refused by now."""
    return tuple(
        each.model_copy(update={"refused": True}) if each.hash == status.current_pod_hash else each
        for each in status.promoted
    )


def within_window(facts: Facts, status: RolloutStatus, revision: str) -> bool:
    """Whether `revision` was among the last stable versions before the present one, and not refused since."""
    window = facts.spec.rollback_window.revisions if facts.spec else 0
    older = [each for each in status.promoted if each.hash != status.stable_rs]
    return window > 0 and PromotedRevision(hash=revision) in older[-window:]

"""What a turn of a GitSource came to, and the status that says so. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from rollout.api.base import Manifest
from rollout.api.gitsource import GitSource
from rollout.api.meta import ObjectCondition
from rollout.api.sourcestatus import AppliedRevision, GitSourceStatus, InventoryEntry
from rollout.git.revision import Revision

REQUESTED_AT = ("progressive.delivery/requestedAt", "reconcile.fluxcd.io/requestedAt")
"""Ours, and the one that people know from Flux."""
ALWAYS = frozenset({"Ready", "FetchFailed", "Stalled"})
HISTORY_LIMIT = 10
MESSAGE_LIMIT = 1024


Fact = tuple[str, bool, str, str]
"""A condition: type, whether it holds, reason (empty: it is removed) and message."""
GAPS = "ObjectsSkipped"
"""Reason of Ready, and result in the history, where objects were left out of a revision that stands."""
BEGUN = "Applying"
RECOVERING = "Recovering"
UNFINISHED = frozenset({BEGUN, "AppliedPartially", "SecretsNotReady", RECOVERING})
"""Reasons of Ready while the cluster is between two revisions."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a poll ended; `reason` is CamelCase and becomes the condition's and the Event's."""

    reason: str
    message: str
    revision: Revision | None = None
    ready: bool = False
    fetch_failed: bool = False
    stalled: bool = False
    stands: bool = False
    """Whether the revision is what the cluster holds by now; all of it where `ready`."""
    read: bool = False
    """Whether the revision was read in this turn."""
    inventory: tuple[InventoryEntry, ...] | None = None
    """What is this source's now; None: as before."""
    excluded: tuple[str, ...] | None = None
    """Images that failed; None: as before."""
    notices: tuple[tuple[str, str], ...] = ()
    """Events beside the one of the outcome: reason and message."""
    facts: tuple[Fact, ...] = ()
    """Conditions beside those that are always there."""
    again: timedelta | None = None
    """When to look again, if not at the next poll."""

    @classmethod
    def failed_fetch(cls, reason: str, message: str, *, stalls: bool) -> Self:
        """Git could not be asked; what was applied stays."""
        return cls(reason, message, fetch_failed=True, stalled=stalls)

    @classmethod
    def refused(cls, reason: str, message: str, revision: Revision | None = None) -> Self:
        """Somebody has to mend it; nothing was applied."""
        return cls(reason, message, revision, stalled=True, read=revision is not None)

    @classmethod
    def partly(cls, message: str, revision: Revision) -> Self:
        """A failure after the first write; the next poll resumes."""
        return cls("AppliedPartially", message, revision, read=True)

    @classmethod
    def waiting(cls, message: str, revision: Revision) -> Self:
        """The rest of it is applied once Secrets are made of what was applied."""
        return cls("SecretsNotReady", message, revision, read=True, again=timedelta(seconds=2))

    @classmethod
    def recovering(cls, message: str, revision: Revision) -> Self:
        """The rest of it is applied once what was good last serves."""
        return cls(RECOVERING, message, revision, read=True, again=timedelta(seconds=2))

    @classmethod
    def unchanged(cls, revision: Revision) -> Self:
        """Nothing new."""
        return cls("Applied", "", revision, ready=True, stands=True)

    @classmethod
    def applied(cls, revision: Revision, changed: tuple[str, ...]) -> Self:
        """All of it stands in the cluster."""
        what = f"changed {', '.join(changed)}" if changed else "nothing had to change"
        return cls("Applied", f"{revision.short}: {what}", revision, ready=True, stands=True, read=True)

    @classmethod
    def with_gaps(cls, revision: Revision, problems: str) -> Self:
        """It stands but for some objects, which somebody has to mend."""
        message = f"{revision.short} is applied but for {problems}"
        return cls(GAPS, message, revision, stands=True, stalled=True, read=True)

    def telling(self, *notices: tuple[str, str]) -> Self:
        """The same, with further Events."""
        return replace(self, notices=(*self.notices, *notices))

    def stating(self, *facts: Fact) -> Self:
        """The same, with further conditions."""
        return replace(self, facts=(*self.facts, *facts))

    def with_inventory(self, entries: tuple[InventoryEntry, ...], *notices: tuple[str, str]) -> Self:
        """The same, with what is this source's now, and what there is to say of what left Git."""
        said = "; ".join(f"{reason}: {message}" for reason, message in notices)
        message = f"{self.message}; {said}" if self.message and said else self.message or said
        return replace(self, inventory=entries, notices=(*self.notices, *notices), message=message)

    @property
    def tells(self) -> bool:
        """Whether it is news."""
        return self.read or not self.ready


def requested_at(live: Manifest) -> str:
    """What was asked for by hand; a value that was not handled yet asks for a turn."""
    annotations = live["metadata"].get("annotations") or {}
    return " ".join(annotations[key] for key in REQUESTED_AT if annotations.get(key))


def begun(
    status: GitSourceStatus, revision: Revision, entries: tuple[InventoryEntry, ...], now: datetime
) -> GitSourceStatus:
    """The status from before the first write of a revision until its outcome.

    Who finds it goes on with a revision, and neither puts back nor forgets what of it is there.
    """
    ready = _condition(
        status, "Ready", value=False, reason=BEGUN, message=f"{revision.short} is being applied", now=now
    )
    others = tuple(each for each in status.conditions if each.type != "Ready")
    news = {"conditions": (ready, *others), "last_attempted_revision": str(revision), "inventory": entries}
    return status.model_copy(update=news)


def is_unfinished(status: GitSourceStatus) -> bool:
    """Whether the cluster is between two revisions."""
    return any(each.type == "Ready" and each.reason in UNFINISHED for each in status.conditions)


def has_gaps(status: GitSourceStatus, revision: Revision) -> bool:
    """Whether objects were left out when a revision was applied."""
    return next((each.result == GAPS for each in status.history if each.commit == revision.sha), False)


def is_applied(source: GitSource, live: Manifest, status: GitSourceStatus, revision: Revision) -> bool:
    """Whether a poll has nothing to do; a refusal of this commit since (the source was edited) is no end."""
    return (
        status.last_applied_revision == str(revision)
        and [each.result for each in status.history[:1]] == ["Applied"]
        and status.observed_generation == source.metadata.generation
        and requested_at(live) == status.last_handled_reconcile_at
    )


def after(status: GitSourceStatus, outcome: Outcome, live: Manifest, now: datetime) -> GitSourceStatus:
    """The status after `outcome`; equal to `status` where it says nothing new."""
    requested = requested_at(live)
    revision = str(outcome.revision) if outcome.revision else status.last_attempted_revision
    silent = outcome.ready and not outcome.read and not outcome.notices
    message = _standing(status, outcome) if silent else outcome.message
    conditions = tuple(
        _condition(status, kind, value, reason, message, now)
        for kind, value, reason, message in (
            (
                "Ready",
                outcome.ready,
                outcome.reason,
                message,
            ),
            ("FetchFailed", outcome.fetch_failed, *_said(outcome, said=outcome.fetch_failed, calm="Fetched")),
            ("Stalled", outcome.stalled, *_said(outcome, said=outcome.stalled, calm="Progressing")),
            *_facts(status, outcome),
        )
    )
    moved = status.model_copy(
        update={
            "observed_generation": int(live["metadata"].get("generation", 0)),
            "last_attempted_revision": revision,
            "last_applied_revision": revision if outcome.stands else status.last_applied_revision,
            "last_handled_reconcile_at": status.last_handled_reconcile_at
            if outcome.fetch_failed
            else requested,
            "conditions": conditions,
            "history": _history(status, outcome, now),
            "excluded_tags": status.excluded_tags if outcome.excluded is None else outcome.excluded,
            "inventory": status.inventory if outcome.inventory is None else outcome.inventory,
        }
    )
    return status if moved == status else moved


def _facts(status: GitSourceStatus, outcome: Outcome) -> tuple[Fact, ...]:
    """Conditions that are there for some sources only; one that nobody speaks of stays as it was."""
    news = {each[0]: each for each in outcome.facts}
    held = tuple(
        (each.type, each.status == "True", each.reason, each.message)
        for each in status.conditions
        if each.type not in ALWAYS and each.type not in news
    )
    return (*held, *(each for each in news.values() if each[2]))


def _said(outcome: Outcome, *, said: bool, calm: str) -> tuple[str, str]:
    return (outcome.reason, outcome.message) if said else (calm, "")


def _standing(status: GitSourceStatus, outcome: Outcome) -> str:
    """What Ready says while nothing is new: what it said, unless that was a failure."""
    told = next((each for each in status.conditions if each.type == "Ready"), None)
    if told is not None and told.status == "True":
        return told.message
    return f"{outcome.revision.short} is applied" if outcome.revision else ""


def _condition(
    status: GitSourceStatus, kind: str, value: bool, reason: str, message: str, now: datetime
) -> ObjectCondition:
    text = "True" if value else "False"
    old = next((each for each in status.conditions if each.type == kind), None)
    since = old.last_transition_time if old is not None and old.status == text else now
    return ObjectCondition(
        type=kind, status=text, reason=reason, message=message[:MESSAGE_LIMIT], last_transition_time=since
    )


def _history(status: GitSourceStatus, outcome: Outcome, now: datetime) -> tuple[AppliedRevision, ...]:
    if outcome.revision is None or not outcome.read:
        return status.history
    entry = AppliedRevision(
        commit=outcome.revision.sha,
        result=outcome.reason,
        time=now,
        author=outcome.revision.author[:200],
        subject=outcome.revision.subject[:200],
        message=outcome.message[:MESSAGE_LIMIT],
    )
    last = status.history[0] if status.history else None
    if last is not None and last.model_copy(update={"time": now}) == entry:
        return status.history
    return (entry, *status.history)[:HISTORY_LIMIT]

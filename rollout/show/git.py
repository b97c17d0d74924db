"""GitSources and what became of commits, as a person looks at them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollout.api.sourcestatus import GitSourceStatus
from rollout.api.status import HistoryEntry, Verdict
from rollout.show.quantities import length
from rollout.show.sight import SHORT_COMMIT
from rollout.show.table import columns
from rollout.show.tree import VERDICT_WORDS

SOURCES = ("NAME", "READY", "REVISION", "SUSPENDED", "AGE", "MESSAGE")
HISTORY = ("REVISION", "COMMIT", "VERSION", "VERDICT", "WEIGHT", "WHEN", "REASON")
_SHORT = 72

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """How one attempt ended, from a status or from a note."""

    revision: int
    commit: str
    version: str
    verdict: Verdict
    top_weight: int
    at: datetime
    attempt: str
    reason: str

    @classmethod
    def of_status(cls, entry: HistoryEntry) -> "Record":
        """As a Rollout remembers it."""
        return cls(
            entry.revision,
            entry.commit,
            entry.version,
            entry.verdict,
            entry.top_weight,
            entry.at,
            entry.attempt,
            entry.reason,
        )

    @classmethod
    def of_note(cls, commit: str, record: Mapping[str, Any]) -> "Record":
        """As a note on a commit has it. Raises `ValueError` or `KeyError` where it is not ours."""
        return cls(
            int(record["revision"]),
            commit,
            str(record["version"]),
            Verdict(record["verdict"]),
            int(record["topWeight"]),
            datetime.fromisoformat(record["at"]),
            str(record["attempt"]),
            str(record["reason"]),
        )

    def manifest(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {
            "revision": self.revision,
            "commit": self.commit,
            "version": self.version,
            "verdict": self.verdict.value,
            "topWeight": self.top_weight,
            "at": self.at.isoformat(),
            "attempt": self.attempt,
            "reason": self.reason,
        }


def joined(*told: Iterable[Record]) -> tuple[Record, ...]:
    """All records, the newest first, each attempt's verdict on a commit once."""
    found = {(each.attempt, each.verdict, each.commit): each for records in told for each in records}
    return tuple(sorted(found.values(), key=lambda each: each.at, reverse=True))


def history_table(records: Sequence[Record], now: datetime) -> str:
    """A line an attempt."""
    rows = [
        (
            str(each.revision),
            each.commit[:SHORT_COMMIT],
            each.version,
            VERDICT_WORDS[each.verdict],
            f"{each.top_weight} %",
            f"{length(now - each.at)} ago",
            _short(each.reason),
        )
        for each in records
    ]
    return columns([HISTORY, *rows])


def sources_table(sources: Sequence[Object], now: datetime, *, namespaces: bool = False) -> str:
    """A line a GitSource."""
    head = ("NAMESPACE", *SOURCES) if namespaces else SOURCES
    rows = []
    for each in sources:
        cells = _row(each, now)
        rows.append((each["metadata"].get("namespace", ""), *cells) if namespaces else cells)
    return columns([head, *rows])


def source_page(source: Object, now: datetime) -> str:
    """One GitSource: where it looks, how it stands, and the last revisions."""
    return "\n".join(f"{label:<11}{text}" for label, text in _page(source, now))


def condition(source: Object, kind: str) -> tuple[str, str, str]:
    """(status, reason, message) of a condition; empty where it is not there."""
    found = (each for each in _status(source).conditions if each.type == kind)
    return next(((each.status, each.reason, each.message) for each in found), ("", "", ""))


def short(revision: str) -> str:
    """`main@1a2b3c4` of `main@sha1:1a2b3c4...`."""
    branch, _, digest = revision.rpartition("@")
    commit = digest.partition(":")[2][:SHORT_COMMIT]
    return f"{branch}@{commit}" if branch else commit


def _row(source: Object, now: datetime) -> tuple[str, ...]:
    ready, _, message = condition(source, "Ready")
    created = source["metadata"].get("creationTimestamp")
    return (
        source["metadata"]["name"],
        ready,
        short(_status(source).last_applied_revision),
        str(bool(source["spec"].get("suspend"))),
        length(now - datetime.fromisoformat(created)) if created else "",
        _short(message),
    )


def _page(source: Object, now: datetime) -> Iterator[tuple[str, str]]:
    metadata, spec, status = source["metadata"], source["spec"], _status(source)
    yield "Source", f"{metadata['namespace']}/{metadata['name']}"
    ref = ", ".join(f"{key} {value}" for key, value in (spec.get("ref") or {}).items())
    yield "Looks at", f"{spec['url']} ({ref or 'its default branch'}), path {spec.get('path') or '/'}"
    if spec.get("suspend"):
        yield "Suspended", "nothing is read and nothing applied"
    ready, reason, message = condition(source, "Ready")
    yield "Ready", f"{ready or 'Unknown'} {reason}" + (f": {message}" if message else "")
    if status.last_applied_revision:
        yield "Applied", short(status.last_applied_revision)
    if status.last_attempted_revision not in ("", status.last_applied_revision):
        yield "Read last", short(status.last_attempted_revision)
    yield "Objects", str(sum(not each.stale for each in status.inventory))
    gone = [str(each) for each in status.inventory if each.stale]
    if gone:
        yield "Left Git", ", ".join(gone)
    for label, each in zip(("History", *[""] * 9), status.history, strict=False):
        said = f'{each.commit[:SHORT_COMMIT]} {each.result} {length(now - each.time)} ago: "{each.subject}"'
        yield label, f"{said} by {each.author}" if each.author else said


def _status(source: Object) -> GitSourceStatus:
    try:
        return GitSourceStatus.model_validate(source.get("status") or {})
    except ValueError:
        return GitSourceStatus()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"

"""Verdicts go back to Git: which are to be written in which way, from what the status remembers."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rollout.api.base import Manifest
from rollout.api.status import HistoryEntry, SourceStatus, Verdict
from rollout.api.writeback import Author, WriteBackMode
from rollout.git import notes
from rollout.git.mirror import Mirror
from rollout.git.reverting import Order
from rollout.gitops.reports import Reports
from rollout.observe.reading import read_source, read_status

Written = tuple[WriteBackMode, str, str, str, str, str]
"""(mode, namespace, rollout, attempt, verdict, commit)"""
REFUSALS = frozenset({Verdict.ROLLED_BACK, Verdict.ABORTED})
GOOD = frozenset({Verdict.PROMOTED, Verdict.INCONCLUSIVE})
WAYS = (WriteBackMode.NOTES, WriteBackMode.REVERT_COMMIT, WriteBackMode.REVERT_BRANCH)


@dataclass(frozen=True, slots=True)
class Due:
    """One verdict to be written, with what is known of the Rollout since."""

    namespace: str
    name: str
    entry: HistoryEntry
    last: bool
    """Whether nothing was decided after it."""
    good: str
    """The commit of the last version that was promoted before it; '' if none was, or not from Git."""
    source: SourceStatus
    """Where the Rollout stands by now."""

    @property
    def rollout(self) -> str:
        """`shop/checkout`."""
        return f"{self.namespace}/{self.name}"


class Notebook:
    """Which verdicts are to be written, and which were; what was is asked of Git again after a restart."""

    def __init__(self, reports: Reports | None = None) -> None:
        self._reports = reports or Reports()
        self._heard: dict[tuple[str, str], tuple[Due, ...]] = {}
        self._written: set[Written] = set()

    def hear(self, rollout: Manifest) -> set[tuple[str, str]]:
        """Take note of a Rollout; returns the GitSources (namespace, name) that have to write."""
        metadata = rollout["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        self._heard[(namespace, name)] = tuple(_verdicts(rollout))
        return self._reports.hear(rollout) | {
            (namespace, each.entry.git_source)
            for mode in WAYS
            for each in self._heard[(namespace, name)]
            if each.entry.git_source and _key(mode, each) not in self._written
        }

    def forget(self, namespace: str, name: str) -> None:
        """A Rollout is gone."""
        self._heard.pop((namespace, name), None)
        self._reports.forget(namespace, name)

    def due(self, namespace: str, source: str, mode: WriteBackMode) -> tuple[Due, ...]:
        """What is to be written on the commits of a source."""
        return tuple(
            each
            for (space, _), verdicts in self._heard.items()
            for each in verdicts
            if space == namespace
            and each.entry.git_source == source
            and _key(mode, each) not in self._written
        )

    def done(self, mode: WriteBackMode, verdict: Due) -> None:
        """It was written, or need not or can't be."""
        self._written.add(_key(mode, verdict))


async def note(verdict: Due, mirror: Mirror) -> None:
    """Write a verdict on its commit. Raises `NoteRefused`, and `Retry` or `Stalled` of the mirror."""
    await mirror.note(verdict.entry.commit, notes.line(_record(verdict)))


def revert(verdict: Due, author: Author, *, proposed: bool = False) -> Order | None:
    """What is to be put back because of a verdict; None where Git no longer says what was refused.

    `proposed`: on a branch of its own, `rollout/revert-NAMESPACE-NAME-COMMIT`.
    """
    entry = verdict.entry
    source = verdict.source
    if entry.verdict not in REFUSALS or not verdict.last or source.commit != entry.commit:
        return None
    if not verdict.good or not source.path:
        return None
    version = entry.version or entry.hash
    return Order(
        branch=source.branch,
        path=source.path,
        bad=entry.commit,
        good=verdict.good,
        attempt=entry.attempt,
        subject=f"Revert {json.dumps(source.subject[:60], ensure_ascii=False)} for {verdict.rollout}",
        body=(
            f"{version} was taken back at {entry.top_weight} %: {_one_line(entry.reason)}\n"
            f"This puts back {source.path} as of {verdict.good[:12]}; nothing else is changed."
        ),
        trailers=(("Rollout", verdict.rollout), ("Rollout-Verdict", entry.verdict.value)),
        at=entry.at,
        author=author,
        proposed=f"rollout/revert-{verdict.namespace}-{verdict.name}-{entry.commit[:12]}" if proposed else "",
    )


def _verdicts(rollout: Manifest) -> Iterator[Due]:
    metadata = rollout["metadata"]
    source = read_source(metadata.get("annotations") or {}) or SourceStatus()
    history = read_status(rollout.get("status") or {}).history
    for index, entry in enumerate(history):
        if entry.commit:
            yield Due(
                metadata["namespace"],
                metadata["name"],
                entry,
                last=index == len(history) - 1,
                good=_good(history[:index], entry.git_source),
                source=source,
            )


def _good(before: Iterable[HistoryEntry], source: str) -> str:
    commits = [each.commit for each in before if each.verdict in GOOD and each.git_source == source]
    return commits[-1] if commits else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _key(mode: WriteBackMode, verdict: Due) -> Written:
    entry = verdict.entry
    return (mode, verdict.namespace, verdict.name, entry.attempt, entry.verdict, entry.commit)


def _record(verdict: Due) -> dict[str, object]:
    entry = verdict.entry
    return {
        "rollout": verdict.rollout,
        "attempt": entry.attempt,
        "verdict": entry.verdict.value,
        "reason": entry.reason,
        "version": entry.version,
        "hash": entry.hash,
        "revision": entry.revision,
        "topWeight": entry.top_weight,
        "at": entry.at.isoformat(),
    }

"""Verdicts go back to Git as notes on the commits that they are about, from what the status remembers."""

import logging
from collections.abc import Iterable

from rollout.api.base import Manifest
from rollout.api.status import HistoryEntry
from rollout.git import notes
from rollout.git.errors import NoteRefused
from rollout.git.mirror import Mirror
from rollout.observe.reading import read_status

log = logging.getLogger(__name__)

Written = tuple[str, str, str, str]
"""(rollout, attempt, verdict, commit)"""


class Notebook:
    """Which verdicts are to be written, and which were; what was is asked of Git again after a restart."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str], tuple[HistoryEntry, ...]] = {}
        self._written: set[tuple[str, Written]] = set()

    def hear(self, rollout: Manifest) -> set[tuple[str, str]]:
        """Take note of a Rollout; returns the GitSources (namespace, name) that have to write."""
        metadata = rollout["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        self._heard[(namespace, name)] = read_status(rollout.get("status") or {}).history
        return {(namespace, entry.git_source) for _, entry in self._due(namespace) if entry.git_source}

    def forget(self, namespace: str, name: str) -> None:
        """A Rollout is gone."""
        self._heard.pop((namespace, name), None)

    async def write(self, namespace: str, source: str, mirror: Mirror) -> str:
        """Write what is due on the commits of `source`; returns why the remote refuses it, else nothing."""
        for name, entry in tuple(self._due(namespace)):
            if entry.git_source != source:
                continue
            record = notes.line(_record(f"{namespace}/{name}", entry))
            try:
                await mirror.note(entry.commit, record)
            except NoteRefused as refused:
                self._written.add((namespace, _key(name, entry)))
                return str(refused)
            self._written.add((namespace, _key(name, entry)))
        return ""

    def _due(self, namespace: str) -> Iterable[tuple[str, HistoryEntry]]:
        for (space, name), history in self._heard.items():
            if space != namespace:
                continue
            for entry in history:
                if entry.commit and (namespace, _key(name, entry)) not in self._written:
                    yield name, entry


def _key(name: str, entry: HistoryEntry) -> Written:
    return (name, entry.attempt, entry.verdict, entry.commit)


def _record(rollout: str, entry: HistoryEntry) -> dict[str, object]:
    return {
        "rollout": rollout,
        "attempt": entry.attempt,
        "verdict": entry.verdict.value,
        "reason": entry.reason,
        "version": entry.version,
        "hash": entry.hash,
        "revision": entry.revision,
        "topWeight": entry.top_weight,
        "at": entry.at.isoformat(),
    }

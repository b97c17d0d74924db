"""What commits are to be told by statuses: from what a Rollout's status remembers, and how a revision was
taken. Pure, but for what was told already.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rollout.api.base import Manifest
from rollout.api.status import HistoryEntry, RolloutStatus, SourceStatus, Stage, Verdict
from rollout.forge.asking import DESCRIPTION_LIMIT, State, Status
from rollout.gitops.conditions import Outcome
from rollout.observe.reading import read_status
from rollout.plan.transitions import UNDER_WAY

COMMITS = 3
"""Of a Rollout, that are looked after: after a restart each is asked for once."""
MOST = 100
"""Statuses that say "pending" on one commit for one Rollout: more would be a loop. GitHub takes 1,000."""
_OPEN = UNDER_WAY | {Stage.INITIAL}

_Place = tuple[str, str, str, str]
"""(namespace, GitSource, context, commit)"""


@dataclass(frozen=True, slots=True)
class Report:
    """One status for one commit of a GitSource."""

    namespace: str
    source: str
    status: Status

    @property
    def place(self) -> _Place:
        """Where a newer one takes its place."""
        return (self.namespace, self.source, self.status.context, self.status.commit)


class Reports:
    """Which statuses are to be sent; `cluster` tells those of several clusters apart."""

    def __init__(self, cluster: str = "") -> None:
        self._cluster = cluster
        self._heard: dict[tuple[str, str], tuple[Report, ...]] = {}
        self._revisions: dict[tuple[str, str], Report] = {}
        self._sent: dict[_Place, Status] = {}
        self._pending: dict[_Place, int] = {}
        self._wanted: set[tuple[str, str]] = set()

    def want(self, namespace: str, source: str, *, wanted: bool) -> None:
        """Whether a GitSource sends statuses at all: only those are woken for one."""
        (self._wanted.add if wanted else self._wanted.discard)((namespace, source))

    def hear(self, rollout: Manifest) -> set[tuple[str, str]]:
        """Take note of a Rollout; returns the GitSources (namespace, name) that have to send."""
        metadata = rollout["metadata"]
        key = (metadata["namespace"], metadata["name"])
        before = {each.place for each in self._heard.get(key, ())}
        self._heard[key] = of_rollout(rollout, self._cluster)
        self._drop(before - {each.place for each in self._heard[key]})
        due = {(each.namespace, each.source) for each in self._heard[key] if self._is_due(each)}
        return due & self._wanted

    def taken(self, namespace: str, source: str, outcome: Outcome) -> None:
        """Take note of how a revision of a GitSource was taken."""
        if report := of_revision(namespace, source, outcome, self._cluster):
            before = self._revisions.get((namespace, source))
            self._revisions[namespace, source] = report
            if before is not None and before.place != report.place:
                self._drop({before.place})

    def forget(self, namespace: str, name: str) -> None:
        """A Rollout is gone."""
        self._drop({each.place for each in self._heard.pop((namespace, name), ())})

    def due(self, namespace: str, source: str) -> tuple[Report, ...]:
        """What is to be sent for a GitSource."""
        revision = self._revisions.get((namespace, source))
        heard = [each for reports in self._heard.values() for each in reports]
        return tuple(
            each
            for each in ([revision] if revision else []) + heard
            if (each.namespace, each.source) == (namespace, source) and self._is_due(each)
        )

    def sent(self, report: Report) -> None:
        """It was sent, or stood already."""
        self._sent[report.place] = report.status
        if report.status.state is State.PENDING:
            self._pending[report.place] = self._pending.get(report.place, 0) + 1

    def _is_due(self, report: Report) -> bool:
        looping = report.status.state is State.PENDING and self._pending.get(report.place, 0) >= MOST
        return self._sent.get(report.place) != report.status and not looping

    def _drop(self, places: set[_Place]) -> None:
        for place in places:
            self._sent.pop(place, None)
            self._pending.pop(place, None)


def of_rollout(rollout: Manifest, cluster: str = "") -> tuple[Report, ...]:
    """The last commits of a Rollout, each with the last that is known of it."""
    metadata = rollout["metadata"]
    context = _context("rollout", cluster, metadata["namespace"], metadata["name"])
    status = read_status(rollout.get("status") or {})
    last: dict[tuple[str, str], tuple[State, str]] = {}
    for source, commit, state, text in (*_ended(status), *_under_way(status)):
        last.pop((source, commit), None)
        last[source, commit] = (state, text)
    return tuple(
        Report(metadata["namespace"], source, Status(commit, context, state, _short(text)))
        for (source, commit), (state, text) in list(last.items())[-COMMITS:]
    )


def of_revision(namespace: str, source: str, outcome: Outcome, cluster: str = "") -> Report | None:
    """What became of a commit as a whole; None where that is not known.

    One that stands already is told again: who applied it may have ended before the host heard of it.
    """
    if outcome.revision is None or not (outcome.read or outcome.ready):
        return None
    state = State.SUCCESS if outcome.ready else State.ERROR
    text = "applied" if outcome.ready else f"{outcome.reason}: {outcome.message}"
    context = _context("gitsource", cluster, namespace, source)
    return Report(namespace, source, Status(outcome.revision.sha, context, state, _short(text)))


_Told = tuple[str, str, State, str]
"""(GitSource, commit, state, description)"""


def _ended(status: RolloutStatus) -> Iterator[_Told]:
    for entry in status.history:
        if entry.commit and entry.git_source:
            yield (entry.git_source, entry.commit, *_verdict(entry))


def _verdict(entry: HistoryEntry) -> tuple[State, str]:
    version = entry.version or entry.hash
    match entry.verdict:
        case Verdict.PROMOTED:
            return State.SUCCESS, f"{version} is promoted"
        case Verdict.INCONCLUSIVE:
            return State.SUCCESS, f"{version} is promoted without proof: {entry.reason}"
        case Verdict.ROLLED_BACK:
            return State.FAILURE, f"{version} was rolled back at {entry.top_weight} %: {entry.reason}"
        case Verdict.ABORTED:
            return State.FAILURE, f"{version} was aborted at {entry.top_weight} %: {entry.reason}"
        case _:
            return State.STOPPED, f"{version} was not tried to the end: {entry.reason}"


def _under_way(status: RolloutStatus) -> Iterator[_Told]:
    source = status.source or SourceStatus()
    if status.stage in _OPEN and source.commit and source.git_source:
        at = f"step {status.step}: {status.canary.desired_weight} %" if status.step else "begins"
        yield (source.git_source, source.commit, State.PENDING, at)


def _context(kind: str, *parts: str) -> str:
    return "/".join((kind, *(part for part in parts if part)))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= DESCRIPTION_LIMIT else line[: DESCRIPTION_LIMIT - 1] + "…"

"""What any host is asked and answers, whichever it is: the values, and the protocol that each one fills."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

DESCRIPTION_LIMIT = 140
"""Of GitHub, the shortest of all."""


class State(StrEnum):
    """Of a commit, as one check sees it."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    STOPPED = "stopped"
    """It was not tried to the end, and nobody judged it."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a commit is to be told of."""

    commit: str
    context: str
    """Which check says it: a newer one of the same context takes its place."""
    state: State
    description: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A branch that somebody should merge into another."""

    branch: str
    base: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One request below the address of an API; the path is quoted."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None


class Dialect(Protocol):
    """One host's way; `answer` is the JSON that the request before it brought."""

    def authorize(self, username: str, token: str) -> Mapping[str, str]:
        """The headers that say who we are."""
        ...

    def look(self, status: Status) -> Ask:
        """What the commit was told of so far."""
        ...

    def stands(self, answer: Any, status: Status) -> bool:
        """Whether it was told this last."""
        ...

    def report(self, status: Status) -> Ask:
        """Tell it."""
        ...

    def open_proposals(self, proposal: Proposal) -> Ask:
        """Those of this branch that wait to be merged."""
        ...

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The page of the one that waits; '' if none does."""
        ...

    def propose(self, proposal: Proposal) -> Ask:
        """Open one."""
        ...

    def page(self, answer: Any) -> str:
        """The page of the one that was opened."""
        ...


def dicts(answer: Any) -> Iterable[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [each for each in answer if isinstance(each, dict)] if isinstance(answer, list) else []


def text(answer: Any, key: str) -> str:
    """A field that is text, else ''."""
    value = answer.get(key) if isinstance(answer, dict) else None
    return value if isinstance(value, str) else ""


def number(entry: Mapping[str, Any]) -> int:
    """The id of an entry, else 0."""
    number = entry.get("id")
    return number if isinstance(number, int) else 0

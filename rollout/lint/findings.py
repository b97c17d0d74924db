"""What is said about a manifest, and where."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rollout.api.base import Manifest
from rollout.api.errors import Problem


class Severity(StrEnum):
    """Whether it would be refused, is worth a thought, or is good to know."""

    ERROR = "error"
    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest and where it stands."""

    path: str
    line: int
    body: Manifest
    position: Callable[[str], int] | None = None
    """From a field path to its line; without it every finding is at the document's first line."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to say about a manifest."""

    path: str
    line: int
    severity: Severity
    field: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """Render as `shop.yaml:12: error: spec.replicas: must be ...`."""
        tail = f" ({self.remedy})" if self.remedy else ""
        return f"{self.path}:{self.line}: {self.severity}: {self.field}: {self.message}{tail}"


def finding(document: Document, problem: Problem, severity: Severity = Severity.ERROR) -> Finding:
    """A problem, placed."""
    line = document.position(problem.path) if document.position else document.line
    return Finding(document.path, line, severity, problem.path, problem.message, problem.remedy)

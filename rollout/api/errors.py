"""Errors by remedy: what has to happen before it can go on.

- `Retry`: nobody needs to act, it is tried again (network, conflict, a server that is busy);
- `Stalled`: somebody has to change something first; `reason` becomes that of a condition and of an Event.
"""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a manifest: where, what, and what to do about it."""

    path: str
    """Field path as Kubernetes writes it: `spec.strategy.canary.steps[2].setWeight`."""
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """Render as one sentence."""
        tail = f" ({self.remedy})" if self.remedy else ""
        return f"{self.path}: {self.message}{tail}"


class Retry(Exception):  # noqa: N818 -- named by its remedy
    """Try again, not before `after`."""

    def __init__(self, message: str, after: timedelta = timedelta(seconds=5)) -> None:
        super().__init__(message)
        self.after = after


class Stalled(Exception):  # noqa: N818 -- named by its remedy
    """Somebody has to act; `reason` is CamelCase, the message names the remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidSpec(Stalled):
    """A manifest that can't be served, with every problem found, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("InvalidSpec", "; ".join(str(problem) for problem in problems))
        self.problems = problems

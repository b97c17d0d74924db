"""What Git and its contents can be refused for; the remedy is in the class (see `rollout.api.errors`).

`Retry` is raised as it is: the network, a server that hangs or fails, a mirror that had to be thrown away.
"""

from dataclasses import dataclass

from rollout.api.errors import Stalled


@dataclass(frozen=True, slots=True, order=True)
class FileProblem:
    """One thing wrong with a file of the repository; `line` and `column` count from 1, 0 means none."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Render as editors and compilers do: `apps/web.yaml:3:7: what is wrong and what to do`."""
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{place}: {self.message}"


class ManifestsRefused(Stalled):
    """A revision whose files can't be taken as manifests; nothing of it may be applied."""

    def __init__(self, problems: tuple[FileProblem, ...], reason: str = "MalformedManifest") -> None:
        super().__init__(reason, "; ".join(str(problem) for problem in problems))
        self.problems = problems


class NoteRefused(Stalled):
    """The remote doesn't let us push the note; the rollout itself is not affected."""

    def __init__(self, message: str) -> None:
        super().__init__("NoteRefused", message)


class WriteBackRefused(Stalled):
    """A commit that we may not write, or that the remote refuses; the rollout itself is not affected."""

    def __init__(self, message: str) -> None:
        super().__init__("WriteBackConflict", message)

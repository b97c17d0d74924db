"""How a command ends: exit codes by what the caller has to do, and one line instead of a traceback."""

import sys
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup


class ExitCode(IntEnum):
    """Fixed: scripts rely on them."""

    DONE = 0
    NO = 1
    """The answer is no: lint found errors, the rollout failed."""
    USAGE = 2
    UNREACHABLE = 3
    """The cluster, Git or Prometheus can't be reached."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it."""


class Failure(Exception):  # noqa: N818 -- what a command reports, not a fault of the program
    """A foreseeable end of a command; the message is short and holds the remedy."""

    def __init__(self, message: str, code: ExitCode = ExitCode.NO) -> None:
        super().__init__(message)
        self.code = code


class Group(TyperGroup):
    """The commands; turns a `Failure` of any of them into a line on stderr and its exit code."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's own subclass of click's
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            sys.stderr.write(f"error: {failure}\n")
            raise typer.Exit(failure.code) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(ExitCode.NO) from None

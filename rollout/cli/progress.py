"""Progress bars: on a terminal's stderr, nothing elsewhere."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


def counting() -> Progress:
    """Of things that are counted: `12/200`."""
    return _bar(MofNCompleteColumn())


def shares() -> Progress:
    """Of a whole: `35%`."""
    return _bar(TaskProgressColumn())


def _bar(done: MofNCompleteColumn | TaskProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        done,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

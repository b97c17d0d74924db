"""How the demo is shown: live on a terminal, or as plain lines."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from rollout.demo.glimpse import Glimpse, picture
from rollout.demo.ledger import Record
from rollout.demo.story import Act
from rollout.show import evidence
from rollout.show.quantities import count

LOG_LINES = 9
NUMBERS_EVERY_S = 3.0
"""Between two lines of evidence, for logs."""


class View(Protocol):
    """What the runner tells."""

    def begin(self, act: Act, number: int, of: int) -> None:
        """An act begins."""

    def say(self, what: str, style: str = "") -> None:
        """Something happened."""

    def look(self, glimpse: Glimpse) -> None:
        """This is how it looks now."""

    def end(self, record: Record) -> None:
        """An act has ended."""

    def finish(self, report: RenderableType) -> None:
        """The story is over."""


def verdict_line(record: Record) -> Text:
    """An act in a line: whether it was as told, and what was seen."""
    ok = not record.differences
    text = Text.assemble(("✓ " if ok else "✗ ", "bold green" if ok else "bold red"), (record.title, "bold"))
    text.append(f": {record.phase}, {record.serves or 'more than one version'} serves")
    text.append(f", {record.version} {record.verdict}" if record.verdict else "")
    text.append(f" after {record.took_s:.0f} s")
    if record.evidence_s is not None and record.planned_s is not None:
        low, high = record.planned_s
        text.append(f" ({record.evidence_s:.0f} s of evidence; planned {low:.0f} to {high:.0f} s)")
    if record.complaint:
        text.append(f"; not applied: {record.complaint}")
    elif record.users.canary:
        counted = record.users
        text.append(
            f"; {count(counted.canary)} of {count(counted.canary + counted.stable)} requests to "
            f"{record.version}, {count(counted.failed)} failed",
            "dim",
        )
    return text


class Lines:
    """Plain lines, for logs and `--headless`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._numbers = ""
        self._numbers_at = 0.0

    def begin(self, act: Act, number: int, of: int) -> None:
        """Print the act's title and what is told."""
        self._print(Text(f"\nact {number} of {of}: {act.title}", "bold"), Text(act.told, "italic"))

    def say(self, what: str, style: str = "") -> None:
        """Print it with the time."""
        self._print(Text.assemble((f"{time.monotonic() - self._began:6.1f} s  ", "dim"), (what, style)))

    def look(self, glimpse: Glimpse) -> None:
        """Print the evidence where it moved, every few seconds; what else happens is told by `say`."""
        seen, now = glimpse.rollout, time.monotonic()
        if seen is None or not seen.under_way or now - self._numbers_at < NUMBERS_EVERY_S:
            return
        numbers = "\n".join(line.plain for line in evidence.lines(seen.status.evidence))
        if numbers and numbers != self._numbers:
            self._numbers, self._numbers_at = numbers, now
            for line in numbers.splitlines():
                self.say(f"  {line}", "dim")

    def end(self, record: Record) -> None:
        """Print the act's line."""
        self._print(verdict_line(record))
        for each in record.differences:
            self._print(Text(f"    {each}", "red"))

    def finish(self, report: RenderableType) -> None:
        """Print the report."""
        self._console.print()
        self._console.print(report)

    def _print(self, *texts: Text) -> None:
        for text in texts:
            self._console.print(text, soft_wrap=True)


class Screen:
    """A live picture below the lines of the acts that are over."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._log: deque[Text] = deque(maxlen=LOG_LINES)
        self._title = "starting"
        self._told = ""
        self._glimpse: Glimpse | None = None
        self._live = Live(self._panel(), console=console, auto_refresh=False, transient=True)

    @contextlib.contextmanager
    def open(self) -> Iterator["Screen"]:
        """Hold the terminal."""
        with self._live:
            yield self

    def begin(self, act: Act, number: int, of: int) -> None:
        """Turn to the next act."""
        self._title, self._told = f"act {number} of {of}: {act.title}", act.told
        self._log.clear()
        self._show()

    def say(self, what: str, style: str = "") -> None:
        """Put it into the log."""
        self._log.append(Text.assemble((f"{self._clock():>5} ", "dim"), (what, style)))
        self._show()

    def look(self, glimpse: Glimpse) -> None:
        """Draw it."""
        self._glimpse = glimpse
        self._show()

    def end(self, record: Record) -> None:
        """Keep the act's line above the picture."""
        self._live.console.print(verdict_line(record), soft_wrap=True)
        for each in record.differences:
            self._live.console.print(Text(f"    {each}", "red"), soft_wrap=True)

    def finish(self, report: RenderableType) -> None:
        """Take the picture away and print the report."""
        self._live.stop()
        self._console.print()
        self._console.print(report)

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60}:{seconds % 60:02}"

    def _show(self) -> None:
        self._live.update(self._panel(), refresh=True)

    def _panel(self) -> Panel:
        now = (
            picture(self._glimpse, self._console.width - 4)
            if self._glimpse
            else Text("starting the sandbox", "dim")
        )
        for part in (now, *self._log):
            part.no_wrap = True
            part.overflow = "ellipsis"
        told = Text(self._told, "italic")
        content = Group(told, Text(), now, Text(), Rule(style="dim"), *self._rows())
        return Panel(
            content,
            title=f"[bold]rollout demo[/]  {self._title}",
            title_align="left",
            subtitle=self._clock() if self._told else None,
            subtitle_align="right",
            border_style="blue",
        )

    def _rows(self) -> Sequence[Text]:
        """The log, always as high, so that the picture stands still."""
        return [*self._log, *[Text()] * (LOG_LINES - len(self._log))]

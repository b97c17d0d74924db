"""The end of the demo: a table of what became of each commit, the notes in Git, and the same as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rollout.demo.ledger import Record
from rollout.show.quantities import count

TEXTS = ("REVISION", "COMMIT", "VERDICT", "OK")
HEADINGS = (
    *TEXTS[:3],
    "TOP\nWEIGHT",
    "CANARY\nREQ.",
    "STABLE\nREQ.",
    "FAILED",
    "BY\nCANARY",
    "LOST",
    "SILENT\nAFTER",
    TEXTS[3],
)
STYLES = {"Promoted": "green", "RolledBack": "red", "Aborted": "yellow"}


def report(records: Sequence[Record], notes: Mapping[str, str]) -> RenderableType:
    """Everything that is printed at the end; `notes` maps a commit to its note."""
    parts: list[RenderableType] = [table(records), Text()]
    parts += note_lines(records, notes)
    parts.append(Text())
    parts += [Text(line, "bold red") for line in failures(records, notes)]
    return Group(*parts)


def table(records: Sequence[Record]) -> Table:
    """A line an act."""
    shown = Table(
        title="What became of each commit",
        title_style="bold",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 1),
    )
    for heading in HEADINGS:
        shown.add_column(
            heading,
            justify="left" if heading in TEXTS else "right",
            vertical="bottom",
            no_wrap=heading in TEXTS,
        )
    for record in records:
        shown.add_row(*_cells(record))
    return shown


def _cells(record: Record) -> tuple[str | Text, ...]:
    counted = record.users
    revision = f"#{record.revision} {record.version}" if record.revision is not None else record.version
    return (
        revision,
        record.commit[:7],
        _verdict(record),
        f"{record.top_weight} %",
        count(counted.canary),
        count(counted.stable),
        count(counted.failed),
        count(counted.failed_by_canary),
        count(counted.failed_by_nobody),
        f"{record.silence_s:.2f} s" if record.silence_s is not None else "",
        Text("no", "bold red") if record.differences else Text("yes", "green"),
    )


def _verdict(record: Record) -> Text:
    if record.complaint:
        return Text("not applied", "yellow")
    return Text(record.verdict, STYLES.get(record.verdict, ""))


def note_lines(records: Sequence[Record], notes: Mapping[str, str]) -> list[RenderableType]:
    """The notes as git shows them."""
    lines: list[RenderableType] = [Text("The notes that the operator wrote to refs/notes/rollout", "bold")]
    for record in records:
        note = Text(notes[record.commit]) if notes.get(record.commit) else Text("no note", "dim")
        note.overflow = "fold"
        lines.append(Text.assemble("$ git notes --ref=rollout show ", (record.commit[:7], "yellow")))
        lines.append(Padding(note, (0, 0, 0, 4), expand=False))
    return lines


def failures(records: Sequence[Record], notes: Mapping[str, str]) -> list[str]:
    """What was not as told, a line each."""
    unlike = [f"{record.title}: {each}" for record in records for each in record.differences]
    return unlike + [
        f"{record.title}: told a note on {record.commit[:7]} that says {record.verdict}, seen none"
        for record in unwritten(records, notes)
    ]


def unwritten(records: Sequence[Record], notes: Mapping[str, str]) -> list[Record]:
    """Acts with a verdict that the note on their commit does not hold."""
    return [
        each for each in records if each.verdict and f'"{each.verdict}"' not in notes.get(each.commit, "")
    ]


def to_json(records: Sequence[Record], notes: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "ok": not failures(records, notes),
        "seconds": round(seconds, 1),
        "acts": [record.to_json() | {"note": notes.get(record.commit, "")} for record in records],
    }

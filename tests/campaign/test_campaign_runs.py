"""The runner: what was played is noted, and not played again; what broke is told with what it needs."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from . import run as runner
from .drawing import drawn
from .faults import Fault, Kind
from .record import Record, key_of
from .run import Wish, run, tell
from .schedule import Schedule


def _console() -> Console:
    return Console(file=io.StringIO(), width=200)


def _said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_campaign_notes_what_it_played_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = Wish(("random",), seed=3, schedules=3, processes=1, out=tmp_path / "campaign.json")
    console = _console()
    assert run(wish, console) == 0
    told = json.loads(wish.out.read_text())
    assert (told["seed"], told["schedules"], told["violations"]) == (3, 3, 0)
    assert sum(row["schedules"] for row in told["rows"]) == 3
    assert "3 schedules, 0 broke something" in _said(console)

    def played(work: list[object], processes: int) -> list[object]:
        assert work == [], "what was played is played again"
        return []

    monkeypatch.setattr(runner, "_played", played)
    assert run(wish, _console()) == 0
    assert json.loads(wish.out.read_text()) == told


def test_a_line_that_was_cut_off_is_played_again(tmp_path: Path) -> None:
    schedule = drawn(1)
    record = Record(tmp_path / "campaign.jsonl")
    record.add({"part": "random", **schedule.as_json(), "violations": []})
    record.path.write_text(record.path.read_text() + '{"part": "random", "sto')
    again = Record(record.path)
    again.load()
    assert again.holds("random", schedule)
    assert list(again.lines) == [key_of("random", schedule.as_json())]


def test_what_broke_is_told_with_its_seed_what_it_needs_and_the_writes() -> None:
    least = Schedule("abort", (Fault(Kind.CONFLICT, write=3),), seed=7)
    line = {
        "part": "random",
        **Schedule("abort", (*least.faults, Fault(Kind.BUSY, write=9)), seed=7).as_json(),
        "violations": ["I3: too much"],
        "shrunk": least.as_json(),
        "shrunkViolations": ["I3: too much"],
        "history": ["a write"],
    }
    console = _console()
    tell(line, console)
    said = _said(console)
    assert "seed 7: 409 at write 3; 429 at write 9" in said
    assert "shrunk: abort, seed 7: 409 at write 3\n" in said
    assert "a write" in said

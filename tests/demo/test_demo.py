"""The demo as a user runs it: two at once, on real parts, and stopped half-way."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rollout.api.status import Phase
from rollout.demo.report import failures
from rollout.demo.run import told
from rollout.demo.story import STORY, put_back
from rollout.demo.view import Lines

DEMO = [sys.executable, "-m", "rollout.cli", "demo", "--fast", "--headless"]
LONGEST_SECONDS = 400


class Demo:
    """One run in a session of its own, with its own folder for temporary files."""

    def __init__(self, home: Path, *more: str) -> None:
        self.temporary = home / "tmp"
        self.temporary.mkdir(parents=True)
        self.json = home / "demo.json"
        self.log = home / "demo.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*DEMO, "--json", str(self.json), *more],
                stdout=out,
                stderr=out,
                env=os.environ | {"TMPDIR": str(self.temporary)},
                start_new_session=True,
            )

    def finished(self) -> int:
        return self.process.wait(LONGEST_SECONDS)

    def says(self, words: str) -> None:
        """Wait until the log holds the words."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while words not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)  # polling a file that another process writes, bounded by the deadline

    def left_behind(self) -> list[str]:
        """Processes and files of this run that are still there; each names the temporary folder."""
        words = str(self.temporary).encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if words in said:
                found.append((entry / "cmdline").read_bytes().decode())
        return found + [str(path) for path in self.temporary.iterdir()]


@pytest.mark.real
@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_two_at_once_end_as_told_and_leave_nothing(tmp_path: Path) -> None:
    demos = [Demo(tmp_path / "one"), Demo(tmp_path / "other", "--write-back", "revertCommit")]
    for demo, story in zip(demos, (STORY, tuple(put_back())), strict=True):
        assert demo.finished() == 0, demo.log.read_text()
        seen = json.loads(demo.json.read_text())
        assert seen["ok"]
        assert [act["act"] for act in seen["acts"]] == [act.key for act in story]
        assert all(act["users"]["failed_by_nobody"] == 0 for act in seen["acts"])
        planned = {act["act"]: act["planned_s"] for act in seen["acts"] if act["planned_s"]}
        assert planned.keys() == {"good", "bad"}, "the plan is told, and held to what comes"
        assert "$ rollout plan shop --rps 600 --error-rate 1%" in demo.log.read_text()
        assert re.search(r"errors  canary .* ratio .* worse \[.*fine \[", demo.log.read_text())
        assert demo.left_behind() == []
    put = {act["act"]: act["put_back"] for act in seen["acts"] if act["put_back"]}
    assert put.keys() == {"bad", "stopped"}, "what was refused is put back by the operator"
    said = demos[1].log.read_text()
    assert all(
        f"commit {commit}\nAuthor: rollout <rollout@progressive.delivery>" in said for commit in put.values()
    )
    assert "Rollout-Verdict: RolledBack" in said
    assert "Rollout-Verdict: Aborted" in said


@pytest.mark.real
async def test_what_ends_otherwise_than_told_is_said_and_ends_the_story(tmp_path: Path) -> None:
    first, good, *_ = STORY
    wrong = replace(first, ends=replace(first.ends, phase=Phase.DEGRADED))
    out = io.StringIO()
    records, notes = await told(tmp_path, Lines(Console(file=out, width=200)), fast=True, story=[wrong, good])
    assert failures(records, notes) == ["the first version: phase: told Degraded, seen Healthy"]
    assert "✗ the first version" in out.getvalue()
    assert "watching all namespaces" in out.getvalue(), "the operator's log is shown"


@pytest.mark.real
@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C leaves nothing"),
        pytest.param(signal.SIGTERM, id="SIGTERM leaves nothing"),
    ],
)
def test_stopped_half_way(ending: signal.Signals, tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    demo.says("RevisionStarted")
    assert demo.left_behind(), "this oracle sees what runs"
    demo.process.send_signal(ending)
    assert demo.finished() == 130, demo.log.read_text()
    assert demo.left_behind() == []
    assert "Traceback" not in demo.log.read_text()

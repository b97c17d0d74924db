"""The README's tutorial, its fenced commands run verbatim: a sandbox here, kubectl and git there."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"<!-- tutorial: terminal (?P<number>\d) -->\n```\n(?P<commands>.*?)```\n", re.DOTALL)
READY_SECONDS = 120
WHOLE_SECONDS = 400


def commands(terminal: str) -> str:
    """All commands of one terminal, in the order of the page."""
    page = (ROOT / "README.md").read_text()
    return "".join(block["commands"] for block in _BLOCK.finditer(page) if block["number"] == terminal)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a reader has: the project's folders, and git knowing who commits."""
    for name in (".venv", "crds", "deploy", "rollout"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    who = {"GIT_AUTHOR_NAME": "Reader", "GIT_AUTHOR_EMAIL": "reader@example.org"}
    who |= {key.replace("AUTHOR", "COMMITTER"): value for key, value in who.items()}
    kept = {key: value for key, value in os.environ.items() if key not in ("KUBECONFIG",)}
    return kept | who | {"HOME": str(tmp_path)}


@pytest.fixture
def first_terminal(clone: Path, environment: dict[str, str]) -> Iterator[Path]:
    """`rollout sandbox` until it says that it is ready; Ctrl-C afterwards, which leaves nothing running."""
    log = clone / "terminal1.log"
    with log.open("wb") as out:
        terminal = subprocess.Popen(
            ["bash", "-c", f"exec {commands('1').strip()}"],
            cwd=clone,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not (clone / "sandbox" / "env.sh").exists():
                assert terminal.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)  # polling for a file that another process writes, bounded by the deadline
            yield log
        finally:
            terminal.send_signal(signal.SIGINT)
            assert terminal.wait(30) in (0, 130), log.read_text()


@pytest.mark.real
@pytest.mark.timeout(WHOLE_SECONDS + READY_SECONDS)
def test_the_tutorial_runs_as_it_is_printed(
    clone: Path, environment: dict[str, str], first_terminal: Path
) -> None:
    script = "set -euo pipefail\n" + commands("2")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WHOLE_SECONDS,
        check=False,
    )
    told = f"{done.stdout}\n--- terminal 1\n{first_terminal.read_text()}"
    assert done.returncode == 0, told
    for reason in (
        "RevisionStarted",
        "TrafficWeightUpdated",
        "RevisionPromoted",
        "RolloutAborted",
        "RolledBack",
    ):
        assert reason in done.stdout, f"kubectl describe does not tell {reason}: {told}"
    assert re.search(r"Notes \(rollout\):\n\s+\{.*\"Aborted\"", done.stdout), told
    assert re.search(r"Notes \(rollout\):\n\s+\{.*\"Promoted\"", done.stdout), told

"""`make mutants`: breaks the code on purpose, one promise at a time, and shows the test that notices.

Each mutant lives in a copy of the tree of its own. Its test has to pass on a copy without it and to fail on
the copy with it. Exit code 0: all are noticed; 1: one survives, no longer applies, or its test fails anyway.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from mutant_list import LIST, TREE, Mutant, NoLongerAppliesError, mutants
from rich.console import Console
from rich.markup import escape
from rich.table import Table

LONGEST_S = 600
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", ".sandbox", ".*_cache", ".hypothesis", "*.egg-info", "__pycache__", "build", "dist"
)
CAUGHT = "caught"
WIDE = 160


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant; `how` is the first line of what its test said."""

    mutant: str
    caught_by: str
    result: str
    how: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Ran:
    """Tests that ran, by how they ended; `said` is the first line of each failure, `named` whose it is."""

    passed: int
    failed: int
    broken: int
    said: tuple[str, ...]
    named: tuple[str, ...] = ()


def main() -> int:
    """Run and print; the exit code."""
    parser = argparse.ArgumentParser(prog="make mutants ARGS=...")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this mutant; may be repeated")
    parser.add_argument("--json", type=Path, help="write the outcomes there too")
    parser.add_argument("--list", type=Path, default=LIST, help="mutants to try instead of ours")
    given = parser.parse_args()
    chosen = [each for each in mutants(given.list) if not given.only or each.name in given.only]
    if unknown := set(given.only or ()) - {each.name for each in chosen}:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        outcomes = all_outcomes(chosen, Path(folder))
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    console.print(_table(outcomes))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1))
    survivors = [each.mutant for each in outcomes if each.result != CAUGHT]
    console.print(f"{len(outcomes) - len(survivors)} of {len(outcomes)} mutants are caught")
    return 1 if survivors else 0


def all_outcomes(chosen: Iterable[Mutant], folder: Path) -> list[Outcome]:
    """The clean tree first, then every mutant on a copy of it."""
    chosen, clean = list(chosen), folder / "clean"
    shutil.copytree(TREE, clean, ignore=LEFT_BEHIND)
    _imports_from(clean)
    ran = _pytest(clean, sorted({each.caught_by for each in chosen}))
    if ran.failed or ran.broken or not ran.passed:
        sys.exit("without any mutant these fail:\n" + "\n".join([*ran.named, *ran.said]))
    found = []
    for each in chosen:
        print(f"{each.name} ...", flush=True)
        found.append(_outcome(each, clean, folder / "mutant"))
    return found


def _outcome(mutant: Mutant, clean: Path, tree: Path) -> Outcome:
    began = time.monotonic()
    shutil.copytree(clean, tree)
    try:
        mutant.apply(tree)
        _imports_from(tree)
        result, how = _verdict(_pytest(tree, [mutant.caught_by]))
    except NoLongerAppliesError as stale:
        result, how = "no longer applies", str(stale)
    finally:
        shutil.rmtree(tree)
    return Outcome(mutant.name, mutant.caught_by, result, how, round(time.monotonic() - began, 1))


def _verdict(ran: Ran) -> tuple[str, str]:
    if ran.failed:
        return CAUGHT, ran.said[0]
    if ran.broken:
        return "test does not run", ran.said[0]
    return "SURVIVED" if ran.passed else "test does not run", "its test passes" if ran.passed else "no test"


def _environment(tree: Path) -> dict[str, str]:
    """Whoever starts Python there, and whoever that one starts, imports from `tree`: it comes before all that
    is installed.
    """
    return {**os.environ, "PYTHONPATH": str(tree)}


def _imports_from(tree: Path) -> None:
    """Make sure of it: a test of the installed package would tell nothing of a mutant."""
    asked = [sys.executable, "-c", "import analysis, rollout; print(analysis.__file__, rollout.__file__)"]
    answer = subprocess.run(
        asked, cwd="/", env=_environment(tree), capture_output=True, text=True, check=True
    )
    if not all(Path(each).is_relative_to(tree) for each in answer.stdout.split()):
        sys.exit(f"the code under test is not the copy in {tree}: {answer.stdout}")


def _pytest(tree: Path, tests: list[str]) -> Ran:
    report = tree / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    done = subprocess.run(
        command,
        cwd=tree,
        env=_environment(tree),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if not report.exists():
        return Ran(0, 0, 1, (done.stdout.strip().rpartition("\n")[2] or done.stderr[-200:],))
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [found for case in cases for found in case.findall("failure")]
    broken = [found for case in cases for found in case.findall("error")]
    skipped = sum(1 for case in cases if case.find("skipped") is not None)
    said = tuple(_first_line(each) for each in [*failed, *broken])
    ill = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    named = tuple(f"{case.get('classname')}::{case.get('name')}" for case in ill)
    return Ran(len(cases) - len(ill) - skipped, len(failed), len(broken), said, named)


def _first_line(found: ElementTree.Element) -> str:
    return (found.get("message") or found.text or "?").strip().partition("\n")[0]


def _table(outcomes: Iterable[Outcome]) -> Table:
    table = Table(title="Mutants", title_justify="left")
    for column in ("mutant", "result", "caught by", "how it shows", "s"):
        table.add_column(column, justify="right" if column == "s" else "left", overflow="fold")
    for each in outcomes:
        test = each.caught_by.partition("::")[2]
        table.add_row(each.mutant, each.result, escape(test), escape(each.how[:WIDE]), f"{each.seconds:.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-judge`: ten targets of the judge, as tables and as JSON in `benchmarks/results/judge.json`.

`make bench-judge ARGS=--quick` takes two minutes; `ARGS="--only 1 4"` some of the targets. Exit code 0: each
target holds (with --quick: none fails); 1: one does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.judge import (
    against_peers,
    data,
    efficiency,
    false_rollback,
    honesty,
    latency,
    low_traffic,
    planned,
    state,
)
from benchmarks.judge.cells import Cell
from benchmarks.judge.effort import Effort

SEED = 20260101
WIDE = 160
QUICK = 0.06  # of the repetitions
RESULTS = Path(__file__).parents[1] / "results" / "judge.json"
TITLES = {
    1: "False rollbacks and promotions, looked at after each of 480 scrapes",
    2: "Requests until a regression is found, by Wald's limit",
    3: "Against the rules of others, on the same traffic",
    4: "Latency, by the whole histogram",
    5: "Little traffic, and no errors at all",
    6: "Regressions that begin late",
    7: "Traffic that is not independent, and several metrics",
    8: "Events that are counted",
    9: "State, and the cost of an update",
    10: "Planned power",
}
PARTS: Sequence[tuple[frozenset[int], Callable[[Effort], Iterator[Cell]]]] = (
    (frozenset({1}), false_rollback.cells),
    (frozenset({2}), efficiency.cells),
    (frozenset({3}), against_peers.cells),
    (frozenset({4}), latency.cells),
    (frozenset({5, 6}), low_traffic.cells),
    (frozenset({7}), honesty.cells),
    (frozenset({8}), data.cells),
    (frozenset({9}), state.cells),
    (frozenset({10}), planned.cells),
)


def main() -> int:
    """Run, print and write; the exit code."""
    given = _arguments()
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s  {text}[/dim]", highlight=False)

    effort = Effort(given.seed, say, QUICK if given.quick else 1.0)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = []
    for targets, found in measured(effort, frozenset(given.only or TITLES)):
        cells += found
        for target in sorted(targets):
            console.print(
                table(f"{target}. {TITLES[target]}", [cell for cell in found if cell.target == target])
            )
        told = report(cells, seed=given.seed, quick=given.quick)
        seconds = round(time.monotonic() - began)
        given.json.write_text(json.dumps({**told, "seconds": seconds}, indent=1) + "\n")
    failed = [
        cell for cell in cells if cell.asked and not (cell.holds or (given.quick and cell.holds is None))
    ]
    for cell in failed:
        console.print(f"[red]{cell.target}. {cell.what}: {_number(cell.value)}, wanted {cell.wanted}[/red]")
    asked = sum(cell.asked for cell in cells)
    console.print(f"{sum(cell.holds is True for cell in cells)} of {asked} hold; {given.json}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge")
    parser.add_argument("--quick", action="store_true", help="a few repetitions of all; about two minutes")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default: {SEED}")
    parser.add_argument("--only", nargs="+", type=int, choices=sorted(TITLES), help="targets, by number")
    parser.add_argument("--json", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    return parser.parse_args()


def measured(effort: Effort, targets: frozenset[int]) -> Iterator[tuple[frozenset[int], list[Cell]]]:
    """The cells of these targets, part by part."""
    for covers, part in PARTS:
        if wanted := covers & targets:
            yield wanted, [cell for cell in part(effort) if cell.target in wanted]


def report(cells: Sequence[Cell], *, seed: int, quick: bool) -> dict[str, object]:
    """What is written; the same for the same seed on any machine, but for the milliseconds of target 9."""
    return {
        "title": "The judge, held against ten targets",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seed": seed,
        "quick": quick,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "cells": [{**asdict(cell), "wanted": cell.wanted} for cell in cells],
    }


def table(title: str, cells: Sequence[Cell]) -> Table:
    """For people."""
    drawn = Table(title=title, title_justify="left")
    for column in ("what", "repetitions", "value", "95 % interval", "wanted", "holds"):
        drawn.add_column(column, justify="left" if column == "what" else "right")
    for cell in cells:
        says = {True: "yes", False: "[red]NO[/red]", None: "too few to say"}[cell.holds] if cell.asked else ""
        interval = "" if cell.low == cell.high else f"{_number(cell.low)} to {_number(cell.high)}"
        drawn.add_row(cell.what, f"{cell.repetitions:,}", _number(cell.value), interval, cell.wanted, says)
    return drawn


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: all benchmarks with a fixed seed, as tables and as JSON in `benchmarks/results/`.

`make bench ARGS=--quick` is a look at all of it; `ARGS="--only fleet"` one part.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import detection, reaction, requests, speed
from benchmarks.fleet import cells

SEED = 20260101
RESULTS = Path(__file__).with_name("results")
FLEETS = ((1, 0), (100, 0), (1000, 0), (0, 10_000))
QUICK_FLEETS = ((1, 0), (100, 0))
Row = dict[str, Any]


def main() -> None:
    """Run and print."""
    given = _arguments()
    console = Console()
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s  {text}[/dim]", highlight=False)

    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home:
        for name, (title, rows) in _parts(given, say, Path(home)).items():
            if given.only and name not in given.only:
                continue
            found = list(rows())
            console.print(_table(title, found))
            _write(RESULTS / f"{name}.json", title, found, quick=given.quick)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="less of everything; about three minutes")
    parser.add_argument("--only", nargs="+", help="detection, costs, reaction, requests, fleet")
    parser.add_argument("--runs", type=int, help="simulated rollouts a row")
    parser.add_argument("--fleets", nargs="+", help="as UNDERWAY+HEALTHY, for example 1000+0 0+10000")
    parser.add_argument("--seconds", type=float, help="measured for each fleet")
    return parser.parse_args()


Part = tuple[str, Callable[[], Iterable[Row]]]


def _parts(given: argparse.Namespace, say: Callable[[str], None], home: Path) -> dict[str, Part]:
    quick = given.quick
    runs = given.runs or (20 if quick else 200)
    fleets = tuple(_fleet(text) for text in given.fleets or ()) or (QUICK_FLEETS if quick else FLEETS)
    seconds = given.seconds or (30.0 if quick else 60.0)
    return {
        "detection": (
            "Finding 1 % -> 5 % errors at 10 % of 6,000 requests a minute",
            lambda: detection.rows(runs, SEED),
        ),
        "costs": ("Costs", speed.rows),
        "reaction": (
            "Reaction, on a real proxy and Prometheus",
            lambda: reaction.rows(say, home, 4 if quick else 20),
        ),
        "requests": (
            "Requests to the API server",
            lambda: requests.rows(say, home, 3 if quick else 10),
        ),
        "fleet": (
            "One operator: two compare metrics each 15 s for each Rollout under way",
            lambda: cells.rows(say, home, fleets, seconds),
        ),
    }


def _fleet(text: str) -> tuple[int, int]:
    under_way, _, healthy = text.partition("+")
    return int(under_way), int(healthy or 0)


def _write(file: Path, title: str, rows: list[Row], *, quick: bool) -> None:
    told = {
        "title": title,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "rows": rows,
    }
    file.write_text(json.dumps(told, indent=1) + "\n")


def _table(title: str, rows: Iterable[Row]) -> Table:
    rows = list(rows)
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.4g}" for value in row.values()))
    return table


main()

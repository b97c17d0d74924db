"""`make bench`: all benchmarks with a fixed seed, as tables and, with `--json FILE`, as JSON."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import detection, speed

SEED = 20260101


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--runs", type=int, default=200, help="simulated rollouts a row")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    given = parser.parse_args()
    console = Console()
    results: dict[str, list[dict[str, float | str]]] = {}
    for name, rows in (
        ("Finding 1 % -> 5 % errors at 10 % of 6,000 requests a minute", detection.rows(given.runs, SEED)),
        ("Costs", speed.rows()),
    ):
        results[name] = list(rows)
        console.print(_table(name, results[name]))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


def _table(title: str, rows: Iterable[dict[str, float | str]]) -> Table:
    rows = list(rows)
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in row.values()))
    return table


main()

"""The campaign: plays parts on several processes, notes each schedule, and tells what broke."""

import json
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .plan import scheduled
from .record import Line, Record, key_of, struck, summary, table
from .schedule import Outcome, Schedule, Stage
from .shrinking import shrunk

AHEAD = 4
"""Schedules that wait for each process."""
SHOWN_LINES = 60


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    parts: Sequence[str]
    seed: int
    schedules: int
    processes: int
    out: Path
    most: int | None = None


def run(wish: Wish, console: Console) -> int:
    """Play it all; the number of schedules that broke something."""
    record = Record(wish.out.with_suffix(".jsonl"))
    record.path.parent.mkdir(parents=True, exist_ok=True)
    record.load()
    stage = Stage()
    work = [
        (part, each)
        for part in wish.parts
        for each in scheduled(part, stage, wish.seed, wish.schedules, wish.most)
    ]
    left = [(part, each) for part, each in work if not record.holds(part, each)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("schedules", total=len(work), completed=len(work) - len(left))
        for line in _played(left, wish.processes):
            record.add(line)
            progress.advance(task)
            if line["violations"]:
                tell(line, console)
    lines = [record.lines[key_of(part, each.as_json())] for part, each in work]
    return _conclude(wish, lines, console)


def _conclude(wish: Wish, lines: list[Line], console: Console) -> int:
    rows = summary(lines)
    failures = [line for line in lines if line["violations"]]
    told = {
        "seed": wish.seed,
        "schedules": len(lines),
        "violations": len(failures),
        "rows": rows,
        "struck": struck(lines),
        "failures": failures,
    }
    wish.out.write_text(json.dumps(told, indent=1) + "\n")
    console.print(table(rows))
    console.print(f"seed {wish.seed}: {len(lines):,} schedules, {len(failures)} broke something; {wish.out}")
    return len(failures)


def _played(work: Sequence[tuple[str, Schedule]], processes: int) -> Iterator[Line]:
    todo = iter(work)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        running: set[Future[Line]] = set()
        while True:
            for part, schedule in islice(todo, processes * AHEAD - len(running)):
                running.add(pool.submit(_one, part, schedule))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()


_stage: Stage | None = None


def _begin() -> None:
    global _stage
    logging.disable(logging.CRITICAL)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _stage = Stage()


def _end_with_the_parent() -> None:
    """Who is stopped by a signal can't tell its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one(part: str, schedule: Schedule) -> Line:
    assert _stage is not None
    outcome = _stage.run(schedule)
    line = {"part": part, **outcome.as_json()}
    if outcome.violations:
        least = shrunk(schedule, lambda fewer: bool(_stage.run(fewer).violations))
        again = _stage.run(least)
        line |= {"shrunk": least.as_json(), "shrunkViolations": again.violations, "history": again.history}
    return line


def tell(line: Line, console: Console) -> None:
    """A schedule that broke something: its seed, what is left of it, and the writes."""
    console.print(f"[red]{Schedule.from_json(line)}[/red]")
    for words in line["violations"]:
        console.print(f"  {words}", markup=False)
    console.print(f"  shrunk: {Schedule.from_json(line['shrunk'])}", markup=False)
    for words in (*line["shrunkViolations"], *line["history"][-SHOWN_LINES:]):
        console.print(f"    {words}", markup=False, soft_wrap=True)


def replay(schedule: Schedule, console: Console) -> int:
    """Play one alone, with its logs, calls and writes."""
    stage = Stage()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    calls: list[str] = []
    outcome: Outcome = stage.run(schedule, calls=calls)
    for title, lines in (
        ("calls", calls),
        ("writes", outcome.history),
        ("struck", outcome.struck),
        ("violations", outcome.violations),
    ):
        console.print(f"{title}:", markup=False)
        for words in lines:
            console.print(f"  {words}", markup=False, soft_wrap=True)
    console.print(f"{schedule}: {len(outcome.violations)} violations", markup=False)
    return len(outcome.violations)

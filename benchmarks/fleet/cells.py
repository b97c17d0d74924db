"""How much one operator needs for a fleet: memory, CPU, queries, requests, lag."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.fleet import mother
from benchmarks.fleet.processes import Child, Metrics, Operator, Usage, stopping

SETTLE_S = 45.0
"""Before measuring: the first looks of all, which read more than the later ones."""
FIRST_TURNS_S = 240.0
LAG = "rollout_turn_lag_seconds"
Say = Callable[[str], None]
Row = dict[str, Any]


def rows(say: Say, home: Path, cells: tuple[tuple[int, int], ...], seconds: float) -> Iterator[Row]:
    """One row for each (under way, healthy)."""
    mother.play(home, say).write(home / "mother.json")
    for under_way, healthy in cells:
        yield cell(home, under_way, healthy, seconds, say)


def cell(home: Path, under_way: int, healthy: int, seconds: float, say: Say, settle: float = SETTLE_S) -> Row:
    """Measure one operator beside one fleet."""
    say(f"{under_way} under way, {healthy} healthy: filling the cluster")
    folder = home / f"{under_way}-{healthy}-{time.monotonic_ns()}"
    folder.mkdir()
    (folder / "mother.json").hardlink_to(home / "mother.json")
    log = folder / "log"
    stub = Child("benchmarks.fleet.prometheus", str(folder / "targets"), "15", "40", log=log)
    with stopping(stub):
        world = Child(
            "benchmarks.fleet.world", str(folder), str(under_way), str(healthy), stub.first, log=log
        )
        operator = Operator(folder, folder / "kubeconfig", stub.first)
        with stopping(world, operator):
            ready = operator.wait()
            say(f"ready after {ready:.1f} s; everybody's first turn")
            _first_turns(operator, under_way + healthy, say)
            say(f"settling for {settle:g} s")
            time.sleep(settle)
            before = _look(operator, world, stub)
            say(f"measuring for {seconds:g} s")
            time.sleep(seconds)
            after = _look(operator, world, stub)
            row = {"under way": under_way, "healthy": healthy, **_row(before, after), "ready s": ready}
            troubles = operator.troubles()
            if troubles:
                say(f"{len(troubles)} lines of trouble, the last: {troubles[-1][:300]}")
            return row | {"troubles": len(troubles)}


def _first_turns(operator: Operator, rollouts: int, say: Say) -> None:
    """Wait until as many turns were taken as there are Rollouts; what it takes longer is told by the row."""
    began = time.monotonic()
    while time.monotonic() - began < FIRST_TURNS_S:
        turns = operator.metrics().total("rollout_turns_total", kind="Rollout")
        if turns >= rollouts:
            return
        say(f"{turns:.0f} of {rollouts} turns")
        time.sleep(10.0)


Look = tuple[Usage, Metrics, dict[str, int], dict[str, int]]


def _look(operator: Operator, world: Child, stub: Child) -> Look:
    with urllib.request.urlopen(f"{stub.first}/stats", timeout=30) as answer:
        asked = orjson.loads(answer.read())
    return operator.usage(), operator.metrics(), world.ask("stats"), asked


def _row(before: Look, after: Look) -> Row:
    used, told = after[0], after[1].since(before[1])
    seconds = used.at - before[0].at
    requests = {kind: after[2][kind] - before[2].get(kind, 0) for kind in after[2] if "bytes" not in kind}
    reads = sum(count for kind, count in requests.items() if kind.startswith("reads"))
    writes = sum(count for kind, count in requests.items() if kind.startswith("writes"))
    checkpoints = requests.get("writes analysisruns", 0)
    turns = told.total("rollout_turns_total", kind="Rollout")
    return {
        "cores": (used.cpu_s - before[0].cpu_s) / seconds,
        "RSS MB": used.rss_mb,
        "peak MB": used.peak_mb,
        "turns/s": turns / seconds,
        "CPU ms a turn": 1000 * (used.cpu_s - before[0].cpu_s) / turns if turns else 0.0,
        "p99 lag s": told.quantile(LAG, 0.99, kind="Rollout") if turns else 0.0,
        "queries/s": (after[3]["queries"] - before[3]["queries"]) / seconds,
        "reads/s": reads / seconds,
        "writes/s": writes / seconds,
        "checkpoints/s": checkpoints / seconds,
        "checkpoint kB/s": checkpoints * after[2]["checkpoint bytes"] / 1000 / seconds,
    }

"""What was played already: a line of JSON for each schedule, so that a campaign may be stopped and go on."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from .schedule import Schedule

Line = dict[str, Any]


def key_of(part: str, told: dict[str, Any]) -> str:
    """What tells one schedule of a campaign from all others."""
    schedule = [told[name] for name in ("story", "seed", "moment", "faults")]
    schedule += ["with a Lease"] if told.get("lease") else []
    return json.dumps([part, *schedule], sort_keys=True)


@dataclass(slots=True)
class Record:
    """The file; lines that were cut off by a stop are played again."""

    path: Path
    lines: dict[str, Line] = field(default_factory=dict)

    def load(self) -> None:
        """Read what is there."""
        if not self.path.exists():
            return
        for text in self.path.read_text().splitlines():
            try:
                line = json.loads(text)
                self.lines[key_of(line["part"], line)] = line
            except (ValueError, KeyError):
                continue

    def holds(self, part: str, schedule: Schedule) -> bool:
        """Whether it was played."""
        return key_of(part, schedule.as_json()) in self.lines

    def add(self, line: Line) -> None:
        """Note what was played."""
        self.lines[key_of(line["part"], line)] = line
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def failures(self) -> list[Line]:
        """What broke something."""
        return [line for line in self.lines.values() if line["violations"]]


def summary(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Sums by part and story."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line["part"], line["story"]), []).append(line)
    return [
        {
            "part": part,
            "story": story,
            "schedules": len(held),
            "faultsStruck": sum(len(line["struck"]) for line in held),
            "writes": sum(line["writes"] for line in held),
            "virtualHours": round(sum(line["virtualSeconds"] for line in held) / 3600, 1),
            "cpuSeconds": round(sum(line["cpuSeconds"] for line in held), 1),
            "violations": sum(bool(line["violations"]) for line in held),
        }
        for (part, story), held in sorted(groups.items())
    ]


def struck(lines: Iterable[Line]) -> dict[str, int]:
    """How often each kind of fault struck."""
    counted: Counter[str] = Counter()
    for line in lines:
        counted.update(each.split(" at ")[0] for each in line["struck"])
    return dict(sorted(counted.items()))


def table(rows: list[dict[str, Any]]) -> Table:
    """The sums for people."""
    names = ("schedules", "faultsStruck", "writes", "virtualHours", "cpuSeconds", "violations")
    heads = ("schedules", "faults", "writes", "virtual h", "CPU s", "violations")
    shown = Table("part", "story")
    for head in heads:
        shown.add_column(head, justify="right")
    for row in rows:
        shown.add_row(row["part"], row["story"], *(f"{row[name]:,}" for name in names))
    sums = [sum(row[name] for row in rows) for name in names]
    shown.add_section()
    shown.add_row("all", "", *(f"{round(total, 1):,}" for total in sums))
    return shown

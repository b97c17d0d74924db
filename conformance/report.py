"""What a run says: a table for people, JSON for programs."""

import json
from collections.abc import Sequence

from rich.table import Table

from conformance.needs import Found
from conformance.telling import Outcome

_COLOURS = {"passed": "green", "failed": "red", "left out": "yellow"}


def table(outcomes: Sequence[Outcome]) -> Table:
    """A row for each story."""
    rows = Table("story", "result", "s", "what it shows, or why not", title_justify="left")
    for each in outcomes:
        colour = _COLOURS[each.result]
        seconds = f"{each.seconds:.1f}" if each.seconds else ""
        rows.add_row(
            each.story.name,
            f"[{colour}]{each.result}[/]",
            seconds,
            each.why.partition("\n")[0] or each.story.title,
        )
    return rows


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many of which."""
    counts = {kind: sum(each.result == kind for each in outcomes) for kind in _COLOURS}
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['left out']} left out"


def as_json(
    found: Found, server: str, operator: str, outcomes: Sequence[Outcome], left_behind: list[str]
) -> str:
    """All of it."""
    told = {
        "server": server,
        "version": found.version,
        "controllers": found.controllers,
        "pods": "scripted" if found.scripted else "real",
        "operator": operator,
        "stories": [
            {
                "name": each.story.name,
                "title": each.story.title,
                "result": each.result,
                "why": each.why,
                "seconds": round(each.seconds, 1),
            }
            for each in outcomes
        ],
        "leftBehind": left_behind,
    }
    return json.dumps(told, indent=1) + "\n"

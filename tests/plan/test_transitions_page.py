"""docs/transitions.md shows the table itself: its picture and its rows are drawn from it.

Run this file to draw them anew.
"""

from pathlib import Path

from rollout.api.status import Stage
from rollout.plan.transitions import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "transitions.md"
BEGIN, END = "<!-- drawn from the table: begin -->\n", "<!-- drawn from the table: end -->\n"


def drawn() -> str:
    """The picture, and the table in words."""
    arrows = {(stage, target) for stage, row in TRANSITIONS.items() for target in row.values()}
    order = list(Stage)
    lines = [
        f"    {stage} --> {target}"
        for stage, target in sorted(arrows, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))
        if stage is not target
    ]
    rows = [
        f"| {stage} | {signal} | {target} |"
        for stage in Stage
        for signal, target in TRANSITIONS[stage].items()
    ]
    picture = ["```mermaid", "stateDiagram-v2", "    [*] --> Initial", *lines, "```"]
    table = ["| in | when | then |", "|---|---|---|", *rows]
    return "\n".join([*picture, "", *table, ""])


def test_the_page_shows_the_table_as_it_is() -> None:
    text = PAGE.read_text()
    shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert shown == drawn(), f"draw it anew: python {Path(__file__).name}"


if __name__ == "__main__":
    page = PAGE.read_text()
    PAGE.write_text(page[: page.index(BEGIN) + len(BEGIN)] + drawn() + page[page.index(END) :])

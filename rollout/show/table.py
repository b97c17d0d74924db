"""`rollout list`: one line a Rollout, in columns as `kubectl get` sets them."""

from collections.abc import Sequence
from datetime import datetime

from rollout.show.quantities import length
from rollout.show.sight import Sight
from rollout.show.tree import VERDICT_WORDS

HEADINGS = ("NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CANARY", "VERDICT", "GIT", "AGE")
WIDE_HEADINGS = (*HEADINGS, "MESSAGE")
_GAP = "   "


def table(rollouts: Sequence[Sight], now: datetime, *, namespaces: bool = False, wide: bool = False) -> str:
    """The listing; `namespaces` adds a first column, `wide` the message as the last."""
    head = WIDE_HEADINGS if wide else HEADINGS
    rows = [row(seen, now)[: len(head)] for seen in rollouts]
    if namespaces:
        head = ("NAMESPACE", *head)
        rows = [(seen.namespace, *cells) for seen, cells in zip(rollouts, rows, strict=True)]
    return columns([head, *rows])


def row(seen: Sight, now: datetime) -> tuple[str, ...]:
    """The cells of one Rollout, the wide ones at the end."""
    status = seen.status
    observed = status.canary.weights
    return (
        seen.name,
        status.phase or "",
        seen.position,
        str(observed.canary.weight) if observed and seen.canary else "",
        seen.stable.hash if seen.stable else "",
        seen.canary.hash if seen.canary else "",
        VERDICT_WORDS[status.verdict] if status.verdict else "",
        seen.git,
        length(now - seen.created_at) if seen.created_at else "",
        status.message,
    )


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Cells set in columns; `<none>` where one is empty, as kubectl writes it; no blanks at line ends."""
    filled = [[cell or "<none>" for cell in cells] for cells in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*filled, strict=True)]
    lines = (
        _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in filled
    )
    return "\n".join(line.rstrip() for line in lines)

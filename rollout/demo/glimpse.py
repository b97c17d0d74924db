"""One look at everything that the audience sees, and the same look as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from rollout.demo.ledger import NOBODY
from rollout.sandbox.shop.load import LoadReport
from rollout.show.quantities import count
from rollout.show.sight import Sight
from rollout.show.tree import tree

BAR_WIDTH = 40
COLOURS = ("cyan", "magenta")


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The Rollout, its GitSource and the traffic, as of one moment."""

    at: datetime
    rollout: Sight | None
    complaint: str
    """What the GitSource says while the newest commit is not applied."""
    handled: str
    """The newest commit that the GitSource has tried."""
    load: LoadReport
    rates: Mapping[str, float]
    """Requests a second by version, over the last reports."""


def rates(before: LoadReport, after: LoadReport) -> dict[str, float]:
    """Requests a second by version between two reports."""
    seconds = after.at - before.at
    if seconds <= 0:
        return {}
    return {each: (after.requests(each) - before.requests(each)) / seconds for each in after.counts}


def picture(glimpse: Glimpse, width: int) -> Text:
    """The Rollout's tree and a bar of the traffic by version."""
    if glimpse.rollout is None:
        return Text("no Rollout yet: the operator has not pulled one", "dim")
    lines = [tree(glimpse.rollout, glimpse.at, width=width), Text()]
    return Text("\n").join([*lines, *traffic(glimpse.rates)])


def traffic(by_version: Mapping[str, float]) -> list[Text]:
    """Requests a second by version, as numbers and bars that add up to one width."""
    flowing = {each: rate for each, rate in sorted(by_version.items()) if rate >= 0.5}
    total = sum(flowing.values())
    if not total:
        return [Text("Users     no traffic yet", "dim")]
    lines = []
    for index, (version, rate) in enumerate(flowing.items()):
        label = "nobody" if version == NOBODY else version
        filled = max(1, round(rate / total * BAR_WIDTH))
        colour = "red" if version == NOBODY else COLOURS[index % len(COLOURS)]
        head = "Users" if index == 0 else ""
        bar = ("█" * filled, colour)
        share = f" {rate / total:4.0%}"
        lines.append(
            Text.assemble((head.ljust(10), "dim"), label.ljust(12), f"{count(rate):>5}/s ", bar, share)
        )
    return lines

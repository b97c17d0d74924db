"""Writes of somebody else, one each second, and what users got meanwhile."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from e2e_stage import Shop

EVERY_S = 1.0
LONGEST_S = 10.0
PROXY_LAG_S = 0.5
"""So much longer than at the API server what was undone may stand at the proxy."""


@dataclass(frozen=True, slots=True)
class Meddled:
    """A while of foreign writes (epoch seconds), and the answers that users got in it by version."""

    windows: Sequence[tuple[float, float]]
    """From each write to the next; the last one to the end."""
    answers: Mapping[str, int]

    @property
    def since(self) -> float:
        """When the first write began."""
        return self.windows[0][0]

    @property
    def until(self) -> float:
        """When the while was over."""
        return self.windows[-1][1]

    def to(self, version: str) -> int:
        """Answers of one version."""
        return self.answers.get(version, 0)


def meddling(shop: Shop, writes: Iterable[Sequence[str]], undone: Callable[[], bool]) -> Meddled:
    """Let kubectl do these writes, one each second; the next one waits until this one is `undone`."""
    began: list[float] = []
    before = shop.report
    for words in writes:
        began.append(time.time())
        shop.stage.kubectl(*words)
        shop.until(
            lambda: time.time() >= began[-1] + EVERY_S and undone(), LONGEST_S, f"undone: {' '.join(words)}"
        )
    ended = time.time()
    shop.until(lambda: shop.report.at >= ended, 5, "users have told of it")
    after = shop.report
    answers = {name: after.requests(name) - before.requests(name) for name in after.counts}
    return Meddled(list(pairwise([*began, ended])), answers)


def within(states: Sequence[tuple[float, bool]], seen: Meddled) -> float:
    """Seconds of the while in which the proxy may have known something that strayed."""
    inside = [(at, strays) for at, strays in states if at < seen.until]
    spans = [(at, end) for (at, strays), (end, _) in pairwise([*inside, (seen.until, False)]) if strays]
    return min(sum(end - at + PROXY_LAG_S for at, end in spans), seen.until - seen.since)

"""Stories told side by side on one stage, each by a thread and with a shop of its own."""

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from e2e_stage import NOBODY, Shop, Stage
from rich.console import Console
from rich.markup import escape
from rich.table import Table

CAMPAIGN = os.environ.get("ROLLOUT_CAMPAIGN", "")
"""Where the long versions of the stories are told: the file that their outcomes are written to."""
Story = Callable[[Shop], None]
LOG_TAIL = 6000
WIDE = 160


@contextmanager
def playing(
    stage: Stage, home: Path, stories: Iterable[Story], *, rate: float, at_once: int
) -> Iterator[Mapping[Story, Future[None]]]:
    """Begin all stories, `at_once` of them at a time, with `rate` requests a second each."""
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        futures = {story: pool.submit(partial(_play, stage, home, story, rate)) for story in stories}
        yield futures
        for future in futures.values():
            future.cancel()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a story; `by_nobody` counts requests that no pod answered, by status."""

    story: str
    passed: bool
    seconds: float
    requests: int
    by_nobody: Mapping[str, int]
    notes: tuple[str, ...]


OUTCOMES: list[Outcome] = []
"""Of all stories that were told up to now."""


def _play(stage: Stage, home: Path, story: Story, rate: float) -> None:
    stage.ensure_operator()
    shop = Shop(stage, home, rate)
    began, passed = time.monotonic(), False
    try:
        story(shop)
        passed = True
    except BaseException as failed:
        failed.add_note(f"{shop.story()}\n{stage.operator.tail(LOG_TAIL)}")
        raise
    finally:
        nobody = dict(shop.report.counts.get(NOBODY, {}))
        seconds = round(time.monotonic() - began, 1)
        OUTCOMES.append(Outcome(name_of(story), passed, seconds, shop.report.sent, nobody, tuple(shop.notes)))
        shop.close()


def name_of(story: Story) -> str:
    """How a story is called."""
    return getattr(story, "__name__", str(story))


def table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes for people."""
    shown = Table(title="Stories with real traffic", title_justify="left")
    for column in ("story", "passed", "s", "requests", "by nobody", "what was done"):
        shown.add_column(column, justify="right" if column in ("s", "requests") else "left")
    for each in outcomes:
        nobody = ", ".join(f"{count} x {code}" for code, count in each.by_nobody.items())
        passed = "yes" if each.passed else "NO"
        row = (each.story, passed, f"{each.seconds:.0f}", f"{each.requests:,}", nobody, "\n".join(each.notes))
        shown.add_row(*map(escape, row))
    text = io.StringIO()
    Console(file=text, width=WIDE).print(shown)
    return text.getvalue()

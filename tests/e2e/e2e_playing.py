"""Stories told side by side on one stage, each by a thread and with a shop of its own."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from e2e_stage import Shop, Stage

CAMPAIGN = os.environ.get("ROLLOUT_CAMPAIGN", "")
"""Where the long versions of the stories are told: the file that their outcomes are written to."""
Story = Callable[[Shop], None]
LOG_TAIL = 6000


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


def _play(stage: Stage, home: Path, story: Story, rate: float) -> None:
    stage.ensure_operator()
    shop = Shop(stage, home, rate)
    try:
        story(shop)
    except BaseException as failed:
        failed.add_note(f"{shop.story()}\n{stage.operator.tail(LOG_TAIL)}")
        raise
    finally:
        shop.close()

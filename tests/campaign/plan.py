"""All schedules of a campaign, in parts."""

from collections.abc import Callable, Iterator
from itertools import islice

from . import drawing
from .schedule import Schedule, Stage
from .stories import BACK, BY_NAME, FIRST, STORIES, WRITTEN_BACK

SWEPT = (FIRST, *STORIES, BACK)


def random(_: Stage, seed: int, count: int) -> Iterator[Schedule]:
    """So many schedules, each from a seed of its own."""
    return (drawing.drawn(each) for each in range(seed, seed + count))


def kills(stage: Stage, _seed: int, _count: int) -> Iterator[Schedule]:
    """Every story, killed before and after each of its writes."""
    for story in SWEPT:
        yield from drawing.kills(story, stage.run(Schedule(story.name)).written)


def sites(stage: Stage, _seed: int, _count: int) -> Iterator[Schedule]:
    """Every story, each fault at each call site: the first, the middle and the last call."""
    for story in SWEPT:
        yield from drawing.at_sites(story, stage.run(Schedule(story.name)).sites, often=True)


def git(_: Stage, seed: int, count: int) -> Iterator[Schedule]:
    """One for each 100 random schedules, with a real repository."""
    return (drawing.drawn_with_git(each) for each in range(seed, seed + max(count // 100, 20)))


def statements(stage: Stage, seed: int, count: int) -> Iterator[Schedule]:
    """One for each 16 random schedules, stopped at any statement between fetch and the pushed verdict."""
    counted = {each.name: stage.run(Schedule(each.name), statements=True).statements for each in WRITTEN_BACK}
    for each in range(seed, seed + max(count // 16, 20)):
        yield drawing.drawn_at_statement(each, counted)


Part = Callable[[Stage, int, int], Iterator[Schedule]]
PARTS: dict[str, Part] = {
    "kills": kills,
    "sites": sites,
    "git": git,
    "statements": statements,
    "random": random,
}


def scheduled(part: str, stage: Stage, seed: int, count: int, most: int | None = None) -> list[Schedule]:
    """What a part plays, at most so many."""
    return list(islice(PARTS[part](stage, seed, count), most))


__all__ = ["BY_NAME", "PARTS", "scheduled"]

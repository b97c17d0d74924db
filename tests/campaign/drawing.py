"""Schedules: drawn from a seed, or every one of a kind."""

import random
from collections.abc import Iterator, Mapping, Sequence

from .faults import CALLS, FREEZES, GIT, STATEMENTS, Fault, Kind
from .prometheus import Mode
from .schedule import Schedule
from .stories import AT_A_MOMENT, BACK, FIRST, GIT_STORIES, STORIES, WRITTEN_BACK, Story

DOWN_S = 3.0
"""How long it takes until a killed operator is started again."""
FROZEN_S = 12.0
KILLS = (Kind.KILL_BEFORE, Kind.KILL_AFTER)
DRAWN_CALLS = tuple(each for each in CALLS if each is not Kind.FREEZE_SENT)
LONGEST = {
    Kind.SECOND: 30.0,
    Kind.KILLED: 40.0,
    Kind.STORM: 25.0,
    Kind.WATCHES_LATE: 40.0,
    Kind.METRICS: 60.0,
    Kind.SLOW_PODS: 15.0,
    Kind.CANARY_UNREADY: 20.0,
    Kind.STABLE_UNREADY: 20.0,
    Kind.FLIPPING: 20.0,
}
"""For how many seconds what begins at a time lasts at most."""
LASTS_S = 60.0
"""Faults begin within so many seconds of the change: about as long as a story takes."""
MIDWAY_S = 0.006
"""How long a git lives at most that is killed: it takes about so long."""
MOMENT_S = 50.0
"""What people do at any moment, they do within so many seconds of the change."""
DRAWN = (*STORIES, *AT_A_MOMENT, FIRST, BACK)
WRITES, REQUESTS = 90, 350
"""As many as the longest stories make."""


def drawn(seed: int) -> Schedule:
    """A story, the moment at which people act in it, and one to five things that go wrong meanwhile."""
    dice = random.Random(seed)
    story = dice.choice(DRAWN)
    count = dice.choice((1, 1, 2, 2, 3, 3, 4, 5))
    moment = round(dice.uniform(0.0, MOMENT_S), 2)
    faults = tuple(_fault(dice) for _ in range(count))
    return Schedule(story.name, faults, seed, moment, lease=True)


def _fault(dice: random.Random) -> Fault:
    if dice.random() < 0.5:
        return _on_a_call(dice, dice.choice(DRAWN_CALLS))
    kind = dice.choice([each for each in Kind if each not in CALLS and each not in GIT | STATEMENTS])
    lasts = round(dice.uniform(1.0, LONGEST[kind]), 1) if kind in LONGEST else 0.0
    mode = dice.choice(list(Mode)) if kind is Kind.METRICS else None
    return Fault(kind, time=round(dice.uniform(0.0, LASTS_S), 1), seconds=lasts, mode=mode)


def drawn_with_git(seed: int) -> Schedule:
    """A story from a repository, and one to four things that go wrong, Git among them."""
    dice = random.Random(f"git {seed}")
    story = dice.choice(GIT_STORIES)
    kind = dice.choice(sorted(GIT))
    lasts = round(dice.uniform(5.0, 60.0), 1) if kind is not Kind.GIT_FORCED else 0.0
    ail = Fault(kind, time=round(dice.uniform(0.0, LASTS_S), 1), seconds=lasts)
    faults = (ail, *(_fault(dice) for _ in range(dice.randint(0, 3))))
    return Schedule(story.name, faults, seed)


def drawn_at_statement(seed: int, counted: Mapping[str, Mapping[str, int]]) -> Schedule:
    """A story whose verdict goes back to Git, stopped at a statement of the work on Git, or at two;
    `counted`: how often each runs in each story, up to the pushed verdict.
    """
    dice = random.Random(f"statements {seed}")
    story = dice.choice(WRITTEN_BACK)
    times = dice.choice((1, 1, 1, 1, 2))
    return Schedule(story.name, tuple(_at_statement(dice, counted[story.name]) for _ in range(times)), seed)


def _at_statement(dice: random.Random, counted: Mapping[str, int]) -> Fault:
    kind = dice.choice((Kind.LEFT_GIT, Kind.LOST_GIT, Kind.LOST_GIT, Kind.LOST_DISK, Kind.GIT_KILLED))
    starts = kind is Kind.GIT_KILLED
    site = dice.choice(sorted(each for each in counted if each.startswith("git ") is starts))
    nth = dice.choice((1, counted[site], dice.randint(1, counted[site])))
    seconds = round(dice.uniform(0.0, MIDWAY_S), 4) if starts else DOWN_S
    return Fault(kind, site=site, nth=nth, seconds=seconds)


def _on_a_call(dice: random.Random, kind: Kind) -> Fault:
    seconds = seconds_of(kind) * dice.uniform(0.1, 2.0)
    if kind is Kind.FREEZE_BEFORE and dice.random() < 0.5:
        kind = Kind.FREEZE_SENT
    if dice.random() < 0.6:
        return Fault(kind, write=dice.randint(1, WRITES), seconds=round(seconds, 1))
    return Fault(kind, request=dice.randint(1, REQUESTS), seconds=round(seconds, 1))


def seconds_of(kind: Kind) -> float:
    """How long a fault of a call usually takes."""
    if kind in KILLS:
        return DOWN_S
    if kind in FREEZES:
        return FROZEN_S
    return 4.0 if kind is Kind.DELAY else 0.0


def kills(story: Story, written: Sequence[str], kinds: Sequence[Kind] = KILLS) -> Iterator[Schedule]:
    """Killed at each of its writes, of which the call sites are given; '' leaves one out."""
    for write in (number for number, site in enumerate(written, 1) if site):
        for kind in kinds:
            yield Schedule(story.name, (Fault(kind, write=write, seconds=DOWN_S),))


def at_sites(story: Story, sites: dict[str, int], *, often: bool) -> Iterator[Schedule]:
    """Each fault at each call site: at its first call, or with `often` also in the middle and at the last."""
    for site, calls in sorted(sites.items()):
        for nth in sorted({1, (calls + 1) // 2, calls} if often else {1}):
            for kind in CALLS:
                fault = Fault(kind, site=site, nth=nth, seconds=seconds_of(kind))
                # What is on its way when another begins is done after that one's writes, but for the Lease.
                yield Schedule(story.name, (fault,), lease=kind is Kind.FREEZE_SENT)


def packed(schedules: Sequence[Schedule], size: int) -> Iterator[Schedule]:
    """The same faults, several in one schedule: cheaper, where most of them break nothing."""
    stride = -(-len(schedules) // size)
    for first in range(stride):
        chosen = schedules[first::stride]
        faults = tuple(fault for each in chosen for fault in each.faults)
        yield Schedule(chosen[0].story, faults, first, lease=any(each.lease for each in chosen))

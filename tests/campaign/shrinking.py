"""A failing schedule without all that it does not need."""

from collections.abc import Callable
from dataclasses import replace

from .schedule import Schedule


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Leave out one fault after the other, as long as it still fails."""
    again = True
    while again:
        again = False
        for fault in schedule.faults:
            fewer = replace(schedule, faults=tuple(each for each in schedule.faults if each is not fault))
            if fails(fewer):
                schedule, again = fewer, True
                break
    return schedule

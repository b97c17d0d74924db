"""When to look, and how often numbers alone are worth a write: what a fleet shares. Pure.

Looks are due at fixed instants of a grid, so that Rollouts which are due together ask together. Which of the
instants of an interval is a Rollout's own is told by its name, so that a fleet is spread over the interval
even where one commit began it all, and those of one name (a service in many namespaces, whose pods are named
alike) ask at once: a query for several namespaces and several names selects each name in each of them.
"""

from datetime import UTC, datetime, timedelta
from zlib import crc32

SLOTS = 15
"""Instants of an interval at which somebody is due: the most batches that a query comes in."""
CROWD = 64
"""Rollouts of one name that share an instant."""
WRITES_A_SECOND = 20.0
"""What all Rollouts under way may write for the numbers alone, each kind: what decides is always written."""
LONGEST_SPACING = timedelta(seconds=60)
"""The most that is counted again after a restart, and the oldest numbers that a status shows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def slot(namespace: str, name: str, of_this_name: int) -> int:
    """Which instant of an interval is a Rollout's own; a name that very many have is spread by namespace."""
    spread = min(of_this_name // CROWD, SLOTS - 1) + 1
    return (crc32(name.encode()) + crc32(namespace.encode()) % spread) % SLOTS


def next_look(slot: int, interval: timedelta, now: datetime) -> datetime:
    """The first instant of a slot that is at least half an interval away."""
    step = interval // _MICROSECOND
    offset = slot * step // SLOTS
    earliest = (now - _EPOCH) // _MICROSECOND + step // 2
    periods = -((offset - earliest) // step)
    return _EPOCH + timedelta(microseconds=offset + periods * step)


def tolerance(interval: timedelta) -> timedelta:
    """How much too early a timer may wake: less than to the next instant of anybody."""
    return interval / SLOTS / 4


def spacing(under_way: int, least: timedelta) -> timedelta:
    """The time between two writes of one Rollout's numbers, by how many share what may be written."""
    fair = timedelta(seconds=under_way / WRITES_A_SECOND)
    return max(least, min(fair, LONGEST_SPACING))

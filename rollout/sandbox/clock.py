"""What time the cluster has: the machine's, or that of whoever plays it in a time of their own.

Durations are measured by the event loop's own clock, which such a player replaces as well.
"""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime


def _machine() -> datetime:
    return datetime.now(UTC)


CLOCK: ContextVar[Callable[[], datetime]] = ContextVar("CLOCK", default=_machine)
"""Tasks inherit it from whoever starts them."""


def now() -> datetime:
    """The time, in UTC."""
    return CLOCK.get()()


def stamp(at: datetime | None = None) -> str:
    """A time (by default the present one) as objects hold it, in seconds."""
    return (now() if at is None else at).strftime("%Y-%m-%dT%H:%M:%SZ")

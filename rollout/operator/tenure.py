"""One holding of one shard, and the guard that it puts before every write of a turn.

Whoever takes over waits for the whole lease after the last sign of life. So a write that is sent before the
deadline, and given up before the lease ends, comes before all of theirs; what slips through all the same (a
process that was stopped between the last look at the clock and the socket) meets a resourceVersion.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from rollout.kube.errors import NotLeading
from rollout.operator.election import Terms

SURE = 0.9
"""Share of what is left of a lease that a write may take: clocks run apart by less than the rest."""


def now() -> float:
    """Seconds by a clock that nobody sets, and that counts the time while the machine was suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class Tenure:
    """A shard that is ours; a shard that is lost and won again is another one."""

    shard: int
    terms: Terms
    renewed_at: float
    """When the last renewal that succeeded was sent."""
    closing: bool = False
    """No turn begins any more, while those under way may write."""
    over: bool = False

    @property
    def stands(self) -> bool:
        """Whether turns under way may write."""
        return not self.over and now() < self.renewed_at + self.terms.deadline

    @property
    def open(self) -> bool:
        """Whether turns may begin."""
        return self.stands and not self.closing

    def seconds(self) -> float:
        """What a write that is sent now may take.

        Raises:
            NotLeading: it may not be sent.
        """
        if not self.stands:
            raise NotLeading(f"shard {self.shard} is not ours any more")
        return SURE * (self.renewed_at + self.terms.lease - now())

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """What is written inside, tasks begun there included, is written for this shard."""
        token = _at_work.set(self)
        try:
            yield
        finally:
            _at_work.reset(token)


_at_work: ContextVar[Tenure | None] = ContextVar("tenure", default=None)


def guard() -> float:
    """The seconds that a write may take, by the shard that is worked for.

    Raises:
        NotLeading: that shard is not ours (any more), or nothing is worked for.
    """
    tenure = _at_work.get()
    if tenure is None:
        raise NotLeading("nothing is written but in a turn")
    return tenure.seconds()

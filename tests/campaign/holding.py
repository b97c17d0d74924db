"""The Lease of a schedule: the operator's own tenure and guard, by the virtual clock.

Its renewals always get through, so nobody loses it but who is frozen for too long. Another one begins when
the Lease has run out, as whoever waits for it would.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from rollout.operator import tenure
from rollout.operator.election import Terms
from rollout.operator.tenure import Tenure, guard

from .loop import VirtualLoop

TERMS = Terms(lease=15.0, deadline=10.0, retry=2.0)


@contextmanager
def virtual() -> Iterator[None]:
    """Tenures in virtual loops go by these; all others by the clock that they always go by."""
    real = tenure.now

    def now() -> float:
        loop = asyncio.get_running_loop()
        return loop.time() if isinstance(loop, VirtualLoop) else real()

    tenure.now = now
    try:
        yield
    finally:
        tenure.now = real


def begun() -> Tenure:
    """A Lease that is taken now."""
    return Tenure(0, TERMS, asyncio.get_running_loop().time())


def renew(held: Tenure) -> bool:
    """Whether it could be renewed: what is lost stays lost."""
    if held.stands:
        held.renewed_at = asyncio.get_running_loop().time()
    return held.stands


def ends(held: Tenure) -> float:
    """When others may begin, where it is not renewed any more: seconds of the loop's clock."""
    return held.renewed_at + held.terms.lease


__all__ = ["TERMS", "Tenure", "begun", "ends", "guard", "renew", "virtual"]

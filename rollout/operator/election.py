"""Who leads a shard, and who takes which of several. Pure: time is our own monotonic clock's, in seconds.

A Lease's own times are written by another machine's clock and are only compared with themselves: what counts
is for how long we, by our clock, have seen no sign of life.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from rollout.kube.lease import Lease


@dataclass(frozen=True, slots=True)
class Terms:
    """In seconds; `retry` < `deadline` < `lease`."""

    lease: float
    """Others wait so long for a holder that gives no sign of life."""
    deadline: float
    """A holder that could not renew for so long writes nothing more."""
    retry: float
    """Between two renewals, and between two tries."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A Lease (None: there is none), and since when nothing of its holder was heard."""

    lease: Lease | None
    since: float

    def after(self, lease: Lease | None, now: float) -> "Seen":
        """The same, looked at again."""
        same = (lease and lease.sign) == (self.lease and self.lease.sign)
        return Seen(lease, self.since if same else now)

    def holder(self, now: float, terms: Terms) -> str:
        """Who holds it; empty where nobody does, or whoever did has not been heard of for too long."""
        if self.lease is None or now >= self.since + (self.lease.seconds or terms.lease):
            return ""
        return self.lease.holder


@dataclass(frozen=True, slots=True)
class Held:
    """A Lease that is ours: when the last renewal that we know to have succeeded, and the last try, were
    sent.
    """

    renewed_at: float
    tried_at: float


@dataclass(frozen=True, slots=True)
class Acquire:
    """Write ourselves onto it, over what was read."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Give a sign of life, over what was read."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at a time, or when something is heard."""

    until: float


@dataclass(frozen=True, slots=True)
class Lost:
    """It is ours no more: stop at once."""

    why: str


Decision = Acquire | Renew | Wait | Lost


def decide(seen: Seen, held: Held | None, me: str, now: float, terms: Terms, patience: float = 0) -> Decision:
    """What to do about one Lease; whoever doesn't hold it leaves a free one to others for `patience`."""
    if held is not None:
        return _hold(seen, held, me, now, terms)
    lease = seen.lease
    if lease is not None and lease.holder == me:
        return Acquire()  # the answer to our last write was lost, or we are who held it before a crash
    at = seen.since + patience
    if lease is not None and lease.holder:
        at += lease.seconds or terms.lease
    return Acquire() if now >= at else Wait(at)


def _hold(seen: Seen, held: Held, me: str, now: float, terms: Terms) -> Decision:
    if seen.lease is None:
        return Lost("the Lease was deleted")
    if seen.lease.holder != me:
        return Lost(f"{seen.lease.holder or 'nobody'} holds it")
    if now >= held.renewed_at + terms.deadline:
        return Lost(f"it could not be renewed for {terms.deadline:g} s")
    at = held.tried_at + terms.retry
    return Renew() if now >= at else Wait(at)


def patience(lease: Lease | None, me: str, holding: int, terms: Terms) -> float:
    """How long to leave a free Lease to others: to whoever asked for it, and to those who hold fewer."""
    asked = lease.wanted_by if lease else ""
    if asked == me:
        return 0.0
    return (terms.retry if asked else 0.0) + terms.retry * min(holding, 8) / 8


def wish(shards: Collection[Seen], me: str, now: float, terms: Terms) -> Lease | None:
    """The Lease to ask for: of whoever holds at least two more than we do, while none is free.

    Each hand-over makes the shares more even, so asking ends: no two of them differ by more than one then.
    """
    holders = [each.holder(now, terms) for each in shards]
    if "" in holders or any(each.lease and each.lease.wanted_by == me for each in shards):
        return None
    counts = Counter(holders)
    richest = max(sorted(counts), key=lambda name: counts[name], default=me)
    if counts[richest] - counts[me] < 2:
        return None
    theirs = [each.lease for each in shards if each.lease and each.lease.holder == richest]
    return next((lease for lease in theirs if not lease.wanted_by), None)


def gives_up(asked: Lease, shards: Collection[Seen], me: str, now: float, terms: Terms) -> bool:
    """Whether a Lease of ours goes to the one that asks for it."""
    counts = Counter(each.holder(now, terms) for each in shards)
    return bool(asked.wanted_by) and counts[me] - counts[asked.wanted_by] >= 2


def other_division(leases: Collection[Seen], shards: int, me: str, now: float, terms: Terms) -> str:
    """Who else works by another number of shards, in words; empty where nobody does.

    A key belongs to another shard then: two would work on it, each under a Lease of its own.
    """
    for seen in leases:
        holder = seen.holder(now, terms)
        if holder not in ("", me) and seen.lease is not None and seen.lease.shards != shards:
            return f"{holder} holds {seen.lease.name}, one of {seen.lease.shards or 'an unknown number of'}"
    return ""

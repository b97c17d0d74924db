"""The shell around `election`: follows the Leases, does what was decided, and says who leads.

A lease that is lost is not the end of the process, as it is for client-go: no turn writes without a tenure,
so nothing of the old one can be left behind, while a process that ended would begin with empty caches, and
during an outage of the API server, when every lease is lost, wait out ever longer restarts.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from rollout.api.errors import Retry, Stalled
from rollout.kube.errors import Conflict, NotFound
from rollout.kube.lease import Lease, Leases
from rollout.kube.reflector import Change
from rollout.operator import election
from rollout.operator.election import Acquire, Held, Lost, Renew, Seen, Terms, Wait
from rollout.operator.shards import lease_name
from rollout.operator.tenure import Tenure, now

log = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long to wait for the first list of the Leases: without it, taking over only takes longer."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the process does when leadership changes; each is told the number of the shard."""

    gained: Callable[[int], None]
    leaving: Callable[[int], Awaitable[None]]
    """Returns when no turn of the shard is under way any more, or it can't be waited for."""
    lost: Callable[[int], None]


class Leadership:
    """Our part in the leadership of all shards; `refusal` says why we may not lead now, or nothing."""

    def __init__(
        self,
        leases: Leases,
        me: str,
        names: tuple[str, ...],
        terms: Terms,
        told: Told,
        refusal: Callable[[], str],
    ) -> None:
        self.me = me
        self._leases = leases
        self._names = names
        self._terms = terms
        self._told = told
        self._refusal = refusal
        began = now()
        self._seen = {name: Seen(None, began) for name in names}
        self._tried: dict[int, float] = {}
        self._tenures: dict[int, Tenure] = {}
        self._heard = [asyncio.Event() for _ in names]
        self._said: dict[int, str] = {}
        self._cache = leases.followed(self._changed)

    def tenure(self, shard: int) -> Tenure | None:
        """Our tenure of a shard, if turns of it may begin."""
        tenure = self._tenures.get(shard)
        return tenure if tenure is not None and tenure.open else None

    @property
    def leads(self) -> bool:
        """Whether any shard is ours."""
        return bool(self._tenures)

    async def run(self) -> None:
        """Take part until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._cache.run())
            try:
                await self._cache.ready(PATIENCE_S)
            except (Retry, Stalled) as blind:
                log.warning("the Leases can't be followed, so taking over takes longer: %s", blind)
            for shard in range(len(self._names)):
                tasks.create_task(self._take_part(shard))
            if len(self._names) > 1:
                tasks.create_task(self._share())

    async def resign(self) -> None:
        """Free every shard that is ours, so that nobody has to wait for us; `run` has ended."""
        for tenure in self._tenures.values():
            tenure.closing = True
        await asyncio.gather(*(self._told.leaving(shard) for shard in self._tenures))
        for shard in tuple(self._tenures):
            self._end(shard)
        try:
            # Read anew: the answer to our last write may have been cut off.
            ours = [lease for lease in await self._leases.all() if lease.holder == self.me]
            await asyncio.gather(*(self._leases.release(lease) for lease in ours))
        except (Retry, Stalled) as error:
            log.warning("could not release; others take over in %g s: %s", self._terms.lease, error)
        else:
            log.info("released %s", ", ".join(lease.name for lease in ours) or "nothing")

    async def _take_part(self, shard: int) -> None:
        while True:
            match self._decide(shard):
                case Acquire():
                    await self._acquire(shard)
                case Renew():
                    await self._renew(shard)
                case Wait(until):
                    await self._rest(shard, until - now())
                case Lost(why):
                    self._lose(shard, why)

    def _decide(self, shard: int) -> election.Decision:
        seen, tenure = self._seen[self._names[shard]], self._tenures.get(shard)
        held = Held(tenure.renewed_at, self._tried[shard]) if tenure else None
        wait = election.patience(seen.lease, self.me, len(self._tenures), self._terms)
        return election.decide(seen, held, self.me, now(), self._terms, wait)

    async def _acquire(self, shard: int) -> None:
        if refusal := self._refusal() or self._division():
            self._say(shard, f"standing by: {refusal}")
            await self._rest(shard, self._terms.retry)
            return
        asked_at, seen = now(), self._seen[self._names[shard]]
        try:
            self._see(await self._leases.take(self._names[shard], seen.lease, self.me))
            # Whoever works by another number of shards writes first and looks then, as we do: of two who
            # begin at once, at least one sees the other.
            others = self._division(await self._leases.all())
        except Conflict:
            await self._look(shard)
        except NotFound as missing:
            await self._gone(shard, missing)
        except (Retry, Stalled) as error:
            self._say(shard, f"standing by: {error}")
            await self._rest(shard, self._terms.retry)
        else:
            if others:
                await self._step_back(shard, others)
            else:
                self._lead(shard, asked_at)

    async def _renew(self, shard: int) -> None:
        tenure = self._tenures[shard]
        lease = self._seen[self._names[shard]].lease
        assert lease is not None, "a Lease that is ours was read"
        asked_at = self._tried[shard] = now()
        try:
            renewed = await self._leases.renew(lease)
        except (Conflict, NotFound):
            await self._look(shard)
            if await self._gives_up(shard):
                return
            self._tried[shard] = -self._terms.retry  # still ours: at once, over what stands there now
        except (Retry, Stalled) as error:
            log.warning("shard %d: could not renew: %s", shard, error)
        else:
            self._see(renewed)
            if tenure.stands:  # else turns were turned away meanwhile: it is lost, and won again
                tenure.renewed_at = asked_at

    async def _gives_up(self, shard: int) -> bool:
        """Hand a shard over to one that holds fewer, where it asks."""
        lease, shares = self._seen[self._names[shard]].lease, tuple(self._seen[name] for name in self._names)
        if lease is None or lease.holder != self.me:
            return False
        if not election.gives_up(lease, shares, self.me, now(), self._terms):
            return False
        self._say(shard, f"handing it over to {lease.wanted_by}, which holds fewer")
        self._tenures[shard].closing = True
        await self._told.leaving(shard)
        self._end(shard)
        with suppress(Retry, Stalled):
            self._see(await self._leases.release(lease))
        return True

    def _lead(self, shard: int, asked_at: float) -> None:
        self._tenures[shard] = Tenure(shard, self._terms, asked_at)
        self._tried[shard] = asked_at
        self._say(shard, "leading")
        self._told.gained(shard)

    def _lose(self, shard: int, why: str) -> None:
        self._end(shard)
        self._say(shard, f"lost: {why}")

    def _end(self, shard: int) -> None:
        self._tenures.pop(shard).over = True
        self._told.lost(shard)

    async def _step_back(self, shard: int, others: str) -> None:
        """Let go of what was taken while others work by another number of shards."""
        self._say(shard, f"standing by: {others}")
        lease = self._seen[self._names[shard]].lease
        with suppress(Retry, Stalled):
            if lease is not None:
                self._see(await self._leases.release(lease))
        # Not `_rest`: what is heard then is our own release, and two who go on at once meet for ever.
        await asyncio.sleep(self._terms.retry * random.uniform(1, 3))

    async def _share(self) -> None:
        """Ask whoever holds more than us for a part of it."""
        while True:
            await asyncio.sleep(self._terms.retry)
            shares = tuple(self._seen[name] for name in self._names)
            wished = election.wish(shares, self.me, now(), self._terms)
            if wished is not None and not (self._refusal() or self._division()):
                with suppress(Retry, Stalled):
                    self._see(await self._leases.ask(wished, self.me))

    async def _look(self, shard: int) -> None:
        """Read what stands there, after somebody else wrote; who reads nothing new looks again later."""
        name = self._names[shard]
        before = self._seen[name]
        try:
            self._seen[name] = before.after(await self._leases.get(name), now())
        except (Retry, Stalled) as error:
            log.warning("shard %d: could not read %s: %s", shard, name, error)
        self._stands_by(shard)
        if self._seen[name].lease == before.lease:
            await self._rest(shard, self._terms.retry)

    async def _gone(self, shard: int, missing: NotFound) -> None:
        """There is no Lease any more, or no namespace to make one in."""
        name = self._names[shard]
        if self._seen[name].lease is None:
            remedy = "create the namespace, or set ROLLOUT_LEASE_NAMESPACE"
            self._say(shard, f"standing by: {missing} ({remedy})")
            await self._rest(shard, self._terms.retry)
        self._seen[name] = Seen(None, now())

    def _division(self, leases: tuple[Lease, ...] | None = None) -> str:
        """Who works by another number of shards, as far as we have heard, or by `leases` just read."""
        for lease in leases or ():
            self._see(lease)
        others = election.other_division(
            tuple(self._seen.values()), len(self._names), self.me, now(), self._terms
        )
        return f"{others} shards, and we would make {len(self._names)}" if others else ""

    def _changed(self, change: Change[Lease]) -> None:
        shard = self._names.index(change.name) if change.name in self._names else None
        if shard is not None and shard in self._tenures:
            return  # what is ours is known by the answers to our own writes; the watch lags behind them
        before = self._seen.get(change.name, Seen(None, now()))
        self._seen[change.name] = before.after(change.after, now())
        if shard is not None:
            self._stands_by(shard)
            self._heard[shard].set()

    def _see(self, lease: Lease) -> None:
        self._seen[lease.name] = self._seen.get(lease.name, Seen(None, now())).after(lease, now())

    async def _rest(self, shard: int, seconds: float) -> None:
        """Sleep, or until something is heard of the shard's Lease."""
        self._heard[shard].clear()
        with suppress(TimeoutError):
            # Not `wait_for`: up to Python 3.11 it forgets a cancellation that comes together with what it
            # waits for, and who leaves would never end.
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._heard[shard].wait()

    def _stands_by(self, shard: int) -> None:
        lease = self._seen[self._names[shard]].lease
        if lease is not None and lease.holder not in ("", self.me):
            self._say(shard, f"standing by: {lease.holder} leads")

    def _say(self, shard: int, what: str) -> None:
        """One line a change."""
        if self._said.get(shard) != what:
            self._said[shard] = what
            log.info("%s: %s", self._names[shard], what, extra={"fields": {"shard": shard}})


def names(family: str, shards: int) -> tuple[str, ...]:
    """The Leases of all shards."""
    return tuple(lease_name(family, shard, shards) for shard in range(shards))

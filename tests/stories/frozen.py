"""A leader is stopped by SIGSTOP at a seeded moment of a turn, another takes over, then it is continued.

`make frozen` plays twenty moments on the terms that are shipped; the stories play some on shorter ones.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import manifests
from chronicle import Chronicle, percent
from prometheus_fake import FakePrometheus
from replicas import Replica, replicas, stopped, unique
from rich.console import Console
from rich.table import Table
from stage import ROUTES, Shop, install, prometheus, until

from rollout.api.status import Phase
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.cluster import Sandbox

STEPS = ({"setWeight": 20}, {"pause": {"duration": "1s"}}, {"setWeight": 50}, {"pause": {}})
LONG_S = 90.0
LATE_S = 2.0
"""Around the moment at which the held write is let go and its sender goes on."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is waited for, in seconds."""

    lease: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0
    stop: float = 30.0

    @property
    def settings(self) -> dict[str, str]:
        return {
            "lease_duration": f"{self.lease:g}s",
            "renew_deadline": f"{self.deadline:g}s",
            "retry_period": f"{self.retry:g}s",
        }


class Way(StrEnum):
    """Where the stopped one's write is meanwhile."""

    HELD = "on the wire until it goes on"
    DONE = "done, the answer unread"
    BETWEEN = "somewhere before the next one"


class Deed(StrEnum):
    """What a person does while it is stopped."""

    ABORT = "abort"
    SUPERSEDE = "a newer version"
    REVERT = "back to the first version"
    PROMOTE = "promote to the end"


@dataclass(frozen=True, slots=True)
class Moment:
    """One seed: at which write after the new version was asked for, and what happens then."""

    seed: int
    about: str
    """Part of the path of the writes that are counted; empty for all."""
    write: int
    way: Way
    deed: Deed
    late_s: float
    """After the write, for `Way.BETWEEN`."""

    @classmethod
    def of(cls, seed: int) -> "Moment":
        dice = random.Random(seed)
        about = ("", "/status", "/httproutes/", "/services/")[seed // 3 % 4]
        # By the second status, the new version is recorded: an intent is about it.
        write = {"": dice.randint(5, 12), "/status": dice.randint(2, 4), "/services/": 1}
        return cls(
            seed=seed,
            about=about,
            write=write.get(about, 1 + seed // 12 % 2),
            way=list(Way)[seed % 3],
            deed=dice.choice(list(Deed)),
            late_s=dice.random() * 0.02,
        )


@dataclass(slots=True)
class Freezer:
    """Stops a replica at a write of its own."""

    moment: Moment
    victim: Replica
    stop_s: float
    armed: bool = False
    struck: Request | None = None
    _count: int = 0

    def __call__(self, request: Request) -> Fault | None:
        ours = f"({self.victim.name})" in request.agent and request.writes
        if not ours or not self.armed or "/leases" in request.path or request.query.get("dryRun"):
            return None
        if self.moment.about not in request.path:
            return None
        self._count += 1
        if self._count != self.moment.write:
            return None
        self.struck = request
        if self.moment.way is Way.BETWEEN:
            loop = asyncio.get_running_loop()
            loop.call_later(self.moment.late_s, self.victim.signal, signal.SIGSTOP)
            return None
        self.victim.signal(signal.SIGSTOP)
        return Fault(delay=self.stop_s) if self.moment.way is Way.HELD else None


@dataclass(slots=True)
class Faults:
    """What the server asks about faults, for several stories at once."""

    each: list[Freezer] = field(default_factory=list)

    async def __call__(self, request: Request) -> Fault | None:
        return next((fault for each in self.each if (fault := each(request))), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one moment."""

    moment: Moment
    struck: str
    answered: int
    """HTTP status of the write at which it was stopped."""
    taken_over_s: float
    after: tuple[str, ...]
    """Writes that the continued one sent: status, method and path."""
    broken: tuple[str, ...]
    late_s: float | None
    """How long the traffic stood that a held write gave the canary, landing where nobody else had written."""
    wrong: str
    """How the end differs from what it has to be."""

    @property
    def stale(self) -> tuple[str, ...]:
        """Writes of the continued one that were done."""
        return tuple(each for each in self.after if each.startswith("2"))

    @property
    def well(self) -> bool:
        return not (self.broken or self.wrong or self.stale)


async def play(
    moment: Moment, sandbox: Sandbox, judge: FakePrometheus, home: Path, faults: Faults, terms: Terms
) -> Outcome:
    """One moment, from a healthy first version to the end that the deed asks for."""
    shop = await Shop.open(sandbox, judge)
    async with (
        Chronicle.of(shop) as told,
        replicas(
            sandbox,
            home,
            judge.url,
            unique(f"frozen-{moment.seed}"),
            namespace=shop.namespace,
            **terms.settings,
        ) as two,
    ):
        for name in ("one", "two"):
            await two.join(name)
        victim = await two.leader()
        for each in two.all:
            await each.ready()
        await shop.healthy("shop:v1", steps=STEPS)
        freezer = Freezer(moment, victim, terms.stop)
        faults.each.append(freezer)
        freezer.armed = True
        await shop.set_image("shop:v2")
        await until("it to be stopped", lambda: stopped(victim.child.pid), seconds=LONG_S)
        began = time.monotonic()
        end = await _deed(shop, moment.deed)
        other = await two.leader(victim)
        taken_over = time.monotonic() - began
        await asyncio.sleep(max(terms.stop - (time.monotonic() - began), 0))
        before, continued = len(victim.writes()), time.monotonic()
        victim.signal(signal.SIGCONT)
        await victim.told(f"standing by: {other.name} leads")
        wrong = await _wrong(end)
        await asyncio.sleep(2 * terms.retry)  # whatever it still would like to do
        wrong = wrong or await _wrong(end)
        faults.each.remove(freezer)
    assert freezer.struck is not None
    broken = told.broken()
    late = _late(told, freezer, continued) if broken and moment.way is Way.HELD else None
    if late is not None:
        # Sent in time and a lease late on the wire, to a route that nobody had to write meanwhile: no
        # resourceVersion can tell. It is undone in the first turn that sees it (I3).
        broken = [each for each in broken if not each.startswith("I3: the canary is raised")]
    return Outcome(
        moment,
        f"{freezer.struck.method} {freezer.struck.path.rpartition(shop.namespace)[2]}",
        freezer.struck.status,
        taken_over,
        tuple(f"{each.status} {each.method} {each.path}" for each in victim.writes()[before:]),
        tuple(broken),
        late,
        wrong,
    )


def _late(told: Chronicle, freezer: Freezer, continued: float) -> float | None:
    """Seconds until the very next write of the route took back what the held one had given."""
    struck = freezer.struck
    if struck is None or struck.status != 200 or not struck.path.endswith(f"/httproutes/{manifests.NAME}"):
        return None
    routes = sorted((each for each in told.entries if each.kind == ROUTES.plural), key=lambda e: e.version)
    seen = [(percent(each.object) or 0, each.at) for each in routes if each.at > continued - LATE_S]
    given = next((each for each in seen if each[0] > 0), None)
    after = next((each for each in seen if given and each[1] > given[1] and each[0] != given[0]), None)
    return after[1] - given[1] if given and after and after[0] < given[0] else None


async def _deed(shop: Shop, deed: Deed) -> Callable[[], Awaitable[object]]:
    """Do it; what has to come of it."""
    match deed:
        case Deed.ABORT:
            await shop.annotate("abort")
            return lambda: _rests(shop, Phase.DEGRADED, "shop:v1", ["Promoted", "Aborted"])
        case Deed.SUPERSEDE:
            await shop.set_image("shop:v3")
            return lambda: shop.paused(50)
        case Deed.REVERT:
            await shop.set_image("shop:v1")
            return lambda: _rests(shop, Phase.HEALTHY, "shop:v1", None)
        case Deed.PROMOTE:
            await shop.annotate("promote-full")
            return lambda: _rests(shop, Phase.HEALTHY, "shop:v2", ["Promoted", "Promoted"])


async def _rests(shop: Shop, phase: Phase, image: str, verdicts: list[str] | None) -> None:
    await shop.phase(phase, seconds=LONG_S)
    await shop.serving(image, seconds=LONG_S)
    found = [entry.verdict.value for entry in (await shop.status()).history]
    assert verdicts is None or found == verdicts, found


async def _wrong(end: Callable[[], Awaitable[object]]) -> str:
    try:
        await end()
    except AssertionError as wrong:
        return str(wrong)
    return ""


def table(outcomes: Sequence[Outcome], terms: Terms) -> Table:
    """All outcomes, for people."""
    drawn = Table(title=f"stopped for {terms.stop:g} s, lease {terms.lease:g} s")
    for heading in ("seed", "stopped at its write", "which is", "answered", "meanwhile", "taken over"):
        drawn.add_column(heading)
    for heading in ("tried after", "done after", "landed late, undone in", "invariants broken", "end"):
        drawn.add_column(heading, justify="right")
    for each in outcomes:
        drawn.add_row(
            str(each.moment.seed),
            f"{each.moment.write}: {each.struck}",
            each.moment.way.value,
            str(each.answered),
            each.moment.deed.value,
            f"{each.taken_over_s:.1f} s",
            str(len(each.after)),
            str(len(each.stale)),
            "" if each.late_s is None else f"{each.late_s:.2f} s",
            str(len(each.broken)),
            "wrong" if each.wrong else "as ever",
        )
    return drawn


async def campaign(seeds: Sequence[int], at_once: int, terms: Terms, home: Path) -> list[Outcome]:
    """Play all of them, so many at a time."""
    room = asyncio.Semaphore(at_once)
    faults = Faults()
    with Sandbox(pods="scripted") as sandbox:
        await install(sandbox)
        judge = prometheus(sandbox)
        await sandbox.call(judge.start())
        sandbox.server.fault = faults

        async def one(seed: int) -> Outcome:
            moment = Moment.of(seed)
            async with room:
                try:
                    return await play(moment, sandbox, judge, home, faults, terms)
                except AssertionError as wrong:
                    return Outcome(moment, "", 0, 0.0, (), (), None, str(wrong))

        try:
            return await asyncio.gather(*(one(seed) for seed in seeds))
        finally:
            await sandbox.call(judge.stop())


def main() -> int:
    """Exit code 1 where anything went wrong."""
    parser = argparse.ArgumentParser(prog="make frozen", description="Leaders that are stopped and go on.")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--stop", type=float, default=30.0, help="seconds")
    given = parser.parse_args()
    terms = Terms(stop=given.stop)
    seeds = range(given.seed, given.seed + given.moments)
    with tempfile.TemporaryDirectory(prefix="rollout-frozen-") as home:
        outcomes = asyncio.run(campaign(seeds, given.at_once, terms, Path(home)))
    console = Console(width=200)
    console.print(table(outcomes, terms))
    for each in outcomes:
        for line in (*each.broken, each.wrong, *each.stale):
            if line:
                console.print(f"seed {each.moment.seed}: {line}")
    return 0 if all(each.well for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

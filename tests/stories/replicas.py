"""Several operators at once, each a process that can be stopped, continued, killed or asked to leave."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.request import urlopen

import crew
from stage import until

from rollout.sandbox import processes
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Request
from rollout.sandbox.apiserver.resource import LEASES
from rollout.sandbox.cluster import Sandbox

HOME = "rollout-system"
START_S = 60.0
"""Python, scipy and the rest are imported by several at once."""


@dataclass(slots=True)
class Replica:
    """One operator."""

    name: str
    sandbox: Sandbox
    child: processes.Child
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, its children included."""
        self.child.signal(number)

    async def ended(self) -> int:
        """Wait until it has ended; its exit code."""
        return await self.sandbox.call(self.child.wait())

    async def told(self, text: str) -> None:
        """Wait for a line of its log."""
        await until(f"{self.name} to say {text!r}", lambda: text in self.log.read_text(), seconds=START_S)

    async def ready(self) -> None:
        """Wait until /readyz answers 200."""
        await self.told("serving /metrics")
        found = re.search(r"on port (\d+)", self.log.read_text())
        assert found is not None
        url = f"http://127.0.0.1:{found[1]}/readyz"
        await until(f"{self.name} to be ready", lambda: asyncio.to_thread(_answers, url), seconds=START_S)

    def writes(self) -> list[Request]:
        """What it asked to be changed, Leases and what was only tried left out."""
        return [
            each
            for each in self.sandbox.server.requests.writes(agent=f"({self.name})")
            if "/leases" not in each.path and not each.query.get("dryRun")
        ]

    def lists(self, since: datetime) -> list[str]:
        """What it listed as a whole since then."""
        asked = tuple(self.sandbox.server.requests.entries)
        mine = [each for each in asked if f"({self.name})" in each.agent and each.at > since]
        return [each.path for each in mine if "limit" in each.query and "/leases" not in each.path]


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass(slots=True)
class Replicas:
    """Those of one story."""

    sandbox: Sandbox
    home: Path
    prometheus: str
    lease: str
    settings: Mapping[str, str]
    all: list[Replica]

    async def join(self, name: str, **settings: str) -> Replica:
        """One more; returns when it is started, not when it is ready."""
        full = f"{name}.{self.lease}"
        home = self.home / full
        home.mkdir(parents=True, exist_ok=True)
        given = {"identity": full, "lease_name": self.lease, **self.settings, **settings}
        child = await self.sandbox.call(crew.process(self.sandbox, home, self.prometheus, **given))
        replica = Replica(full, self.sandbox, child, home / "operator.log")
        self.all.append(replica)
        return replica

    def named(self, name: str) -> Replica:
        return next(each for each in self.all if each.name == name)

    async def holder(self, lease: str = "") -> str:
        """Who holds a Lease; empty where nobody does."""
        try:
            found = await self.sandbox.client.get(LEASES, HOME, lease or self.lease)
        except ApiError:
            return ""
        return str(found["spec"].get("holderIdentity") or "")

    async def leader(self, *but: Replica) -> Replica:
        """Wait until somebody (but those) leads."""

        async def leads() -> str:
            name = await self.holder()
            return "" if name in [each.name for each in but] else name

        return self.named(await until("a leader", leads, seconds=START_S))


@asynccontextmanager
async def replicas(
    sandbox: Sandbox, home: Path, prometheus: str, lease: str, **settings: str
) -> AsyncIterator[Replicas]:
    """Operators that take turns under one name; all are gone at the end."""
    these = Replicas(sandbox, home, prometheus, lease, settings, [])
    try:
        yield these
    finally:
        for each in these.all:
            each.signal(signal.SIGCONT)
        await asyncio.gather(*(sandbox.call(each.child.stop(10.0)) for each in these.all))


async def seconds(condition: Callable[[], object], what: str, limit: float) -> float:
    """How long it takes until a condition holds."""
    began = time.monotonic()
    await until(what, condition, seconds=limit)
    return time.monotonic() - began


def stopped(pid: int) -> bool:
    """Whether a process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def unique(prefix: str) -> str:
    """A name for a Lease of one story in one session."""
    return f"{prefix}-{os.getpid()}"

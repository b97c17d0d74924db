"""The operator at work: in a thread of its own, or as a process that can be killed."""

import asyncio
import logging
import random
import signal
import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

from stage import OPERATOR

from rollout.demo.operator_process import SERVICE_ACCOUNT, environment
from rollout.operator.app import Operator, operating
from rollout.sandbox import processes
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.cluster import Sandbox
from rollout.settings import Settings

API_TIMEOUT = timedelta(seconds=2)
"""Short, so that a hanging API server is a story of seconds."""


log = logging.getLogger(__name__)


class Crew:
    """The operator in a thread and a loop of its own, as a process would have them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop: asyncio.Event | None = None
        self._up = threading.Event()
        self._failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._operator: Operator | None = None
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)

    @classmethod
    def of(cls, sandbox: Sandbox, home: Path) -> Self:
        """As the ServiceAccount of `deploy/`, with what its roles grant and nothing else."""
        return cls(
            Settings(
                kubeconfig=str(sandbox.kubeconfig_for(*SERVICE_ACCOUNT)),
                metrics_host="127.0.0.1",
                metrics_port=0,
                git_schemes=("file", "http"),
                webhooks="127.0.0.1:0",
                git_directory=str(home / "mirrors"),
                api_timeout=API_TIMEOUT,
            )
        )

    def start(self) -> None:
        """Start, and wait until it follows the cluster."""
        self._thread.start()
        self._up.wait()
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """Stop, and wait for its end."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    @property
    def mirrors(self) -> Path:
        """Where its mirrors lie."""
        return Path(self._settings.git_directory)

    @property
    def webhooks(self) -> str:
        """Where it receives them."""
        return f"http://127.0.0.1:{self._operator.webhook_port if self._operator else 0}/hooks"

    @property
    def health(self) -> str:
        """For whoever wonders why nothing happens."""
        if not self._thread.is_alive():
            return f"the operator ended: {self._failed!r}"
        return f"the operator: {self._operator.ready() or 'ready'}" if self._operator else "no operator yet"

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except BaseException as error:
            log.critical("the operator ended", exc_info=True)
            self._failed = error
        finally:
            self._up.set()

    async def _operate(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with operating(self._settings) as operator:
            self._operator = operator
            self._up.set()
            ends = (asyncio.create_task(self._stop.wait()), asyncio.create_task(operator.ended()))
            done, running = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for each in running:
                each.cancel()
            for each in done:
                each.result()


async def process(sandbox: Sandbox, home: Path, prometheus: str, **settings: str) -> processes.Child:
    """`rollout operator` as a process, under the same account; its log is `operator.log` in `home`."""
    named = {f"ROLLOUT_{name.upper()}": value for name, value in settings.items()}
    return await processes.start(
        "operator",
        [sys.executable, "-m", "rollout.cli", "operator"],
        log=home / "operator.log",
        env=environment(sandbox.kubeconfig_for(*SERVICE_ACCOUNT), home, prometheus) | named,
    )


@dataclass(slots=True)
class Killer:
    """Kills the operator by SIGKILL at seeded writes of its own, just before one or just after it is done.

    It is what the server asks about faults; whoever it killed is started again.
    """

    sandbox: Sandbox
    home: Path
    prometheus: str
    kills: int
    seed: int
    killed_at: list[str] = field(default_factory=list)
    """The writes at which it struck."""
    _child: processes.Child | None = None
    _left: int = 3

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    dice: random.Random = field(init=False)

    async def __call__(self, request: Request) -> Fault | None:
        if request.user != OPERATOR or not request.writes or len(self.killed_at) >= self.kills:
            return None
        if "/leases" in request.path:
            return None  # of its work, not of its standing
        self._left -= 1
        if self._left > 0 or self._child is None or not self._child.running:
            return None
        self._left = self.dice.randint(1, 8)
        after = self.dice.random() < 0.5
        self.killed_at.append(f"{'after' if after else 'before'} {request.method} {request.path}")
        self._child.signal(signal.SIGKILL)
        return Fault(cut=True, after=after)

    async def run(self) -> None:
        """Keep one alive until cancelled; in the sandbox's loop."""
        try:
            while True:
                self._child = await process(self.sandbox, self.home, self.prometheus)
                code = await self._child.wait()
                if code != -signal.SIGKILL:
                    raise AssertionError(f"the operator ended with {code}: {self._child.tail()}")
        finally:
            if self._child is not None:
                await self._child.stop(5.0)

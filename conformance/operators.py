"""The operator under test as local processes, each with the rights of the installation and nothing else."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance import api
from conformance.api import Api
from conformance.mirror import at

STOP_S = 20.0
BEGIN_S = 60.0
_QUIET = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")


class Ended(Exception):  # noqa: N818 -- it reads as what it says
    """An operator ended, or did not begin; the text holds the end of its log."""


@dataclass(slots=True)
class Operator:
    """One process."""

    identity: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    def said(self, words: str) -> bool:
        """Whether its log holds the words."""
        return words in self.log.read_text(errors="replace")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; its exit code."""
        if self.running:
            self.process.send_signal(number)
        try:
            return await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()


@dataclass(slots=True)
class Crew:
    """All operators of a run."""

    api: Api
    kubeconfig: Path
    namespace: str
    folder: Path
    prometheus: str
    members: list[Operator] = field(default_factory=list)

    async def start(self) -> Operator:
        """One more; it may wait for its turn to lead."""
        identity = f"operator-{len(self.members)}"
        log = self.folder / f"{identity}.log"
        with open(log, "wb") as target:  # noqa: ASYNC230 -- one short call on a local file
            process = await asyncio.create_subprocess_exec(
                *tied([sys.executable, "-m", "rollout.cli", "operator"]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                env=self._environment(identity),
                start_new_session=True,  # Ctrl-C is for us: it has finalizers to release first
            )
        operator = Operator(identity, process, log)
        self.members.append(operator)
        return operator

    async def watching(self, operator: Operator) -> None:
        """Wait until it follows the cluster. Raises Ended."""

        async def follows() -> bool:
            return operator.said("watching all namespaces")

        await self._until(operator, "follow the cluster", follows, BEGIN_S)

    async def leads(self, operator: Operator, seconds: float = BEGIN_S) -> None:
        """Wait until it holds the Lease. Raises Ended."""

        async def holds() -> bool:
            leases, _ = await self.api.list(api.LEASES, self.namespace)
            return any(at(lease, "spec", "holderIdentity") == operator.identity for lease in leases)

        await self._until(operator, "lead", holds, seconds)

    async def _until(
        self, operator: Operator, what: str, look: Callable[[], Awaitable[bool]], seconds: float
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await look():
                    if not operator.running:
                        raise Ended(_tail(operator.log))
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise Ended(f"it did not {what} within {seconds:g} s: {_tail(operator.log)}") from None

    async def stop(self) -> None:
        """End all."""
        await asyncio.gather(*(member.end() for member in self.members))

    def _environment(self, identity: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in _QUIET}
        return kept | {
            "KUBECONFIG": str(self.kubeconfig),
            "ROLLOUT_METRICS_HOST": "127.0.0.1",
            "ROLLOUT_METRICS_PORT": "0",
            "ROLLOUT_PROMETHEUS_ALLOWED": self.prometheus,
            "ROLLOUT_LEASE_NAMESPACE": self.namespace,
            "ROLLOUT_IDENTITY": identity,
        }


def tied(command: Sequence[str]) -> list[str]:
    """So that the kernel ends it where we are killed; without setpriv it would live on."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        return list(command)
    # Its parent may have died before the kernel was told: then it does nothing.
    alive = ["sh", "-c", 'test "$PPID" -eq "$0" && exec "$@"', str(os.getpid())]
    return [setpriv, "--pdeathsig", "KILL", "--", *alive, *command]


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]

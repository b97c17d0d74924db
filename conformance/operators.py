"""The operator under test as local processes, each with the rights of the installation and nothing else."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_S = 20.0
BEGIN_S = 60.0
_QUIET = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")


class Ended(Exception):  # noqa: N818 -- it reads as what it says
    """An operator ended, or did not begin; the text holds the end of its log."""


@dataclass(slots=True)
class Operator:
    """One process."""

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

    kubeconfig: Path
    namespace: str
    folder: Path
    prometheus: str
    members: list[Operator] = field(default_factory=list)

    async def start(self) -> Operator:
        """One more; it may wait for its turn to lead."""
        log = self.folder / f"operator-{len(self.members)}.log"
        with open(log, "wb") as target:  # noqa: ASYNC230 -- one short call on a local file
            process = await asyncio.create_subprocess_exec(
                *tied([sys.executable, "-m", "rollout.cli", "operator"]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is for us: it has finalizers to release first
            )
        operator = Operator(process, log)
        self.members.append(operator)
        return operator

    async def leading(self, operator: Operator) -> None:
        """Wait until it follows the cluster. Raises Ended."""
        try:
            async with asyncio.timeout(BEGIN_S):
                while not operator.said("watching all namespaces"):
                    if not operator.running:
                        raise Ended(_tail(operator.log))
                    await asyncio.sleep(0.1)  # a file, bounded by the timeout above
        except TimeoutError:
            raise Ended(f"it did not begin within {BEGIN_S:g} s: {_tail(operator.log)}") from None

    async def stop(self) -> None:
        """End all."""
        await asyncio.gather(*(member.end() for member in self.members))

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in _QUIET}
        return kept | {
            "KUBECONFIG": str(self.kubeconfig),
            "ROLLOUT_METRICS_HOST": "127.0.0.1",
            "ROLLOUT_METRICS_PORT": "0",
            "ROLLOUT_PROMETHEUS_ALLOWED": self.prometheus,
        }


def tied(command: Sequence[str]) -> list[str]:
    """So that the kernel ends it where we are killed; without setpriv it would live on."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else list(command)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]

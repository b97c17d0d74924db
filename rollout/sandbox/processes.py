"""Child processes of the sandbox: each in a group of its own, none outliving the sandbox.

`setpriv --pdeathsig` (util-linux, essential on Debian) makes the kernel kill a child whose parent died, even
by SIGKILL. It ties the child to the *thread* that started it, so children are started from the sandbox's own
thread, which lives as long as the sandbox does.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

IF_PARENT_LIVES = 'test "$PPID" -eq "$0" && exec "$@"'
"""Asked once the kernel would tell: a parent that died before that would never be missed."""
QUIET_ENV = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")


class ProcessFailedError(Exception):
    """A child of the sandbox ended before it was ready; the message holds the end of its log."""


class PortTakenError(ProcessFailedError):
    """Somebody else listens on the port that was free a moment ago; try another."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment without what would point a child at another cluster."""
    return {k: v for k, v in os.environ.items() if k not in QUIET_ENV} | dict(extra or {})


def tied(argv: Sequence[str]) -> list[str]:
    """Return `argv` started so that the kernel kills it when our thread is gone."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise FileNotFoundError(
            "setpriv is not on PATH; it is part of util-linux (apt-get install util-linux)"
        )
    return [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", IF_PARENT_LIVES, str(os.getpid()), *argv]


class Child:
    """One running child process, its log file and its end."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path | None) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens where it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def wait(self) -> int:
        """Wait for the end and return the exit code, negative where a signal ended it."""
        return await self.process.wait()

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds; return when the process is gone."""
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), grace)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.process.wait()

    def tail(self, characters: int = 2000) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log else ""


async def start(
    name: str, argv: Sequence[str], *, log: Path | None = None, env: Mapping[str, str] | None = None
) -> Child:
    """Start a child in its own group; its output goes to `log`, or nowhere."""
    target = open(log, "ab") if log else None  # noqa: ASYNC230, SIM115 -- one short call on a local file
    try:
        process = await asyncio.create_subprocess_exec(
            *tied(argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=target or asyncio.subprocess.DEVNULL,
            stderr=target or asyncio.subprocess.DEVNULL,
            env=environment(env),
            start_new_session=True,
        )
    finally:
        if target:
            target.close()
    return Child(name, process, log)

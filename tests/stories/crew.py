"""The operator at work: in a thread of its own, or as a process that can be killed."""

import asyncio
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Self

from rollout.demo.operator_process import SERVICE_ACCOUNT, environment
from rollout.operator.app import operating
from rollout.sandbox import processes
from rollout.sandbox.cluster import Sandbox
from rollout.settings import Settings

API_TIMEOUT = timedelta(seconds=2)
"""Short, so that a hanging API server is a story of seconds."""


class Crew:
    """The operator in a loop of its own, since kopf takes every task of its loop for its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop: asyncio.Event | None = None
        self._up = threading.Event()
        self._failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)

    @classmethod
    def of(cls, sandbox: Sandbox, home: Path) -> Self:
        """As the ServiceAccount of `deploy/`, with what its roles grant and nothing else."""
        return cls(
            Settings(
                kubeconfig=str(sandbox.kubeconfig_for(*SERVICE_ACCOUNT)),
                metrics_host="127.0.0.1",
                metrics_port=0,
                git_schemes=("file",),
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

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except BaseException as error:  # noqa: BLE001 -- raised again where it was started
            self._failed = error
        finally:
            self._up.set()

    async def _operate(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with operating(self._settings) as operator:
            self._up.set()
            ends = (asyncio.create_task(self._stop.wait()), asyncio.create_task(operator.ended()))
            done, running = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for each in running:
                each.cancel()
            for each in done:
                each.result()


async def process(sandbox: Sandbox, home: Path) -> processes.Child:
    """`rollout operator` as a process, under the same account; its log is `operator.log` in `home`."""
    return await processes.start(
        "operator",
        [sys.executable, "-m", "rollout.cli", "operator"],
        log=home / "operator.log",
        env=environment(sandbox.kubeconfig_for(*SERVICE_ACCOUNT), home, ""),
    )

"""The load generator as a child process, seen from Python: start, watch, change the rate, stop."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rollout.sandbox.processes import environment, tied

_SCRIPT = Path(__file__).with_name("loadgen.py")
_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What users saw so far. Versions are the shop's tags; "-" stands for answers that no version gave."""

    at: float = 0.0  # epoch seconds
    final: bool = False
    rate: float = 0.0  # requests a second that are due now
    sent: int = 0
    under_way: int = 0
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # version: status: answers
    hashes: Mapping[str, str] = field(default_factory=dict)  # version: pod hash last seen with it
    first: Mapping[str, float] = field(default_factory=dict)  # version: epoch seconds of its first answer
    last: Mapping[str, float] = field(default_factory=dict)  # version: epoch seconds of its last answer
    p50_ms: float | None = None  # since the report before
    p99_ms: float | None = None

    def requests(self, version: str | None = None) -> int:
        """Answers of one version, or of all; failures without an answer included."""
        return sum(n for v, codes in self.counts.items() if version in (None, v) for n in codes.values())

    def failed(self, version: str | None = None) -> int:
        """Those that were a 5xx or no answer at all ("0")."""
        chosen = (codes for v, codes in self.counts.items() if version in (None, v))
        return sum(n for codes in chosen for code, n in codes.items() if code == "0" or code.startswith("5"))


class Load:
    """A running load generator; `async with Load(url, rate=600) as load: ... load.report`."""

    def __init__(self, url: str, *, host: str = "", rate: float = 600.0, seconds: float = 600.0) -> None:
        """Prepare load on `url` (loopback only) with the Host header `host`, for at most `seconds`."""
        self.report = LoadReport(rate=rate)
        flags = [f"--url={url}", f"--host={host}", f"--rate={rate}", f"--seconds={seconds}"]
        self._command = [sys.executable, "-I", "-S", str(_SCRIPT), *flags]
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Start sending."""
        self._process = await asyncio.create_subprocess_exec(
            *tied(self._command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read())

    async def set_rate(self, rate: float) -> None:
        """Change the rate from now on."""
        await self._say({"rate": rate})

    async def next_report(self) -> LoadReport:
        """Wait for the next report; the last one again where the generator has ended."""
        async with self._changed:
            if not self._reader.done():
                await self._changed.wait()
        return self.report

    async def stop(self) -> LoadReport:
        """Stop sending, wait for what is under way, and return the last report."""
        with contextlib.suppress(ConnectionError):
            await self._say({"stop": True})
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader
        return self.report

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _say(self, what: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            async with self._changed:
                self.report = LoadReport(**said)
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

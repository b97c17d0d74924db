"""An open-loop load generator for loopback addresses, run as a script of its own (standard library only).

python loadgen.py --url http://127.0.0.1:8080/ --host shop.local --rate 600 --seconds 120

Requests leave on a fixed schedule, whatever the answers do; a request that finds no free connection waits and
its time counts from when it was due. Each half second one JSON line goes to stdout (see `Report`). Commands
come as JSON lines on stdin: {"rate": 300}, {"stop": true}; the end of stdin stops it too, so that it never
outlives who started it.
"""

import argparse
import asyncio
import ipaddress
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MOST_PER_SECOND = 5000.0
MOST_SECONDS = 3600.0
MOST_CONNECTIONS = 256
REPORT_EVERY_S = 0.5
TICK_S = 0.004
NOBODY = "-"  # the version of an answer that no version gave: the proxy's own, or none


class NotLoopbackError(ValueError):
    """The target is not on this machine's loopback."""


@dataclass(slots=True)
class Tally:
    """What was answered so far, by version and status ("0" where no answer came)."""

    sent: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)  # version: pod hash last seen with it
    last: dict[str, float] = field(default_factory=dict)  # version: epoch seconds of its last answer
    first: dict[str, float] = field(default_factory=dict)
    window: list[float] = field(default_factory=list)  # seconds per answer since the last report

    def add(self, version: str, status: str, pod_hash: str, seconds: float) -> None:
        """Count one request as done."""
        now = time.time()
        self.counts.setdefault(version, Counter())[status] += 1
        self.first.setdefault(version, now)
        self.last[version] = now
        if pod_hash:
            self.hashes[version] = pod_hash
        self.window.append(seconds)


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time."""

    def __init__(self, generator: "Generator") -> None:
        self.generator = generator
        self.buffer = b""
        self.due: float | None = None  # when the request under way was due; None: idle
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Become usable."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, due: float) -> None:
        """Send the request that was due at `due` (loop time)."""
        self.due = due
        loop = asyncio.get_running_loop()
        self.timer = loop.call_later(self.generator.timeout_s, self.transport.abort)
        self.transport.write(self.generator.request)

    def data_received(self, data: bytes) -> None:
        """Collect the answer, and count it when it is whole."""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        headers = head_of(self.buffer[:end])
        whole = end + 4 + int(headers.get("content-length", 0))
        if len(self.buffer) >= whole:
            self.buffer = self.buffer[whole:]
            self.finish(headers)

    def finish(self, headers: dict[str, str]) -> None:
        """Count the answer and take the next request, or close where the server asks for it."""
        self.settle(headers.get("x-version", NOBODY), headers["status"], headers.get("x-pod-hash", ""))
        if headers.get("connection", "").lower() == "close" or "transfer-encoding" in headers:
            self.transport.close()  # of a chunked answer only the head is read
        else:
            self.generator.idle(self)

    def settle(self, version: str, status: str, pod_hash: str = "") -> None:
        """Count the request under way as done."""
        assert self.due is not None
        assert self.timer is not None
        self.timer.cancel()
        self.generator.tally.add(version, status, pod_hash, asyncio.get_running_loop().time() - self.due)
        self.due = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Count what was under way as failed."""
        if self.due is not None:
            self.settle(NOBODY, "0")
        self.generator.gone(self)


def head_of(head: bytes) -> dict[str, str]:
    """Read an answer's head: its headers in lower case, and its status."""
    lines = head.decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    return headers | {"status": lines[0].split(" ")[1]}


class Generator:
    """Sends on schedule over as many connections as that needs."""

    def __init__(self, url: str, host: str, rate: float, seconds: float, timeout_s: float = 5.0) -> None:
        parts = urlsplit(url)
        self.address, self.port = loopback(parts.hostname or ""), parts.port or 80
        self.rate = bounded(rate, MOST_PER_SECOND)
        self.seconds = bounded(seconds, MOST_SECONDS)
        self.timeout_s = timeout_s
        self.request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {host or parts.netloc}\r\n\r\n".encode()
        self.tally = Tally()
        self.free: list[Connection] = []
        self.waiting: deque[float] = deque()
        self.open = 0
        self.stopping = asyncio.Event()

    async def run(self, report: Callable[[str], None]) -> None:
        """Send until the time is over or `stopping` is set, and report on the way and at the end."""
        reporter = asyncio.create_task(self.reports(report))
        await self.schedule()
        for _ in range(int(self.timeout_s / TICK_S)):
            if self.under_way:
                await asyncio.sleep(TICK_S)
        reporter.cancel()
        report(self.line(final=True))
        for connection in self.free:
            connection.transport.close()

    @property
    def under_way(self) -> int:
        """Requests sent or waiting that have no answer yet."""
        return self.tally.sent - sum(c.total() for c in self.tally.counts.values())

    async def schedule(self) -> None:
        """Let requests become due at the present rate."""
        loop = asyncio.get_running_loop()
        end, now, owed = loop.time() + self.seconds, loop.time(), 0.0
        while now < end and not self.stopping.is_set():
            await asyncio.sleep(TICK_S)
            before, now = now, loop.time()
            owed += (now - before) * self.rate
            for _ in range(int(owed)):
                self.due(now)
            owed -= int(owed)

    def due(self, now: float) -> None:
        """Send one request now, over a free connection or a new one; else it waits."""
        self.tally.sent += 1
        if self.free:
            self.free.pop().send(now)
            return
        self.waiting.append(now)
        if self.open < MOST_CONNECTIONS:
            self.open += 1
            task = asyncio.ensure_future(self.connect())
            task.add_done_callback(lambda t: t.exception())

    async def connect(self) -> None:
        """Open one more connection; where that fails, the oldest waiting request has failed."""
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), self.address, self.port)
        except OSError:
            self.open -= 1
            if self.waiting:
                self.tally.add(NOBODY, "0", "", loop.time() - self.waiting.popleft())
        else:
            self.idle(connection)

    def idle(self, connection: Connection) -> None:
        """Give a free connection the oldest waiting request, or keep it."""
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)

    def gone(self, connection: Connection) -> None:
        """Forget a closed connection, and replace it where requests wait."""
        self.open -= 1
        if connection in self.free:
            self.free.remove(connection)
        if self.waiting:
            self.open += 1
            task = asyncio.ensure_future(self.connect())
            task.add_done_callback(lambda t: t.exception())

    async def reports(self, report: Callable[[str], None]) -> None:
        """Report each half second."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            report(self.line())

    def line(self, *, final: bool = False) -> str:
        """Return the report as JSON: totals, and latency quantiles since the last one."""
        times, self.tally.window = sorted(self.tally.window), []
        quantile = {
            f"p{q}_ms": round(times[int(len(times) * q / 100)] * 1000, 2) if times else None for q in (50, 99)
        }
        return json.dumps(
            {
                "at": time.time(),
                "final": final,
                "rate": self.rate,
                "sent": self.tally.sent,
                "under_way": self.under_way,
                "counts": self.tally.counts,
                "hashes": self.tally.hashes,
                "first": self.tally.first,
                "last": self.tally.last,
                **quantile,
            }
        )

    def command(self, line: str) -> None:
        """Take one command line from stdin; an empty line (the end of stdin) stops."""
        said = json.loads(line) if line.strip() else {"stop": True}
        if "rate" in said:
            self.rate = bounded(float(said["rate"]), MOST_PER_SECOND)
        if said.get("stop"):
            self.stopping.set()


def loopback(host: str) -> str:
    """Return the loopback address to call. Raises NotLoopbackError for anything else."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise NotLoopbackError(f"{host!r} is not a loopback address; this generator never loads another machine")


def bounded(value: float, most: float) -> float:
    """Return the value. Raises ValueError where it is not above 0 and at most `most`."""
    if not 0 < value <= most:
        raise ValueError(f"{value} is not above 0 and at most {most}")
    return value


async def run(options: argparse.Namespace) -> None:
    """Run the generator with its commands on stdin and its reports on stdout."""
    generator = Generator(options.url, options.host, options.rate, options.seconds)
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, lambda: generator.command(sys.stdin.readline()))
    await generator.run(lambda line: print(line, flush=True))  # noqa: T201 -- the reports are its output


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="open-loop load on loopback")
    parser.add_argument("--url", required=True)
    parser.add_argument("--host", default="", help="the Host header")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    try:
        asyncio.run(run(options))
    except ValueError as wrong:
        parser.error(str(wrong))


if __name__ == "__main__":
    main()

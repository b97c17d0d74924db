"""The shop: a small HTTP/1.1 service on asyncio, run as a script of its own (standard library only).

python app.py --listen 127.1.2.3:8080 --version v1 --error-rate 0.01 ...

It answers `/healthz`, `/metrics` (Prometheus text) and any other path, counts the latter alone, and says in
each answer which version and pod it is. On SIGTERM it goes on answering for a moment, then ends; its last
words on stdout are what it counted.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)
LINGER_S = 0.2  # after SIGTERM: who still sends to us is answered and told to close
MAX_HEAD_BYTES = 16384
REASONS = {200: "OK", 400: "Bad Request", 500: "Internal Server Error", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process of the shop is and does."""

    host: str
    port: int
    version: str
    pod: str
    pod_hash: str
    error_rate: float
    latency_s: float
    ready: bool
    crash: bool
    ready_after_s: float


@dataclass(slots=True)
class Counts:
    """The process' counters, in the shapes of a Prometheus client library."""

    requests: Counter[tuple[int, str]] = field(
        default_factory=lambda: Counter({(200, "GET"): 0, (500, "GET"): 0})
    )
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_S))
    seconds: float = 0.0
    started: float = field(default_factory=time.time)

    def observe(self, code: int, method: str, seconds: float) -> None:
        """Count one answered request."""
        self.requests[code, method] += 1
        self.seconds += seconds
        for i, edge in enumerate(BUCKETS_S):
            if seconds <= edge:
                self.buckets[i] += 1

    def text(self) -> str:
        """Return the exposition, format 0.0.4."""
        total = sum(self.requests.values())
        lines = ["# TYPE http_requests_total counter"]
        lines += [
            f'http_requests_total{{code="{c}",method="{m}"}} {n}' for (c, m), n in self.requests.items()
        ]
        lines.append("# TYPE http_request_duration_seconds histogram")
        edges = [*zip(BUCKETS_S, self.buckets, strict=True), ("+Inf", total)]
        lines += [f'http_request_duration_seconds_bucket{{le="{edge}"}} {n}' for edge, n in edges]
        lines.append(f"http_request_duration_seconds_sum {self.seconds:.6f}")
        lines.append(f"http_request_duration_seconds_count {total}")
        lines += ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {self.started:.3f}"]
        lines += [
            "# TYPE process_cpu_seconds_total counter",
            f"process_cpu_seconds_total {time.process_time():.3f}",
        ]
        return "\n".join(lines) + "\n"


class Shop:
    """What all connections of the process share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts = Counts()
        self.connections: set[Connection] = set()
        self.draining = False
        self.empty = asyncio.Event()  # no connection is left while draining
        self.headers = (
            f"X-Version: {settings.version}\r\nX-Pod: {settings.pod}\r\nX-Pod-Hash: {settings.pod_hash}\r\n"
        )

    @property
    def ready(self) -> bool:
        """Whether /healthz answers 200 now."""
        age = time.time() - self.counts.started
        return self.settings.ready and not self.draining and age >= self.settings.ready_after_s

    def answer(self, code: int, body: str, kind: str = "text/plain") -> bytes:
        """Compose an answer."""
        close = "Connection: close\r\n" if self.draining else ""
        return (
            f"HTTP/1.1 {code} {REASONS[code]}\r\n{self.headers}{close}"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Connection(asyncio.Protocol):
    """One connection: requests are answered one after another, each as soon as its head and body are here."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.buffer = b""
        self.busy = False
        self.skip = 0  # bytes of a request body still to pass over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection in the shop's set."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.shop.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.shop.connections.discard(self)
        if self.shop.draining and not self.shop.connections:
            self.shop.empty.set()

    def data_received(self, data: bytes) -> None:
        """Take bytes in and answer what is complete."""
        self.buffer += data
        self.advance()

    def advance(self) -> None:
        """Answer the next request if it is here and none is under way."""
        while not self.busy and not self.transport.is_closing():
            if self.skip:
                passed = min(self.skip, len(self.buffer))
                self.buffer, self.skip = self.buffer[passed:], self.skip - passed
            end = self.buffer.find(b"\r\n\r\n")
            if self.skip or end < 0:
                if len(self.buffer) > MAX_HEAD_BYTES:
                    self.refuse()
                return
            head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
            self.serve(head)

    def serve(self, head: bytes) -> None:
        """Answer one request by its head."""
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = headers.get("content-length", "0")
        if len(words) != 3 or not length.isdigit() or "transfer-encoding" in headers:
            self.refuse()
            return
        self.skip = int(length)
        path = words[1].partition("?")[0]
        if path == "/healthz":
            ready = self.shop.ready
            self.reply(self.shop.answer(200 if ready else 503, "ok\n" if ready else "not ready\n"))
        elif path == "/metrics":
            self.reply(self.shop.answer(200, self.shop.counts.text(), "text/plain; version=0.0.4"))
        else:
            self.trade(words[0])

    def trade(self, method: str) -> None:
        """Answer a request that counts: late and wrong as often as this version is."""
        settings = self.shop.settings
        code = 500 if random.random() < settings.error_rate else 200
        started = time.perf_counter()

        def finish() -> None:
            self.shop.counts.observe(code, method, time.perf_counter() - started)
            self.busy = False
            self.reply(self.shop.answer(code, f"shop {settings.version}\n"))

        if settings.latency_s:
            self.busy = True
            asyncio.get_running_loop().call_later(settings.latency_s, self.finished(finish))
        else:
            finish()

    def finished(self, finish: Callable[[], None]) -> Callable[[], None]:
        """Wrap `finish` so that the requests that waited meanwhile come next."""

        def then() -> None:
            finish()
            self.advance()

        return then

    def reply(self, answer: bytes) -> None:
        """Send an answer, and close where we are about to leave."""
        if not self.transport.is_closing():
            self.transport.write(answer)
            if self.shop.draining:
                self.transport.close()

    def refuse(self) -> None:
        """Answer 400 and close: what follows can't be told apart."""
        self.transport.write(self.shop.answer(400, "bad request\n"))
        self.transport.close()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let what is under way finish."""
    loop = asyncio.get_running_loop()
    shop = Shop(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: Connection(shop), settings.host, settings.port, backlog=1024)
    await stop.wait()
    shop.draining = True
    await asyncio.sleep(LINGER_S)
    server.close()
    for connection in [c for c in shop.connections if not c.busy]:
        connection.transport.close()
    if shop.connections:
        shop.empty.clear()
        await shop.empty.wait()
    print(shop.counts.text(), flush=True)  # noqa: T201 -- its log


def parse(arguments: list[str]) -> Settings:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="the demo shop")
    parser.add_argument("--listen", required=True, help="address:port")
    parser.add_argument("--version", default="v0")
    parser.add_argument("--pod", default="")
    parser.add_argument("--pod-hash", default="")
    parser.add_argument("--error-rate", type=float, default=0.01)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--ready-after-s", type=float, default=0.0)
    parser.add_argument("--never-ready", action="store_true")
    parser.add_argument("--crash", action="store_true")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    return Settings(
        host,
        int(port),
        given.version,
        given.pod,
        given.pod_hash,
        given.error_rate,
        given.latency_s,
        not given.never_ready,
        given.crash,
        given.ready_after_s,
    )


def main() -> None:
    """Run the shop, or crash as told."""
    settings = parse(sys.argv[1:])
    if settings.crash:
        print(f"shop {settings.version}: panic: this version crashes", file=sys.stderr)  # noqa: T201 -- its log
        os._exit(1)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()

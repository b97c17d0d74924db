"""A process that counts its own requests: in memory that outlives it, and at /metrics. Run by its path.

usage: counting_process.py PORT LEDGER SCRAPES. LEDGER holds two numbers, events and failures; to SCRAPES goes
a line for each answer that was sent. It begins to count at POST /go, with failures at POST /fail, and ends at
POST /freeze.
"""

import mmap
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STARTED = time.time()
LEDGER = struct.Struct("<QQ")


class Counter:
    """Events and failures."""

    def __init__(self, ledger: Path) -> None:
        ledger.write_bytes(bytes(LEDGER.size))
        with ledger.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), LEDGER.size)
        self._lock = threading.Lock()
        self.goes = self.fails = False
        self._events = self._failures = 0

    def run(self) -> None:
        while True:
            time.sleep(0.004)
            with self._lock:
                if self.goes:
                    self._events += 3
                    self._failures += self.fails
                    LEDGER.pack_into(self._memory, 0, self._events, self._failures)

    def now(self) -> tuple[int, int]:
        with self._lock:
            return self._events, self._failures

    def freeze(self) -> None:
        with self._lock:
            self.goes = False


def handler(counter: Counter, scrapes: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            events, failures = counter.now()
            lines = [
                f"process_start_time_seconds {STARTED:.2f}",
                f'http_requests_total{{code="200"}} {events - failures}',
            ]
            # As most libraries do it: a label's value is not there before its first event.
            lines += [f'http_requests_total{{code="500"}} {failures}'] if failures else []
            self._answer("".join(f"{line}\n" for line in lines))
            with scrapes.open("a") as log:
                log.write(f"{events} {failures}\n")

        def do_POST(self) -> None:
            match self.path:
                case "/go":
                    counter.goes = True
                case "/fail":
                    counter.fails = True
                case _:
                    counter.freeze()
            self._answer("")

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    port, ledger, scrapes = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    counter = Counter(ledger)
    threading.Thread(target=counter.run, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", port), handler(counter, scrapes)).serve_forever()


if __name__ == "__main__":
    main()

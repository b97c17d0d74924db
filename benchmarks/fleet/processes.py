"""Children of the benchmarks, and what /proc says of one."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from rollout.sandbox.processes import environment, tied

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 180.0
STOP_S = 20.0


class Child:
    """A process that tells one line when it is ready, answers lines with lines, and ends with its stdin."""

    def __init__(self, *words: str, log: Path) -> None:
        with log.open("ab") as err:
            self._process = subprocess.Popen(
                tied([sys.executable, "-m", *words]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env=environment(),
            )
        self.first = self._line()
        if not self.first:
            raise RuntimeError(f"{words[0]} did not start: {log.read_text()[-2000:]}")

    def ask(self, word: str) -> dict[str, int]:
        """One line out, one line of JSON back."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        found: dict[str, int] = orjson.loads(self._line())
        return found

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        _stopped(self._process)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _stopped(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used up to an instant."""

    at: float
    cpu_s: float
    rss_mb: float
    peak_mb: float
    threads: int


def usage(pid: int) -> Usage:
    """Of all threads of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(re.findall(r"^(\w+):\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    return Usage(
        at=time.monotonic(),
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS,
        rss_mb=int(status["VmRSS"]) / 1024,
        peak_mb=int(status["VmHWM"]) / 1024,
        threads=int(status["Threads"]),
    )


class Operator:
    """`rollout operator` as a process: what it uses, and what it tells by /metrics."""

    def __init__(self, home: Path, kubeconfig: Path, prometheus: str, *command: str) -> None:
        self._port = _free_port()
        self._log = home / "operator.log"
        env = {
            "KUBECONFIG": str(kubeconfig),
            "ROLLOUT_GIT_SCHEMES": "file",
            "ROLLOUT_GIT_DIRECTORY": str(home / "mirrors"),
            "ROLLOUT_METRICS_HOST": "127.0.0.1",
            "ROLLOUT_METRICS_PORT": str(self._port),
            "ROLLOUT_PROMETHEUS_ALLOWED": prometheus,
        }
        words = command or (sys.executable, "-m", "rollout.cli", "operator")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                tied(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(env)
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> float:
        """Until it is ready; seconds."""
        began = time.monotonic()
        while time.monotonic() - began < START_S:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5):
                    return time.monotonic() - began
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the operator is not ready: {self._log.read_text()[-3000:]}")

    def usage(self) -> Usage:
        return usage(self.pid)

    def metrics(self) -> "Metrics":
        """What it tells now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
            return Metrics.parsed(answer.read().decode())

    def troubles(self) -> list[str]:
        """Lines of its log that tell of failures."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if "WARNING" in line or "ERROR" in line or "Traceback" in line]

    def stop(self) -> None:
        _stopped(self._process)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Values by series name, as Prometheus text has them."""

    values: Mapping[str, float]

    @classmethod
    def parsed(cls, text: str) -> "Metrics":
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return cls({name: float(value) for name, _, value in lines})

    def since(self, before: "Metrics") -> "Metrics":
        """The growth of each."""
        return Metrics({name: value - before.values.get(name, 0.0) for name, value in self.values.items()})

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of a name that carry these labels."""
        return sum(value for series, value in self.values.items() if _named(series, name, labels))

    def quantile(self, name: str, share: float, **labels: str) -> float:
        """The upper bound of the bucket that holds a share of a histogram's observations."""
        buckets: dict[float, float] = {}
        for series, value in self.values.items():
            if _named(series, f"{name}_bucket", labels):
                edge = float(re.search(r'le="([^"]+)"', series)[1])  # type: ignore[index]
                buckets[edge] = buckets.get(edge, 0.0) + value
        wanted = share * max(buckets.values(), default=0.0)
        return next((edge for edge in sorted(buckets) if buckets[edge] >= wanted), float("nan"))


def _named(series: str, name: str, labels: Mapping[str, str]) -> bool:
    bare, _, rest = series.partition("{")
    return bare == name and all(f'{key}="{value}"' in rest for key, value in labels.items())


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def stopping(*children: Child | Operator) -> Iterator[None]:
    """Stop them all at the end, the last first."""
    try:
        yield
    finally:
        for child in reversed(children):
            child.stop()

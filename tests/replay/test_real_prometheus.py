"""A real Prometheus scrapes processes that count their own requests: the judge counts what they did."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import counting_process
import pytest
import pytest_asyncio
import yaml
from typer.testing import CliRunner

from analysis.evidence import Counts
from analysis.metric import Metric, Proportion
from analysis.policy import Policy
from analysis.reading import Context
from analysis.sequential import Checkpoint, begin, begin_step, fold
from analysis.sources import Arms, take
from analysis.sources.prometheus import PrometheusSource
from rollout.cli.app import app
from rollout.demo.player import content
from rollout.sandbox.dataplane import free_port
from rollout.sandbox.prometheus import Prometheus

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PATIENCE_S = 60.0
ERRORS = Metric("errors", Proportion('http_requests_total{code=~"5.."}', "http_requests_total"))
POLICY = Policy((ERRORS,))
ARMS = Arms('pod="canary"', 'pod="stable"')


@dataclass
class Counting:
    """One pod: processes one after another, at one address."""

    folder: Path
    name: str
    port: int = field(default_factory=free_port)
    lives: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.lives += 1
        script = counting_process.__file__
        files = (str(self._file("ledger")), str(self._file("scrapes")))
        self.process = subprocess.Popen([sys.executable, script, str(self.port), *files])

    async def says(self, word: str) -> None:
        """Tell it; it may be starting."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{word}", method="POST")

        def told() -> bool:
            try:
                with urllib.request.urlopen(request, timeout=5):
                    return True
            except (urllib.error.URLError, ConnectionError):
                return False

        await until(told)

    def counted(self, life: int) -> tuple[int, int]:
        """(events, failures) of a life by its own ledger, which outlives it."""
        data = self._file("ledger", life).read_bytes()
        events, failures = counting_process.LEDGER.unpack(data)
        return events, failures

    def scrapes(self, life: int | None = None) -> list[tuple[int, int]]:
        """What it answered, scrape by scrape."""
        file = self._file("scrapes", life)
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    async def is_scraped(self, times: int = 1) -> None:
        known = len(self.scrapes())
        await until(lambda: len(self.scrapes()) >= known + times)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _file(self, what: str, life: int | None = None) -> Path:
        return self.folder / f"{self.name}-{life or self.lives}.{what}"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.05)


@dataclass
class Scene:
    """Two pods, and who scrapes them each second."""

    canary: Counting
    stable: Counting
    prometheus: Prometheus


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    canary, stable = Counting(tmp_path, "canary"), Counting(tmp_path, "stable")
    prometheus = Prometheus(tmp_path / "prometheus")
    prometheus.folder.mkdir()
    targets = [
        {"targets": [f"127.0.0.1:{pod.port}"], "labels": {"pod": pod.name, "namespace": "shop"}}
        for pod in (canary, stable)
    ]
    jobs = [{"job_name": "shop", "static_configs": targets}]
    times = {"scrape_interval": "1s", "scrape_timeout": "900ms"}
    (prometheus.folder / "prometheus.yml").write_text(
        yaml.safe_dump({"global": times, "scrape_configs": jobs})
    )
    for pod in (canary, stable):
        pod.start()
    try:
        await prometheus.start()
        yield Scene(canary, stable, prometheus)
    finally:
        await prometheus.stop()
        for pod in (canary, stable):
            pod.kill()


class Judge:
    """Looks now and then, as the operator does, and counts."""

    def __init__(self, url: str) -> None:
        self._source = PrometheusSource(url)
        self._began = datetime.now(UTC)
        self.checkpoint: Checkpoint = begin_step(begin(POLICY, self._began), "0", self._began)

    async def look(self) -> None:
        cut, now = self.checkpoint.cut("errors"), datetime.now(UTC)
        context = Context(began=self._began, interval=timedelta(seconds=1))
        reading = await take(self._source, ERRORS, ARMS, cut, now, context)
        self.checkpoint = fold(POLICY, self.checkpoint, "errors", reading)

    async def sees(self, canary: Counts, stable: Counts) -> None:
        """Looks until it has counted so much, and no more for some scrapes after that."""
        async with asyncio.timeout(PATIENCE_S):
            while self.counted != (canary, stable):
                await self.look()
                await asyncio.sleep(0.3)

    @property
    def counted(self) -> tuple[Counts, Counts]:
        pair = self.checkpoint.metrics["errors"].tests[0].counted
        return pair.canary, pair.stable

    def close(self) -> None:
        self._source.close()


async def played(scene: Scene, judge: Judge) -> None:
    """Traffic; the canary is killed, comes back, and fails for the first time in its life."""
    canary, stable = scene.canary, scene.stable
    await canary.says("go")
    await stable.says("go")
    for _ in range(3):
        await canary.is_scraped()
        await judge.look()
    await asyncio.sleep(0.3)  # so that something is lost, and no scrape is under way
    canary.kill()
    await judge.look()
    canary.start()
    await canary.says("go")
    await canary.is_scraped(2)
    await canary.says("fail")
    for _ in range(3):
        await canary.is_scraped()
        await judge.look()
    await canary.says("freeze")
    await stable.says("freeze")
    await canary.is_scraped(2)
    await stable.is_scraped(2)


async def test_the_judges_totals_are_the_processes_own_but_for_what_a_crash_lost(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.canary.is_scraped(2)
    await scene.stable.is_scraped(2)
    judge, began = Judge(scene.prometheus.url), datetime.now(UTC)
    await played(scene, judge)
    first, second, steady = (
        scene.canary.counted(1),
        scene.canary.counted(2),
        scene.stable.counted(1),
    )
    last_seen = scene.canary.scrapes(1)[-1]
    lost = first[0] - last_seen[0]
    assert lost > 0, "a crash between two scrapes loses something, or this shows nothing"
    assert first[1] == 0
    assert second[1] > 0
    canary = Counts(float(second[1]), float(last_seen[0] + second[0]))
    stable = Counts(0.0, float(steady[0]))
    await judge.sees(canary, stable)
    for _ in range(3):
        await scene.canary.is_scraped()
        await judge.look()
    assert judge.counted == (canary, stable), "what was counted is not counted again"
    judge.close()
    await asyncio.to_thread(replayed_alike, scene.prometheus.url, began, tmp_path, canary)


def replayed_alike(url: str, began: datetime, folder: Path, canary: Counts) -> None:
    """A backtest on the server and one on the file that it saves tell the same, and count no more than there
    was.
    """
    arms = ("--canary", ARMS.canary, "--stable", ARMS.stable, "-o", "json")
    span = ("--from", began.isoformat(), "--to", datetime.now(UTC).isoformat())
    record = folder / "shop.jsonl"
    shop = str(content() / "shop")
    runner = CliRunner()
    live = runner.invoke(app, ["backtest", shop, "--prometheus", url, "--save", str(record), *span, *arms])
    assert live.exit_code == 0, live.output
    again = runner.invoke(app, ["backtest", shop, "--record", str(record), *span, *arms])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == json.loads(live.stdout)
    (told,) = json.loads(live.stdout)["rollouts"]
    (errors,) = told["evidence"]
    assert 0 < errors["canary"]["total"] <= canary.total

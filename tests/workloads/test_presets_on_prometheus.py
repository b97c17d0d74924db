"""Each preset counts what it shall, and nothing else, where a real Prometheus scrapes its source's page."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from preset_cases import CASES, Body, plane, resolved, route

from analysis.reading import Context, Reading, Status
from analysis.sources import Arms, take
from analysis.sources.prometheus import PrometheusSource
from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.measure.policy import policy_of
from rollout.sandbox.prometheus import Prometheus, prepare

pytestmark = pytest.mark.real

PATIENCE_S = 60
SECOND = timedelta(seconds=1)
_SAMPLE = re.compile(r"^([a-z].*) (\d+)$", re.MULTILINE)


class Pages:
    """A server whose counters grow by a page's numbers from scrape to scrape."""

    def __init__(self, cases: list[Body]) -> None:
        self._pages = "".join(case["page"] for case in cases)
        self.scrapes = 0

    async def metrics(self, _: web.Request) -> web.Response:
        self.scrapes += 1
        return web.Response(
            text=_SAMPLE.sub(lambda one: f"{one[1]} {int(one[2]) * self.scrapes}", self._pages)
        )


@dataclass
class Watched:
    """A Prometheus that scrapes the pages of all sources."""

    source: PrometheusSource
    began: datetime

    async def counted(self, metric: Metric) -> Reading:
        """What is counted for a metric, as soon as there is something to count."""
        assert metric.compare.arms.canary is not None
        assert metric.compare.arms.stable is not None
        arms = Arms(metric.compare.arms.canary, metric.compare.arms.stable)
        asked = policy_of(AnalysisRunSpec(metrics=(metric,))).metric(metric.name)
        context = Context(began=self.began, interval=SECOND)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                now = datetime.now(UTC)
                reading = await take(self.source, asked, arms, self.began, now, context)
                assert reading.status is not Status.ERROR, reading.cause
                if reading.counts and all(pair.canary.total and pair.stable.total for pair in reading.counts):
                    return reading
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    pages, app = Pages(CASES), web.Application()
    app.router.add_get("/metrics", pages.metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    prometheus = started(tmp_path_factory.mktemp("prometheus"), runner.addresses[0][1])
    await prometheus.start()
    async with asyncio.timeout(PATIENCE_S):
        while pages.scrapes < 2:
            await asyncio.sleep(0.05)
    source = PrometheusSource(prometheus.url)
    yield Watched(source, datetime.now(UTC))
    source.close()
    await prometheus.stop()
    await runner.cleanup()


def started(folder: Path, port: int) -> Prometheus:
    """With the server at `port` as its only target, whose labels stay as they are."""
    prometheus = prepare(folder, None)
    job = {
        "job_name": "pages",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }
    configuration = {"global": {"scrape_interval": "1s", "scrape_timeout": "900ms"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    return prometheus


def questions() -> list[object]:
    return [
        pytest.param(case, kind, id=f"{case['preset']} {kind}") for case in CASES for kind in case["counts"]
    ]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("case", "kind"), questions())
async def test_both_versions_are_counted_and_nothing_else(watched: Watched, case: Body, kind: str) -> None:
    asked = {"preset": kind, "arms": {"preset": case["preset"]}}
    if kind == "latency":
        asked["slo"] = case["latency"]["slo"]
    reading = await watched.counted(resolved(asked, plane(route())))
    first = reading.counts[0]
    for arm, counts in (("stable", first.stable), ("canary", first.canary)):
        bad, total = case["counts"][kind][arm]
        scrapes = counts.total / total
        assert scrapes == round(scrapes) > 0, f"{counts} of {arm} is no multiple of {total} a scrape"
        assert counts.bad == bad * scrapes

"""`rollout plan --prometheus` on a real Prometheus that scrapes counters whose growth is known."""

import asyncio
import json
import re
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from typer.testing import CliRunner, Result

from rollout.cli.app import app
from rollout.demo.player import content
from rollout.sandbox.prometheus import Prometheus, prepare

pytestmark = pytest.mark.real

PATIENCE_S = 60
_SAMPLE = re.compile(r"^([a-z].*) (\d+)$", re.MULTILINE)
# What counters grow by from second to second: two versions of `shop` one after the other, and a neighbour.
PAGE = """
http_requests_total{namespace="shop",pod="shop-6c9f7d-aaaaa",code="200"} 98
http_requests_total{namespace="shop",pod="shop-6c9f7d-aaaaa",code="500"} 2
http_requests_total{namespace="shop",pod="shop-7d4b9c-bbbbb",code="200"} 90
http_requests_total{namespace="shop",pod="shop-7d4b9c-bbbbb",code="500"} 10
http_requests_total{namespace="shop",pod="other-6c9f7d-ccccc",code="500"} 700
d_bucket{namespace="shop",pod="shop-6c9f7d-aaaaa",le="0.3"} 95
d_bucket{namespace="shop",pod="shop-6c9f7d-aaaaa",le="1.0"} 99
d_bucket{namespace="shop",pod="shop-6c9f7d-aaaaa",le="+Inf"} 100
restarts_total{namespace="shop",pod="shop-6c9f7d-aaaaa"} 1
"""
WINDOW_S = 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A Prometheus that has watched the page for a window, and goes on."""
    began = datetime.now(UTC).timestamp()

    async def metrics(_: web.Request) -> web.Response:
        lasted = datetime.now(UTC).timestamp() - began
        return web.Response(text=_SAMPLE.sub(lambda one: f"{one[1]} {int(one[2]) * lasted:.3f}", PAGE))

    served = web.Application()
    served.router.add_get("/metrics", metrics)
    runner = web.AppRunner(served)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    prometheus = watching(tmp_path_factory.mktemp("prometheus"), runner.addresses[0][1])
    await prometheus.start()
    async with asyncio.timeout(PATIENCE_S):
        while await scrapes(prometheus.url) < WINDOW_S + 1:
            await asyncio.sleep(0.1)
    yield prometheus.url
    await prometheus.stop()
    await runner.cleanup()


def watching(folder: Path, port: int) -> Prometheus:
    prometheus = prepare(folder, None)
    job = {"job_name": "page", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    told = {"global": {"scrape_interval": "1s", "scrape_timeout": "900ms"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
    return prometheus


async def scrapes(url: str) -> float:
    asked = await asyncio.to_thread(query, url, 'count_over_time(up{job="page"}[1m])')
    return float(asked[0]["value"][1]) if asked else 0.0


def query(url: str, text: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': text})}") as answer:
        return list(json.load(answer)["data"]["result"])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of manifests: the demo's, with latency and restarts as well."""
    for file in (content() / "shop").iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    template = yaml.safe_load((tmp_path / "analysis.yaml").read_text())
    template["spec"]["metrics"] += [
        {"name": "slow", "compare": {"histogram": {"buckets": "d_bucket", "slo": ["300ms", "1s"]}}},
        {"name": "restarts", "compare": {"rate": {"events": "restarts_total"}}},
    ]
    (tmp_path / "analysis.yaml").write_text(yaml.safe_dump(template))
    return tmp_path


async def plan(*words: str | Path) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["plan", *map(str, words)])


def lately(url: str, *words: str) -> tuple[str, ...]:
    return ("--prometheus", url, "--window", f"{WINDOW_S}s", *words)


@pytest.mark.asyncio(loop_scope="module")
async def test_traffic_and_rates_are_those_of_the_named_version(url: str, shop: Path) -> None:
    done = await plan(shop, *lately(url, "--stable", "6c9f7d", "-o", "json"))
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["rollouts"]
    assert told["requestsPerSecond"] == pytest.approx(100, rel=0.2)
    rates = told["stableRates"]
    assert rates["errors"] == pytest.approx(0.02, rel=0.01)
    assert rates["slow"] == pytest.approx(0.05, rel=0.01)
    assert rates["restarts"] == pytest.approx(3600, rel=0.3)
    assert told["steps"][0]["metrics"][0]["stable"] == rates["errors"]


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_version_all_that_ran_are_one(url: str, shop: Path) -> None:
    done = await plan(shop, *lately(url, "-o", "json"))
    (told,) = json.loads(done.stdout)["rollouts"]
    assert told["requestsPerSecond"] == pytest.approx(200, rel=0.2)
    assert told["stableRates"]["errors"] == pytest.approx(0.06, rel=0.01)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_told_wins_over_what_was_counted(url: str, shop: Path) -> None:
    told = ("--rps", "7", "--error-rate", "1%", "--rate", "slow=4%")
    done = await plan(shop, *lately(url, *told, "-o", "json"))
    (said,) = json.loads(done.stdout)["rollouts"]
    assert said["requestsPerSecond"] == 7
    assert (said["stableRates"]["errors"], said["stableRates"]["slow"]) == (0.01, 0.04)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_metric_that_nobody_counts_is_named_with_its_series(url: str, shop: Path) -> None:
    text = (shop / "analysis.yaml").read_text().replace("d_bucket", "nothing_bucket")
    (shop / "analysis.yaml").write_text(text)
    done = await plan(shop, *lately(url))
    assert done.exit_code == 0
    assert "(the last 5 s), with power 0.8" in done.stdout
    assert "warning: shop: slow: nothing was counted by nothing_bucket{" in done.stderr


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("words", "exit_code", "says"),
    [
        pytest.param(
            ("--stable", "absent"), 1, "shop: no requests of the stable version are known", id="nobody"
        ),
        pytest.param(("--strict",), 1, "can't reach their margin", id="steps that are too short, strictly"),
        pytest.param(("--window", "0s"), 2, "must be 1s or longer", id="no window"),
        pytest.param(("--window", "long"), 2, "'long'", id="a window that is none"),
        pytest.param(
            ("--prometheus", "localhost"), 2, "write http://HOST:PORT", id="an address without scheme"
        ),
        pytest.param(("--prometheus", "http://127.0.0.1:1"), 3, "127.0.0.1:1", id="nobody answers"),
    ],
)
async def test_what_can_not_be_planned_is_said(
    url: str, shop: Path, words: tuple[str, ...], exit_code: int, says: str
) -> None:
    done = await plan(shop, *lately(url, *words))
    assert done.exit_code == exit_code, done.output
    assert says in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.asyncio(loop_scope="module")
async def test_a_folder_of_several_is_planned_each_by_its_own_traffic(url: str, shop: Path) -> None:
    other = yaml.safe_load((shop / "rollout.yaml").read_text())
    other["metadata"]["name"] = "silent"
    (shop / "silent.yaml").write_text(yaml.safe_dump(other))
    done = await plan(shop, *lately(url, "-o", "json"))
    assert done.exit_code == 1
    assert [told["name"] for told in json.loads(done.stdout)["rollouts"]] == ["shop"]
    assert (
        "silent: no requests of the stable version are known (errors: nothing was counted by" in done.stderr
    )

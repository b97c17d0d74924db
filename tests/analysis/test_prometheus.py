"""The source against a small server that answers as told, and against a real Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from analysis import Context, Counts, Metric, Pair, Proportion, Series, Status
from analysis.sources import Arms, PartialAnswerError, QueryRefusedError, SourceDownError, take
from analysis.sources.prometheus import PrometheusSource
from rollout.sandbox.install import ToolMissingError, ensure_prometheus

AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answer(result: Any, kind: str = "matrix", **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}, **more}


def replying(body: Any, status: int = 200) -> Handler:
    async def reply(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, content_type="application/json")

    return reply


async def asked(handler: Handler, **about: Any) -> tuple[Series, ...]:
    async with serving(handler) as url:
        source = PrometheusSource(url, **{"deadline": timedelta(seconds=1), **about})
        try:
            return await source.query('up{job="a"}', AT, MINUTE)
        finally:
            source.close()


async def test_the_question_is_a_range_selector_at_an_instant() -> None:
    seen: dict[str, str] = {}

    async def remember(request: web.Request) -> web.Response:
        seen.update(path=request.path, token=request.headers["Authorization"], **await request.post())  # type: ignore[arg-type]
        return web.json_response(answer([]))

    assert await asked(remember, headers={"Authorization": "Bearer x"}) == ()
    assert seen["path"] == "/api/v1/query"
    assert seen["query"] == 'up{job="a"}[60000ms]'
    assert seen["time"] == "1772366400.250"
    assert seen["token"] == "Bearer x"
    # Prometheus 2.42 takes no decimal point beside a unit.
    assert 0 < int(seen["timeout"].removesuffix("ms")) <= 1000


async def test_samples_are_whole_milliseconds_and_values_as_they_are() -> None:
    result = [{"metric": {"job": "a"}, "values": [[1772366400.123, "5"], [1772366401.9999, "NaN"]]}]
    (series,) = await asked(replying(answer(result)))
    assert series.labels == {"job": "a"}
    assert [at for at, _ in series.samples] == [1772366400123, 1772366402000]
    assert series.samples[0][1] == 5
    assert series.samples[1][1] != series.samples[1][1]


REFUSAL = {"status": "error", "errorType": "bad_data", "error": 'invalid parameter "query": parse error'}
BUSY = {"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"}


@pytest.mark.parametrize(
    ("body", "status", "failure", "said"),
    [
        pytest.param(
            REFUSAL, 400, QueryRefusedError, 'invalid parameter "query"', id="a refused query, in its words"
        ),
        pytest.param(
            {**REFUSAL, "errorType": "execution"}, 422, QueryRefusedError, "invalid", id="an evaluation fails"
        ),
        pytest.param("who are you", 401, QueryRefusedError, "HTTP 401", id="no credentials"),
        pytest.param("no", 404, QueryRefusedError, "HTTP 404", id="not the address of a Prometheus"),
        pytest.param(BUSY, 503, SourceDownError, "timed out", id="a query that timed out there"),
        pytest.param("<html>", 502, SourceDownError, "HTTP 502", id="a proxy without a server"),
        pytest.param("<html>", 200, SourceDownError, "HTTP 200", id="a page instead of an answer"),
        pytest.param("", 302, QueryRefusedError, "HTTP 302", id="sent elsewhere"),
        pytest.param([1], 200, SourceDownError, "HTTP 200", id="JSON of another shape"),
        pytest.param({"status": "success"}, 200, QueryRefusedError, "no data", id="an answer without data"),
        pytest.param(
            answer([], warnings=["store a is gone"]),
            200,
            PartialAnswerError,
            "store a is gone",
            id="a partial answer",
        ),
        pytest.param(answer([], "vector"), 200, QueryRefusedError, "a vector where a matrix", id="a vector"),
        pytest.param(answer([1.0, "1"], "scalar"), 200, QueryRefusedError, "a scalar", id="a scalar"),
        pytest.param(answer(None), 200, QueryRefusedError, "matrix", id="no result"),
        pytest.param(
            answer([{"metric": {}}]), 200, QueryRefusedError, "not one of", id="a series without values"
        ),
        pytest.param(
            answer([{"metric": {}, "values": [[1, "x"]]}]),
            200,
            QueryRefusedError,
            "not one of",
            id="no number",
        ),
        pytest.param(
            answer([{"metric": {}, "values": [[1, "1"]], "histograms": []}]),
            200,
            QueryRefusedError,
            "was native",
            id="a counter that became a native histogram",
        ),
        pytest.param(answer(["x" * 5000]), 200, QueryRefusedError, "larger than", id="too large"),
    ],
)
async def test_each_failure_is_told_by_its_remedy(
    body: Any, status: int, failure: type[Exception], said: str
) -> None:
    with pytest.raises(failure, match=said):
        await asked(replying(body, status), largest=4000)


async def test_infos_do_not_make_an_answer_partial() -> None:
    assert await asked(replying(answer([], infos=["metric might not be a counter"]))) == ()


async def test_nobody_there_is_an_outage() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = PrometheusSource(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(SourceDownError, match="can't be reached"):
            await source.query("up", AT, MINUTE)
        source.close()


async def test_a_password_in_the_address_is_not_told() -> None:
    source = PrometheusSource("http://admin:secret@127.0.0.1:1")
    with pytest.raises(SourceDownError) as failure:
        await source.query("up", AT, MINUTE)
    source.close()
    assert "127.0.0.1:1" in str(failure.value)
    assert "secret" not in str(failure.value)


async def test_a_silent_server_is_an_outage_by_the_deadline() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    with pytest.raises(SourceDownError, match="no answer"):
        await asked(hang, deadline=timedelta(milliseconds=200))


async def test_a_server_that_drips_is_an_outage_by_the_deadline() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                await response.write(b" " * 70_000)
                await asyncio.sleep(0.05)
        return response

    with pytest.raises(SourceDownError):
        await asked(drip, deadline=timedelta(milliseconds=300), largest=10**9)


@pytest.mark.parametrize(
    ("result", "number"),
    [
        pytest.param([], None, id="an empty answer"),
        pytest.param([{"metric": {}, "value": [1, "7"]}], 7.0, id="one value"),
    ],
)
async def test_one_number_is_asked_for(result: Any, number: float | None) -> None:
    async with serving(replying(answer(result, "vector"))) as url:
        source = PrometheusSource(url)
        assert await source.number("count(up)", AT) == number
        source.close()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        pytest.param([{"metric": {}, "value": [1, "7"]}] * 2, "2 series where one", id="several series"),
        pytest.param([{"metric": {}, "value": [1, "NaN"]}], "NaN", id="no number"),
        pytest.param([{"metric": {}}], "not one of", id="no value"),
    ],
)
async def test_what_is_not_one_number_is_refused(result: Any, said: str) -> None:
    async with serving(replying(answer(result, "vector"))) as url:
        source = PrometheusSource(url)
        with pytest.raises(QueryRefusedError, match=said):
            await source.number("up", AT)
        source.close()


# A real Prometheus, scraping counters that this test holds.


@dataclass
class Shop:
    """What a pod exports; None is a pod that does not answer."""

    started: float = 0.0
    codes: dict[str, int] | None = field(default_factory=lambda: {"200": 0})

    def metrics(self) -> str:
        lines = [f"process_start_time_seconds {self.started}"]
        lines += [f'requests_total{{code="{code}"}} {value}' for code, value in (self.codes or {}).items()]
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def prometheus_program() -> Path:
    try:
        return ensure_prometheus()
    except ToolMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
async def shops() -> AsyncIterator[tuple[dict[str, Shop], str]]:
    pods = {"shop-canary-aaaaa": Shop(), "shop-stable-bbbbb": Shop(), "shop-stable-ccccc": Shop()}

    async def scrape(request: web.Request) -> web.Response:
        pod = pods[request.path.strip("/")]
        return web.Response(text=pod.metrics()) if pod.codes is not None else web.Response(status=503)

    async with serving(scrape) as url:
        yield pods, url.removeprefix("http://")


@pytest.fixture
async def prometheus(
    prometheus_program: Path, port: int, shops: tuple[dict[str, Shop], str], tmp_path: Path
) -> AsyncIterator[str]:
    pods, address = shops
    jobs = [
        {
            "job_name": pod,
            "metrics_path": f"/{pod}",
            "scrape_interval": "200ms",
            "scrape_timeout": "200ms",
            "static_configs": [{"targets": [address], "labels": {"namespace": "shop", "pod": pod}}],
        }
        for pod in pods
    ]
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": jobs}))
    process = await asyncio.create_subprocess_exec(
        str(prometheus_program),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        await ready(f"http://127.0.0.1:{port}/-/ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def ready(url: str) -> None:
    async with asyncio.timeout(30), ClientSession() as session:
        while True:
            with contextlib.suppress(OSError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)


ARMS = Arms(
    canary='namespace="shop",pod=~"shop-canary-[a-z0-9]{5}"',
    stable='namespace="shop",pod=~"shop-stable-[a-z0-9]{5}"',
)
ERRORS = Metric("errors", Proportion('requests_total{code=~"5.."}', "requests_total"))


async def scraped(source: PrometheusSource, pods: int, since: datetime) -> None:
    """Wait until every pod was scraped after `since`."""
    async with asyncio.timeout(20):
        while True:
            now = datetime.now(UTC)
            found = await source.query("process_start_time_seconds", now, timedelta(seconds=30))
            if sum(1 for one in found if one.samples[-1][0] / 1000 > since.timestamp()) >= pods:
                return
            await asyncio.sleep(0.05)


@pytest.mark.real
async def test_every_event_that_was_scraped_is_counted_once(
    prometheus: str, shops: tuple[dict[str, Shop], str]
) -> None:
    """Through first errors, a restart that is busier than before, and looks at any time."""
    pods, _ = shops
    canary, stable, other = pods.values()
    source = PrometheusSource(prometheus)
    began = cut = datetime.now(UTC)
    total = Pair()
    context = Context(began=began, interval=timedelta(milliseconds=200), patience=timedelta(0))

    async def look() -> None:
        nonlocal cut, total
        reading = await take(source, ERRORS, ARMS, cut, datetime.now(UTC), context)
        assert reading.status in (Status.OK, Status.WAITING, Status.NO_DATA), reading.cause
        if reading.status is Status.OK:
            cut, total = reading.until, total + reading.counts[0]

    await scraped(source, 3, began)
    began = cut = datetime.now(UTC)
    truth = [0, 0, 0, 0]
    for turn in range(12):
        if turn == 6:  # the canary restarts and at once has more behind it than before
            truth_before = sum((canary.codes or {}).values())
            canary.started, canary.codes = datetime.now(UTC).timestamp(), {"200": truth_before + 5}
            truth[1] += truth_before + 5
        for shop, at, served, failed in (
            (canary, 0, 7, turn % 3 == 2),
            (stable, 2, 40, turn % 4 == 3),
            (other, 2, 31, 0),
        ):
            codes = shop.codes or {}
            codes["200"] += served
            if failed:
                codes["500"] = codes.get("500", 0) + 1
            truth[at] += failed
            truth[at + 1] += served + failed
        await scraped(source, 3, datetime.now(UTC))
        await look()
    settled = datetime.now(UTC)
    async with asyncio.timeout(10):
        while cut < settled:
            await look()
            await asyncio.sleep(0.05)
    source.close()
    assert total == Pair(Counts(truth[0], truth[1]), Counts(truth[2], truth[3]))


@pytest.mark.real
async def test_prometheus_own_words_for_a_refused_query(prometheus: str) -> None:
    source = PrometheusSource(prometheus)
    metric = Metric("errors", Proportion('requests_total{code=~"("}', "requests_total"))
    reading = await take(source, metric, ARMS, AT, AT + MINUTE, Context(began=AT))
    source.close()
    assert reading.status is Status.ERROR
    assert "missing closing )" in reading.cause


@pytest.mark.real
async def test_real_causes_of_blindness(prometheus: str, shops: tuple[dict[str, Shop], str]) -> None:
    pods, _ = shops
    source = PrometheusSource(prometheus)
    began = datetime.now(UTC)
    await scraped(source, len(pods), began)

    async def cause(metric: Metric, arms: Arms = ARMS) -> str:
        return (await take(source, metric, arms, began, datetime.now(UTC), Context(began=began))).cause

    nobody = Arms(canary='pod="none"', stable='pod="nobody"')
    assert "none with the labels" in await cause(ERRORS, nobody)
    assert "only stable" in await cause(ERRORS, Arms(canary='pod="none"', stable=ARMS.stable))
    assert "no such metric" in await cause(Metric("e", Proportion("misspelt", "misspelt_total")))
    assert "label status" in await cause(
        Metric("e", Proportion('requests_total{status="500"}', "requests_total"))
    )
    source.close()

"""The fake Prometheus answers as Prometheus does: its oracle is the client that speaks to the real one."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from prometheus_fake import FakePrometheus, Mode, Target, evaluate

from analysis.sources import PartialAnswerError, QueryRefusedError, SourceDownError
from analysis.sources.prometheus import PrometheusSource

BEGAN = 1_700_000_000.0
AT = datetime.fromtimestamp(BEGAN + 100.4, UTC)
TARGET = Target("shop", "shop-abc-aaaaa", BEGAN, rate=10.0, errors=0.1)
TOTAL = 'http_requests_total{namespace="shop",pod=~"shop-abc-[a-z0-9]{5}"}'


async def targets() -> tuple[Target, ...]:
    return (TARGET, Target("elsewhere", "other-xyz-bbbbb", BEGAN))


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakePrometheus]:
    server = FakePrometheus(targets)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def source(fake: FakePrometheus) -> AsyncIterator[PrometheusSource]:
    found = PrometheusSource(fake.url, deadline=timedelta(seconds=1))
    yield found
    found.close()


async def test_a_range_selector_gives_the_scrapes_of_its_span_alone(source: PrometheusSource) -> None:
    found = await source.query(TOTAL, AT, timedelta(seconds=5))
    assert {series.labels["code"] for series in found} == {"200", "500"}
    first = {series.labels["code"]: series.samples for series in found}
    assert [at for at, _ in first["500"]] == [int(1000 * (BEGAN + n)) for n in range(96, 101)]
    assert [value for _, value in first["500"]] == [96.0, 97.0, 98.0, 99.0, 100.0]
    assert first["200"][-1][1] == 900.0


async def test_counters_never_disagree_between_two_answers(source: PrometheusSource) -> None:
    short = await source.query(TOTAL, AT, timedelta(seconds=3))
    long = await source.query(TOTAL, AT + timedelta(seconds=7), timedelta(seconds=60))
    told = {(s.labels["code"], at): value for s in long for at, value in s.samples}
    assert all(told[(s.labels["code"], at)] == value for s in short for at, value in s.samples)


async def test_a_count_tells_how_many_series_there_are(source: PrometheusSource) -> None:
    assert await source.instant("count(http_requests_total{})", AT) == (({}, 4.0),)
    edges = await source.instant("count by (le) (http_request_duration_seconds_bucket{})", AT)
    assert {labels["le"] for labels, _ in edges} == {"0.1", "0.3", "+Inf"}


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        pytest.param(Mode.DOWN, SourceDownError, id="down: the connection is cut"),
        pytest.param(Mode.FAILING, SourceDownError, id="failing: 503"),
        pytest.param(Mode.SLOW, SourceDownError, id="slow: no answer in time"),
        pytest.param(Mode.PARTIAL, PartialAnswerError, id="partial: it warns"),
        pytest.param(Mode.REFUSING, QueryRefusedError, id="refusing: 400 bad_data"),
    ],
)
async def test_each_fault_is_the_error_that_the_client_knows(
    fake: FakePrometheus, source: PrometheusSource, mode: Mode, error: type[Exception]
) -> None:
    fake.modes["shop"] = mode
    began = time.monotonic()
    with pytest.raises(error):
        await source.query(TOTAL, AT, timedelta(seconds=5))
    assert time.monotonic() - began < 5
    assert await source.query('up{namespace="elsewhere"}', AT, timedelta(seconds=5))


async def test_a_query_for_many_namespaces_fails_with_one_of_them(
    fake: FakePrometheus, source: PrometheusSource
) -> None:
    fake.modes["a-shop"] = Mode.REFUSING
    with pytest.raises(QueryRefusedError):
        await source.query(r'up{namespace=~"a\\-shop|shop"}', AT, timedelta(seconds=5))


async def test_what_it_does_not_know_is_refused(source: PrometheusSource) -> None:
    with pytest.raises(QueryRefusedError, match="parse error"):
        await source.instant("rate(http_requests_total[5m])", AT)


@pytest.mark.parametrize(
    ("mode", "series", "last"),
    [
        pytest.param(Mode.NAN, 2, "NaN", id="NaN: samples that are no numbers"),
        pytest.param(Mode.SEVERAL, 4, "900", id="several: each series by two instances"),
        pytest.param(None, 2, "900", id="else: as scripted"),
    ],
)
def test_the_world_can_be_scripted(mode: Mode | None, series: int, last: str) -> None:
    data = evaluate(f"{TOTAL}[5000ms]", AT.timestamp(), [TARGET], mode)
    result = data["result"]
    assert isinstance(result, list)
    assert len(result) == series
    assert result[0]["values"][-1][1] == last


def test_without_targets_there_is_no_series() -> None:
    assert evaluate(f"{TOTAL}[5000ms]", AT.timestamp(), []) == {"resultType": "matrix", "result": []}

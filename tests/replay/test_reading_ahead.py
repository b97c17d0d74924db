"""A range of a Prometheus is read once, in parts that it can answer, and then asked from memory."""

from datetime import datetime, timedelta

import pytest

from analysis.evidence import Labels, Series, to_datetime
from analysis.sources import QueryRefusedError
from analysis.sources.recorded import RecordedSource
from rollout.replay.fetching import BEFORE, PART, ReadAhead

SINCE, UNTIL = to_datetime(3_600_000), to_datetime(3_600_000) + timedelta(minutes=35)
FIRST = int((SINCE - BEFORE).timestamp())
SECONDS = range(FIRST - 100, int(UNTIL.timestamp()) + 100, 5)
COUNTER = Series({"__name__": "r", "pod": "a"}, tuple((1000 * s, float(s)) for s in SECONDS))


class Server:
    """Answers up to so many samples at once."""

    def __init__(self, most: int = 10**9, *, too_much: bool = True) -> None:
        self._held = RecordedSource([COUNTER])
        self._most, self._too_much = most, too_much
        self.spans: list[timedelta] = []

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        self.spans.append(span)
        found = await self._held.query(selector, at, span)
        if sum(len(one.samples) for one in found) > self._most:
            raise QueryRefusedError("too many samples", too_much=self._too_much)
        return found

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        return (({}, 1.0),)


class Evaluator(Server):
    """One that knows PromQL."""

    async def evaluate(self, expression: str, at: datetime) -> float:
        return 7.0


async def test_a_selector_is_read_once_with_the_history_before_the_first_look() -> None:
    server, shares = Server(), list[float]()
    ahead = ReadAhead(server, SINCE, UNTIL, shares.append)
    await ahead.read(["r"])
    asked = len(server.spans)
    assert max(server.spans) <= PART
    assert sum(shares) == pytest.approx(1)
    (found,) = await ahead.query("r", SINCE + timedelta(seconds=7), timedelta(seconds=10))
    assert [at // 1000 - 3600 for at, _ in found.samples] == [0, 5]
    assert len(server.spans) == asked, "it was read already"
    (whole,) = ahead.series
    kept = [second for second in SECONDS if FIRST < second <= UNTIL.timestamp()]
    assert [at // 1000 for at, _ in whole.samples] == kept


async def test_what_nobody_foresaw_is_read_when_it_is_asked() -> None:
    ahead = ReadAhead(Server(), SINCE, UNTIL)
    assert await ahead.query('r{pod="a"}', UNTIL, timedelta(seconds=20))
    assert await ahead.query('r{pod="b"}', UNTIL, timedelta(seconds=20)) == ()


async def test_what_lies_before_the_range_is_asked_and_kept() -> None:
    server = Server()
    ahead = ReadAhead(server, SINCE, UNTIL)
    at, span = SINCE - BEFORE, timedelta(seconds=60)
    (older,) = await ahead.query("r", at, span)
    assert server.spans == [span]
    assert (older.samples[-1][0], len(older.samples)) == (1000 * FIRST, 12)
    assert ahead.series == (older,)


async def test_a_part_that_is_too_much_is_read_in_halves() -> None:
    server = Server(most=30)
    ahead = ReadAhead(server, SINCE, UNTIL)
    await ahead.read(["r"])
    whole = ReadAhead(Server(), SINCE, UNTIL)
    await whole.read(["r"])
    assert ahead.series == whole.series
    assert min(server.spans) < PART


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(Server(0), id="too much, however little is asked"),
        pytest.param(Server(0, too_much=False), id="a question that is wrong"),
    ],
)
async def test_a_refusal_that_parts_do_not_mend_is_told(server: Server) -> None:
    with pytest.raises(QueryRefusedError, match="too many samples"):
        await ReadAhead(server, SINCE, UNTIL).read(["r"])


async def test_expressions_are_asked_of_who_evaluates_them() -> None:
    assert await ReadAhead(Evaluator(), SINCE, UNTIL).evaluate("vector(7)", UNTIL) == 7.0
    with pytest.raises(QueryRefusedError, match="evaluates no expressions"):
        await ReadAhead(Server(), SINCE, UNTIL).evaluate("vector(7)", UNTIL)

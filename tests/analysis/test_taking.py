from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from analysis import Context, Counts, Metric, Pair, Proportion, Series, Slo, Status
from analysis.evidence import Labels, to_ms
from analysis.sources import (
    Arms,
    PartialAnswerError,
    QueryRefusedError,
    SelectorError,
    SourceDownError,
    take,
    validate,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ARMS = Arms(canary='arm="c"', stable='arm="s"')
ERRORS = Metric("errors", Proportion('requests{code=~"5.."}', "requests"))
CONTEXT = Context(began=START)
UNTIL = START + timedelta(seconds=40)

Answers = Mapping[str, tuple[Series, ...]]


class Told:
    """A source that answers what a test tells it, by exact query, and remembers what it was asked."""

    def __init__(
        self, answers: Answers, counts: Mapping[str, tuple[tuple[Labels, float], ...]] | None = None
    ) -> None:
        self.answers, self.counts = answers, counts or {}
        self.asked: list[tuple[str, timedelta]] = []

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        assert at == UNTIL
        self.asked.append((selector, span))
        return self.answers.get(selector, ())

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        self.asked.append((expression, timedelta(0)))
        return self.counts.get(expression, ())


def counter(*values: float, **labels: str) -> Series:
    samples = tuple((to_ms(START) + 15_000 * (k - 1), value) for k, value in enumerate(values))
    return Series({"job": "j", "instance": "i", **labels}, samples)


TOTALS: Answers = {
    'requests{arm="c"}': (counter(0, 100, 200, 300, arm="c", code="200"),),
    'requests{arm="s"}': (counter(0, 900, 1800, 2700, arm="s", code="200"),),
}


async def test_both_arms_are_asked_for_with_their_own_matchers_and_read() -> None:
    source = Told({**TOTALS, 'requests{code=~"5..",arm="c"}': (counter(0, 1, 2, 3, arm="c", code="500"),)})
    reading = await take(source, ERRORS, ARMS, START, UNTIL, CONTEXT)
    assert reading.status is Status.OK
    assert reading.counts == (Pair(Counts(2, 200), Counts(0, 1800)),)
    assert {selector for selector, _ in source.asked} == {
        'requests{arm="c"}',
        'requests{arm="s"}',
        'requests{code=~"5..",arm="c"}',
        'requests{code=~"5..",arm="s"}',
        '{__name__=~"up|process_start_time_seconds",arm="c"}',
        '{__name__=~"up|process_start_time_seconds",arm="s"}',
    }


async def test_what_is_asked_reaches_back_before_the_cut() -> None:
    source = Told(TOTALS)
    await take(source, ERRORS, ARMS, START, UNTIL, CONTEXT)
    assert all(span == timedelta(seconds=40) + timedelta(minutes=5) for _, span in source.asked)


async def test_a_long_outage_is_not_read_beyond_reach() -> None:
    source = Told({})
    await take(source, ERRORS, ARMS, START - timedelta(days=1), UNTIL, CONTEXT)
    assert max(span for _, span in source.asked) == timedelta(minutes=20)


@pytest.mark.parametrize(
    ("metric", "answers", "counts", "said"),
    [
        pytest.param(
            ERRORS,
            {},
            {"count(requests{})": (({}, 4.0),)},
            "none with the labels that tell the arms: no series has arm; set that where they are scraped, "
            "or say by compare.arms what tells them apart",
            id="no arm label",
        ),
        pytest.param(
            ERRORS,
            {},
            {"count(requests{})": (({}, 4.0),), 'count(requests{arm!=""})': (({}, 4.0),)},
            "they carry other values of arm, or say by compare.arms what tells them apart",
            id="series of other arms",
        ),
        pytest.param(ERRORS, {}, {}, "no such metric", id="no metric of that name"),
        pytest.param(
            Metric("e", Proportion("b", 'requests{app="x"}')),
            {},
            {"count(requests{})": (({}, 4.0),)},
            "look at the labels",
            id="other labels",
        ),
        pytest.param(
            Metric("latency", Slo("seconds_bucket", (0.3,))),
            {},
            {
                "count(seconds_bucket{})": (({}, 4.0),),
                "count by (le) (seconds_bucket{})": (({"le": "0.25"}, 1.0), ({"le": "0.5"}, 1.0)),
            },
            "the edges there are: 0.25, 0.5",
            id="other edges",
        ),
        pytest.param(
            ERRORS,
            {k: v for k, v in TOTALS.items() if "s" in k[-3:]},
            {},
            "only stable has series",
            id="nothing of the canary",
        ),
        pytest.param(
            Metric("e", Proportion('requests{status=~"5.."}', "requests")),
            TOTALS,
            {},
            "asks for the label status, which no series",
            id="bad asks for a label that is not there",
        ),
        pytest.param(
            Metric("e", Proportion("failures", "requests")),
            TOTALS,
            {},
            "no metric failures{}",
            id="bad is unknown",
        ),
    ],
)
async def test_a_blind_metric_names_the_cause(
    metric: Metric, answers: Answers, counts: Mapping[str, tuple[tuple[Labels, float], ...]], said: str
) -> None:
    reading = await take(Told(answers, counts), metric, ARMS, START, UNTIL, CONTEXT)
    assert (reading.status, reading.until) == (Status.NO_DATA, START)
    assert said in reading.cause


async def test_a_bad_metric_that_exists_elsewhere_has_merely_not_happened() -> None:
    metric = Metric("e", Proportion("failures", "requests"))
    source = Told(TOTALS, {"count(failures{})": (({}, 1.0),)})
    reading = await take(source, metric, ARMS, START, UNTIL, CONTEXT)
    assert reading.counts[0].canary == Counts(0, 200)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        pytest.param(QueryRefusedError("bad regex"), Status.ERROR, id="refused"),
        pytest.param(PartialAnswerError("a store is gone"), Status.ERROR, id="answered in part"),
        pytest.param(SourceDownError("nobody there"), Status.OUTAGE, id="not answered"),
    ],
)
async def test_failures_of_a_source_are_readings(failure: Exception, status: Status) -> None:
    class Failing(Told):
        async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
            raise failure

    reading = await take(Failing({}), ERRORS, ARMS, START, UNTIL, CONTEXT)
    assert (reading.status, reading.cause, reading.since) == (status, str(failure), START)


async def test_an_expression_is_an_error_that_says_the_remedy() -> None:
    metric = Metric("e", Proportion("rate(failures[1m])", "requests"))
    reading = await take(Told({}), metric, ARMS, START, UNTIL, CONTEXT)
    assert reading.status is Status.ERROR
    assert "give the metric selector" in reading.cause


async def test_a_clock_that_went_backwards_asks_nothing() -> None:
    source = Told({})
    reading = await take(source, ERRORS, ARMS, UNTIL + timedelta(seconds=1), UNTIL, CONTEXT)
    assert (reading.status, source.asked) == (Status.WAITING, [])


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda: validate(Metric("e", Proportion("sum(x)", "y")), ARMS), id="an expression"),
        pytest.param(
            lambda: validate(ERRORS, Arms(canary="x", stable='a="b"')), id="a canary that is no matcher"
        ),
        pytest.param(lambda: validate(ERRORS, Arms(canary='a="b"', stable="")), id="stable without matchers"),
    ],
)
def test_what_cannot_be_asked_is_known_beforehand(broken: Callable[[], None]) -> None:
    with pytest.raises(SelectorError):
        broken()

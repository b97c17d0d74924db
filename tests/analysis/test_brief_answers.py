"""Whoever knows how often targets are scraped asks for less, and reads the same."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from sample_store import Store

from analysis import Context, Metric, Proportion, Rate, Series, Slo, Status
from analysis.evidence import to_ms
from analysis.sources import Arms, take

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPED = timedelta(seconds=15)
ARMS = Arms(canary='arm="c"', stable='arm="s"')
CONTEXT = Context(began=NOW - timedelta(minutes=30), interval=SCRAPED)
METRICS = (
    Metric("errors", Proportion('requests{code="500"}', "requests")),
    Metric("slow", Slo("took", (0.3,))),
    Metric("restarts", Rate("restarts")),
)


@st.composite
def pods(draw: st.DrawFn, arm: str, number: int) -> list[Series]:
    """The series of one pod: scraped now and then, some of them born late."""
    phase = draw(st.integers(0, 14_999))
    gap = draw(st.integers(0, 24))
    missed = range(gap, gap + draw(st.integers(0, 12)))
    first = draw(st.sampled_from((0, 0, 18, 22)))
    instants = [
        to_ms(NOW) - 15_000 * ago - phase
        for ago in range(24, -1, -1)
        if 24 - ago >= first and ago not in missed
    ]
    target = {"arm": arm, "pod": f"{arm}{number}", "instance": f"{arm}{number}", "job": "shop"}
    named = [
        {"__name__": "up"},
        {"__name__": "process_start_time_seconds"},
        {"__name__": "requests", "code": "200"},
        {"__name__": "requests", "code": "500"},
        {"__name__": "took", "le": "0.3"},
        {"__name__": "took", "le": "+Inf"},
        {"__name__": "restarts"},
    ]
    born = {2: 0, 3: draw(st.integers(0, 10)), 6: draw(st.integers(0, 10))}
    return [
        Series({**target, **labels}, tuple((at, _value(labels, at)) for at in instants[born.get(place, 0) :]))
        for place, labels in enumerate(named)
        if instants[born.get(place, 0) :]
    ]


def _value(labels: dict[str, str], at: int) -> float:
    elapsed = (at - to_ms(NOW)) // 1000 + 400
    match labels:
        case {"__name__": "up"} | {"__name__": "process_start_time_seconds"}:
            return 1.0
        case {"le": "0.3"} | {"code": "200"}:
            return float(9 * elapsed)
        case _:
            return float(10 * elapsed)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    st.sampled_from(("c", "cs", "cs", "ccss", "css")).flatmap(
        lambda arms: st.tuples(*(pods(arm, number) for number, arm in enumerate(arms)))
    ),
    st.integers(1, 120),
    st.sampled_from(METRICS),
)
def test_a_brief_answer_reads_the_same(found: tuple[list[Series], ...], ago: int, metric: Metric) -> None:
    store = Store([one for some in found for one in some])
    cut = NOW - timedelta(seconds=ago)
    whole = asyncio.run(take(store, metric, ARMS, cut, NOW, CONTEXT))
    brief = asyncio.run(take(store, metric, ARMS, cut, NOW, CONTEXT, SCRAPED))
    assert brief == whole


def test_where_nothing_is_amiss_only_the_last_samples_are_asked_for() -> None:
    every = [
        Series(
            {"__name__": "requests", "arm": arm, "instance": arm, "code": code},
            tuple((to_ms(NOW) - 15_000 * ago, float(1000 - ago)) for ago in range(60, -1, -1)),
        )
        for arm in "cs"
        for code in ("200", "500")
    ]
    store = Store(every)
    reading = asyncio.run(take(store, METRICS[0], ARMS, NOW - SCRAPED, NOW, CONTEXT, SCRAPED))
    assert reading.status is Status.OK
    assert {span for _, span in store.spans} == {5 * SCRAPED}

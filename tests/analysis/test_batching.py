"""Who asks together is told what he would have been told alone."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_store import Store

from analysis.evidence import Series, to_ms
from analysis.sources import PartialAnswerError, QueryRefusedError, SourceDownError, parse_matchers
from analysis.sources.batching import MOST_ARMS, BatchingSource
from analysis.sources.selector import Matcher, Selector, parse_selector, pods_matchers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPAN = timedelta(minutes=1)
TOTAL = parse_selector('requests{job="shop"}')


def pod(namespace: str, name: str, *samples: tuple[int, float]) -> Series:
    """A series of a pod; samples by seconds before now."""
    labels = {"job": "shop", "namespace": namespace, "pod": name}
    return Series(labels, tuple((to_ms(NOW) - 1000 * ago, value) for ago, value in samples))


Ask = tuple[Selector, tuple[Matcher, ...], datetime, timedelta]


def ask(arm: str, at: datetime = NOW, span: timedelta = SPAN, selector: Selector = TOTAL) -> Ask:
    return selector, parse_matchers(arm), at, span


async def together(store: Store, asks: Sequence[Ask]) -> list[tuple[Series, ...] | BaseException]:
    source = BatchingSource(store)
    return await asyncio.gather(*(source.query_arm(*each) for each in asks), return_exceptions=True)


async def alone(store: Store, asks: Sequence[Ask]) -> list[tuple[Series, ...] | BaseException]:
    return [await store.query(str(selector.narrowed(*arm)), at, span) for selector, arm, at, span in asks]


NAMESPACES = ("shop", "shop-2", "other.dots")
PREFIXES = ("web-6c9f7d", "web-7d4b9c", "api-6c9f7d")
ARMS = st.one_of(
    st.builds(pods_matchers, st.sampled_from(NAMESPACES), st.sampled_from(PREFIXES)),
    st.builds('namespace="{}",pod=~"{}-.+"'.format, st.sampled_from(NAMESPACES), st.sampled_from(PREFIXES)),
    st.builds('namespace=~"sho.+",pod="{}-abcde"'.format, st.sampled_from(PREFIXES)),
    st.builds('pod=~"{}-[a-z0-9]+"'.format, st.sampled_from(PREFIXES)),
    st.just('namespace="shop",pod!="web-6c9f7d-abcde"'),
    st.just('namespace="shop",pod=~"(web|api)-.*"'),
)
SERIES = st.builds(
    lambda namespace, prefix, suffix, times: pod(
        namespace, f"{prefix}-{suffix}", *((ago, float(100 - ago)) for ago in sorted(times, reverse=True))
    ),
    st.sampled_from(NAMESPACES),
    st.sampled_from(PREFIXES),
    st.sampled_from(("abcde", "xyz12", "abcdef")),
    st.sets(st.integers(0, 90), min_size=1),
)
ASKS = st.builds(
    lambda arm, ago, span: ask(arm, NOW - timedelta(seconds=ago), timedelta(seconds=span)),
    ARMS,
    st.integers(0, 5),
    st.integers(1, 60),
)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(SERIES, max_size=12), st.lists(ASKS, min_size=1, max_size=12))
def test_everybody_is_told_what_he_would_have_been_told_alone(series: list[Series], asks: list[Ask]) -> None:
    unique = list({tuple(sorted(one.labels.items())): one for one in series}.values())
    store = Store(unique)
    told = asyncio.run(together(store, asks))
    assert [set(map(str, each)) for each in told] == [  # type: ignore[arg-type]
        set(map(str, each))
        for each in asyncio.run(alone(store, asks))  # type: ignore[arg-type]
    ]
    assert [sorted(each, key=str) for each in told] == [  # type: ignore[type-var]
        sorted(each, key=str)
        for each in asyncio.run(alone(store, asks))  # type: ignore[type-var]
    ]


@pytest.mark.parametrize("rollouts", [3, MOST_ARMS // 2])
async def test_many_rollouts_cost_one_query(rollouts: int) -> None:
    series = [pod("shop", f"web-{number}-abcde", (5, 1.0)) for number in range(rollouts)]
    store = Store(series)
    asks = [ask(pods_matchers("shop", f"web-{number}")) for number in range(rollouts)]
    assert await together(store, asks) == [(one,) for one in series]
    assert len(store.asked) == 1


async def test_who_asks_while_a_query_is_under_way_goes_with_the_next() -> None:
    store = Store([pod("shop", f"web-{number}-abcde", (5, 1.0)) for number in range(20)])
    source = BatchingSource(store)

    async def later(number: int) -> None:
        await asyncio.sleep(0.002 * number)
        assert await source.query_arm(*ask(pods_matchers("shop", f"web-{number}")))

    await asyncio.gather(*map(later, range(20)))
    assert len(store.asked) < 10


async def test_different_metrics_are_not_mixed() -> None:
    store = Store([])
    other = parse_selector("up")
    await together(store, [ask('pod="a"'), ask('pod="b"', selector=other)])
    assert sorted(store.asked) == ['requests{job="shop",pod="a"}', 'up{pod="b"}']


async def test_an_answer_that_is_too_large_is_asked_for_in_parts() -> None:
    series = [pod("shop", f"web-{number}-abcde", (5, 1.0)) for number in range(10)]
    store = Store(series, most=3)
    asks = [ask(pods_matchers("shop", f"web-{number}")) for number in range(10)]
    assert await together(store, asks) == [(one,) for one in series]


async def test_a_question_that_all_are_refused_is_not_asked_for_each_again() -> None:
    store = Store([], refuses="requests")
    told = await together(store, [ask(f'namespace="ns-{number}"') for number in range(50)])
    assert len(store.asked) == 3
    for number, each in enumerate(told):
        assert isinstance(each, QueryRefusedError)
        assert "no, never" in str(each)
        named = set(re.findall(r"ns-\d+", str(each)))
        assert named == {f"ns-{number}"}, "nobody is told what others ask"


@pytest.mark.parametrize("bad", [0, 3, 7])
async def test_one_who_is_refused_does_not_blind_the_others(bad: int) -> None:
    series = [pod(f"ns{number}", "web", (5, 1.0)) for number in range(8)]
    store = Store(series, refuses=f"ns{bad}")
    told = await together(store, [ask(f'namespace="ns{number}"') for number in range(8)])
    assert [number for number, each in enumerate(told) if isinstance(each, QueryRefusedError)] == [bad]
    assert [each for number, each in enumerate(told) if number != bad] == [
        (one,) for number, one in enumerate(series) if number != bad
    ]


@pytest.mark.parametrize(
    "error",
    [SourceDownError("away"), PartialAnswerError("one of two stores"), RuntimeError("a bug")],
    ids=str,
)
async def test_an_outage_is_told_to_all(error: Exception) -> None:
    store = Store([])
    store.error = error
    told = await together(store, [ask(f'namespace="ns-{number}"') for number in range(5)])
    assert told == [error] * 5
    assert len(store.asked) == 1


async def test_whether_a_metric_is_known_is_asked_once() -> None:
    store = Store([])
    source = BatchingSource(store)
    await asyncio.gather(*(source.instant("count(up)", NOW) for _ in range(10)))
    await source.instant("count(up)", NOW)
    assert store.asked == ["count(up)"]

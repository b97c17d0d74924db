"""Records of samples: written, read back, selected as Prometheus selects, and refused where they are none."""

import asyncio
import json
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.evidence import Labels, Series, to_datetime
from analysis.sources import QueryRefusedError
from analysis.sources.recorded import RecordedSource, RecordError, from_lines, joined, to_lines

GOOD = {"labels": {"__name__": "up", "pod": "a"}, "at": 1.5, "value": 1}


def counter(*values: float, **labels: str) -> Series:
    samples = tuple((1000 * at, float(value)) for at, value in enumerate(values, start=1))
    return Series({"__name__": "requests", **labels}, samples)


OK, FAILED = counter(1, 2, 3, code="200", pod="a-1"), counter(0, 1, 1, code="500", pod="b-2")
SOURCE = RecordedSource([OK, FAILED, counter(5, 6, 7, __name__="else", path="\\d")])


def asked(selector: str, at: int = 10, span: int = 10) -> list[Labels]:
    found = asyncio.run(SOURCE.query(selector, to_datetime(1000 * at), timedelta(seconds=span)))
    return [one.labels for one in found]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        pytest.param("requests", 2, id="a name selects its series alone"),
        pytest.param('requests{code="500"}', 1, id="a label's value"),
        pytest.param('requests{code!="500"}', 1, id="another value"),
        pytest.param('requests{code=~"5.."}', 1, id="a pattern"),
        pytest.param('requests{code=~"5"}', 0, id="a pattern is anchored"),
        pytest.param('requests{code!~"5..",pod=~"a-[0-9]"}', 1, id="both matchers must hold"),
        pytest.param('requests{zone=""}', 2, id="a label that is absent is empty"),
        pytest.param('{__name__=~"requests|else"}', 3, id="the name is a label"),
        pytest.param('else{path="\\\\d"}', 1, id="an escaped backslash"),
        pytest.param("else{path=`\\d`}", 1, id="a raw literal"),
    ],
)
def test_a_selector_finds_what_prometheus_would(selector: str, found: int) -> None:
    assert len(asked(selector)) == found


def test_a_range_is_open_at_its_beginning_and_closed_at_its_end() -> None:
    (found,) = asyncio.run(SOURCE.query('requests{code="200"}', to_datetime(2000), timedelta(seconds=1)))
    assert found.samples == ((2000, 2.0),)
    assert asked("requests", at=30, span=10) == [], "series without a sample in the range are left out"


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        pytest.param("count(requests)", [({}, 2.0)], id="how many series"),
        pytest.param("count(none)", [], id="none is no answer"),
        pytest.param(
            "count by (code) (requests)", [({"code": "200"}, 1.0), ({"code": "500"}, 1.0)], id="by a label"
        ),
    ],
)
def test_counts_of_series_are_answered_from_memory(
    expression: str, answer: list[tuple[Labels, float]]
) -> None:
    assert list(asyncio.run(SOURCE.instant(expression, to_datetime(9000)))) == answer


def test_an_expression_needs_somebody_to_ask() -> None:
    with pytest.raises(QueryRefusedError, match="ask a Prometheus"):
        asyncio.run(SOURCE.instant("sum(rate(requests[1m]))", to_datetime(9000)))


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(QueryRefusedError, match=r"\(\("):
        asked('requests{code=~"(("}')


LABELS = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), st.text(max_size=5), max_size=3
)
SAMPLES = st.dictionaries(st.integers(0, 10**13), st.floats(allow_nan=False), min_size=1, max_size=5)


@given(st.lists(st.tuples(LABELS, SAMPLES), max_size=4))
def test_what_is_written_is_read_back(parts: list[tuple[Mapping[str, str], Mapping[int, float]]]) -> None:
    series = joined(
        Series({**labels, "__name__": f"m{number}"}, tuple(samples.items()))
        for number, (labels, samples) in enumerate(parts)
    )
    assert joined(from_lines(to_lines(series))) == series


def test_lines_may_come_in_any_order_and_twice() -> None:
    lines = [line for one in (OK, FAILED) for line in to_lines([one])]
    assert set(map(str, joined(from_lines([*reversed(lines), "", lines[0]])))) == {str(OK), str(FAILED)}
    held = {str(one): one.samples for one in joined(from_lines([*reversed(lines), lines[0]]))}
    assert held == {str(OK): OK.samples, str(FAILED): FAILED.samples}


def test_a_time_may_be_written_with_its_zone_and_a_value_may_be_a_stale_marker() -> None:
    line = json.dumps({**GOOD, "at": "1970-01-01T01:00:01.500+01:00", "value": "NaN"})
    (one,) = from_lines([line])
    ((at, value),) = one.samples
    assert at == 1500
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("up 1", "not JSON", id="no JSON"),
        pytest.param("[1]", "needed, there is: list", id="no object"),
        pytest.param({"labels": {}, "at": 1}, "needed, there is: at, labels", id="a key is missing"),
        pytest.param({**GOOD, "more": 1}, "more", id="a key too many"),
        pytest.param({**GOOD, "labels": {"pod": "a"}}, "__name__", id="a series without a name"),
        pytest.param({**GOOD, "labels": {"__name__": 1}}, "names and texts", id="a label that is no text"),
        pytest.param({**GOOD, "at": "yesterday"}, "at: 'yesterday'", id="a time that is none"),
        pytest.param({**GOOD, "at": "2026-01-01T00:00:00"}, "zone", id="a time without its zone"),
        pytest.param({**GOOD, "at": 1767225600250}, "seconds since 1970", id="milliseconds"),
        pytest.param({**GOOD, "at": True}, "seconds since 1970", id="a truth for a time"),
        pytest.param({**GOOD, "value": None}, "value: None", id="no value"),
        pytest.param({**GOOD, "value": "many"}, "value: 'many'", id="a word for a value"),
    ],
)
def test_a_line_that_is_no_sample_is_named_with_an_example(line: str | dict[str, Any], said: str) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    with pytest.raises(RecordError, match="a line is") as refused:
        from_lines([json.dumps(GOOD), text])
    assert refused.value.line == 2
    assert said in str(refused.value)

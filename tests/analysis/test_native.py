"""Native histograms: exact counts at edges that all of them have, however they were told."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import ArmSamples, Context, Histogram, Metric, Proportion, Reading, Samples, Status, read
from analysis.evidence import Series
from analysis.sources import QueryRefusedError
from analysis.sources.native import GRID
from analysis.sources.prometheus import parse_answer, parse_matrix

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATENCY = Metric("latency", Histogram("seconds", (0.25,)))


def told(values: list[float], schema: int, **more: Any) -> dict[str, Any]:
    """These values as Prometheus tells a native histogram: buckets that are empty are left out."""
    base = 2.0 ** (2.0**-schema)
    places = Counter(math.ceil(math.log(value, base) - 1e-12) for value in values)
    buckets = [[0, repr(base ** (at - 1)), repr(base**at), str(many)] for at, many in sorted(places.items())]
    return {"count": str(len(values)), "sum": repr(sum(values)), "buckets": buckets} | more


def matrix(*series: dict[str, Any]) -> tuple[Series, ...]:
    body = {"status": "success", "data": {"resultType": "matrix", "result": list(series)}}
    return parse_matrix(parse_answer(200, json.dumps(body).encode(), "seconds[1m]"))


def native(*samples: dict[str, Any], **labels: str) -> dict[str, Any]:
    at = [START.timestamp() + 15 * place for place in range(len(samples))]
    metric = {"__name__": "seconds", "instance": "a", **labels}
    return {"metric": metric, "histograms": [[time, each] for time, each in zip(at, samples, strict=True)]}


def at_edges(series: tuple[Series, ...]) -> dict[float, float]:
    return {float(one.labels["le"]): one.samples[-1][1] for one in series}


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0.0005, 40.0), max_size=60), st.integers(1, 8))
def test_what_lies_below_an_edge_is_counted_exactly_by_every_schema(values: list[float], schema: int) -> None:
    found = at_edges(matrix(native(told(values, schema))))
    assert set(found) == {*GRID, math.inf}
    base = 2.0 ** (2.0**-schema)
    for edge, count in found.items():
        least = sum(value <= edge / base**1e-6 for value in values)
        most = sum(value <= edge * base**1e-6 for value in values)
        assert least <= count <= most


def test_an_edge_within_a_bucket_is_left_out_rather_than_guessed() -> None:
    found = at_edges(matrix(native(told([0.3, 0.6], 0))))
    assert 2**-1.5 not in found, "a bucket from 0.25 to 0.5 tells nothing of 0.354"
    assert (found[0.25], found[0.5], found[1.0]) == (0, 1, 2)


def test_a_histogram_that_becomes_coarser_keeps_the_edges_that_it_has_throughout() -> None:
    fine, coarse = told([0.3, 0.6], 3), told([0.3, 0.6, 0.6], 0)
    found = matrix(native(fine, coarse))
    assert {len(one.samples) for one in found} == {2}
    assert 2**-1.5 not in at_edges(found)


def test_an_empty_one_has_counted_nothing() -> None:
    found = at_edges(matrix(native({"count": "0", "sum": "0"})))
    assert set(found.values()) == {0}


def test_values_around_zero_lie_below_every_edge() -> None:
    around = {"count": "3", "sum": "0", "buckets": [[3, "-1e-128", "1e-128", "3"]]}
    assert set(at_edges(matrix(native(around))).values()) == {3}


@pytest.mark.parametrize(
    ("series", "said"),
    [
        pytest.param(
            [native({"count": "1", "sum": "1", "buckets": [[0, "0.1", "0.3", "1"]]})],
            "edges of its own: give the classic buckets",
            id="custom buckets",
        ),
        pytest.param(
            [
                native(told([0.3], 3)),
                {"metric": {"__name__": "seconds_bucket", "le": "0.3"}, "values": [[1, "1"]]},
            ],
            "native and classic histograms at once",
            id="native and classic at once",
        ),
        pytest.param(
            [native(told([0.3], 3)) | {"values": [[1, "1"]]}],
            "was native and is not",
            id="one that was a counter before",
        ),
        pytest.param([native({"sum": "1"})], "not one of Prometheus", id="one without a count"),
    ],
)
def test_what_cant_be_compared_is_refused(series: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(QueryRefusedError, match=said):
        matrix(*series)


def looked(metric: Metric, key: str, canary: list[float], stable: list[float]) -> Reading:
    arms = [
        ArmSamples({key: matrix(native(told([], 3), told(values, 3), pod=pod, instance=pod)), "bad": ()})
        for pod, values in (("canary", canary), ("stable", stable))
    ]
    since = START - timedelta(minutes=1)
    samples = Samples(arms[0], arms[1], since)
    return read(metric, samples, START, START + timedelta(seconds=15), Context(since))


def test_both_versions_are_compared_at_the_grid() -> None:
    reading = looked(LATENCY, "buckets", [0.01, 0.3, 3.0], [0.01, 0.02, 0.3, 0.4])
    assert reading.status is Status.OK, reading.cause
    (pair,) = reading.counts
    assert (pair.canary.bad, pair.canary.total, pair.stable.bad, pair.stable.total) == (2, 3, 2, 4)
    assert reading.buckets is not None
    assert len(reading.buckets.edges) == 30


def test_an_edge_that_no_native_histogram_has_is_named_with_those_it_has() -> None:
    reading = looked(Metric("latency", Histogram("seconds", (0.3,))), "buckets", [0.1], [0.1])
    assert reading.status is Status.ERROR
    assert "no bucket with the edge 0.3: the histograms share" in reading.cause
    assert "0.25, 0.353553, 0.5" in reading.cause


def test_a_native_histogram_is_no_counter() -> None:
    reading = looked(Metric("errors", Proportion("bad", "seconds")), "total", [0.1], [0.1])
    assert (reading.status, reading.cause) == (
        Status.ERROR,
        "seconds is a native histogram: compare it as one",
    )

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import (
    Checkpoint,
    Counts,
    Direction,
    Metric,
    NotAtCutError,
    Pair,
    Policy,
    Proportion,
    Reading,
    Slo,
    Status,
    begin,
    begin_step,
    fold,
    skip,
)
from analysis.boundaries import HARM, SAFE
from analysis.updates import expected_share

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ERRORS = Metric("errors", Proportion("bad", "total"))
LATENCY = Metric("latency", Slo("buckets", (0.1, 0.3, 1.0)))
LOGINS = Metric("logins", Proportion("ok", "all"), direction=Direction.DECREASE)
POLICY = Policy(metrics=(ERRORS, LATENCY, LOGINS))
LARGE = 123_456_789_012.0


def second(k: float) -> datetime:
    return START + timedelta(seconds=k)


def pair(x_c: float, n_c: float, x_s: float, n_s: float) -> Pair:
    return Pair(Counts(x_c, n_c), Counts(x_s, n_s))


def ok(since: float, until: float, *counts: Pair, **about: object) -> Reading:
    return Reading(second(since), second(until), Status.OK, counts, **about)  # type: ignore[arg-type]


def harm(checkpoint: Checkpoint, name: str = "errors") -> float:
    return checkpoint.metrics[name].tests[0].harm.log_e(HARM)


def safe(checkpoint: Checkpoint, name: str = "errors") -> float:
    return checkpoint.metrics[name].tests[0].safe.log_e(SAFE)


def test_a_rollout_begins_with_no_evidence_and_its_cut_at_the_start() -> None:
    fresh = begin(POLICY, START)
    assert fresh.cut("errors") == START
    assert harm(fresh) == pytest.approx(0, abs=1e-12)
    assert safe(fresh) == pytest.approx(0, abs=1e-12)


def test_a_reading_moves_the_cut_and_the_evidence() -> None:
    seen = fold(POLICY, begin(POLICY, START), "errors", ok(0, 15, pair(9, 150, 15, 1350)))
    assert seen.cut("errors") == second(15)
    assert seen.cut("latency") == START
    assert harm(seen) > 0 > safe(seen)
    assert seen.metrics["errors"].tests[0].counted == pair(9, 150, 15, 1350)


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(ok(0, 15, pair(9, 150, 15, 1350)), id="the same reading again"),
        pytest.param(ok(5, 20, pair(9, 150, 15, 1350)), id="one that overlaps"),
        pytest.param(ok(16, 30, pair(9, 150, 15, 1350)), id="one that leaves a gap"),
        pytest.param(Reading(START, START, Status.WAITING), id="a report from before the cut"),
        pytest.param(ok(15, 15, pair(0, 0, 0, 0)), id="one that moves nothing"),
        pytest.param(ok(15, 14, pair(0, 0, 0, 0)), id="one by a clock that went backwards"),
        pytest.param(ok(15, 30), id="one without counts"),
    ],
)
def test_only_what_begins_at_the_cut_is_folded(reading: Reading) -> None:
    seen = fold(POLICY, begin(POLICY, START), "errors", ok(0, 15, pair(9, 150, 15, 1350)))
    with pytest.raises(NotAtCutError):
        fold(POLICY, seen, "errors", reading)


@pytest.mark.parametrize("status", [Status.WAITING, Status.NO_DATA, Status.ERROR, Status.OUTAGE])
def test_what_is_no_evidence_changes_no_evidence(status: Status) -> None:
    before = fold(POLICY, begin(POLICY, START), "errors", ok(0, 15, pair(9, 150, 15, 1350)))
    after = fold(POLICY, before, "errors", Reading(second(15), second(15), status, cause="because"))
    assert after.metrics["errors"].tests == before.metrics["errors"].tests
    assert after.cut("errors") == before.cut("errors")
    assert (after.metrics["errors"].status, after.metrics["errors"].cause) == (status, "because")


def test_the_state_of_a_source_is_dated_from_its_first_report() -> None:
    cp = begin(POLICY, START)
    cp = fold(POLICY, cp, "errors", Reading(START, START, Status.OUTAGE, cause="refused"))
    since = cp.metrics["errors"].status_since
    cp = fold(POLICY, cp, "errors", Reading(START, START, Status.OUTAGE, cause="too slow"))
    assert cp.metrics["errors"].status_since == since
    cp = fold(POLICY, cp, "errors", ok(0, 15, pair(0, 10, 0, 90)))
    assert cp.metrics["errors"].status is Status.OK


def test_a_step_begins_with_fresh_safe_evidence_and_keeps_the_harm() -> None:
    cp = begin_step(begin(POLICY, START), "1", START)
    cp = fold(POLICY, cp, "errors", ok(0, 15, pair(0, 3000, 0, 27_000)))
    assert safe(cp) > math.log(20)
    following = begin_step(cp, "2", second(15))
    assert safe(following) == pytest.approx(0, abs=1e-12)
    assert harm(following) == harm(cp)
    assert following.metrics["errors"].tests[0].in_step == Pair()
    assert following.metrics["errors"].tests[0].counted == pair(0, 3000, 0, 27_000)


def test_a_step_begins_once() -> None:
    cp = begin_step(begin(POLICY, START), "1", START)
    cp = fold(POLICY, cp, "errors", ok(0, 15, pair(0, 3000, 0, 27_000)))
    assert begin_step(cp, "1", second(60)) is cp


def test_an_interval_that_straddles_the_step_speaks_for_harm_only() -> None:
    cp = begin_step(begin(POLICY, START), "2", second(10))
    cp = fold(POLICY, cp, "errors", ok(0, 15, pair(0, 3000, 0, 27_000)))
    assert safe(cp) == pytest.approx(0, abs=1e-12)
    assert harm(cp) != pytest.approx(0)
    assert cp.metrics["errors"].looks_in_step == 0
    cp = fold(POLICY, cp, "errors", ok(15, 30, pair(0, 3000, 0, 27_000)))
    assert safe(cp) > 0
    assert cp.metrics["errors"].tests[0].in_step == pair(0, 3000, 0, 27_000)


def test_what_is_skipped_is_never_counted() -> None:
    cp = skip(begin(POLICY, START), "errors", second(60))
    assert cp.cut("errors") == second(60)
    assert cp.cut("latency") == START
    with pytest.raises(NotAtCutError):
        fold(POLICY, cp, "errors", ok(0, 60, pair(9, 150, 15, 1350)))
    assert skip(cp, "errors", second(30)) == cp


def test_fewer_is_worse_where_the_metric_says_so() -> None:
    fewer, more = pair(10, 1000, 190, 9000), pair(50, 1000, 190, 9000)
    worse = fold(POLICY, begin(POLICY, START), "logins", ok(0, 15, fewer))
    better = fold(POLICY, begin(POLICY, START), "logins", ok(0, 15, more))
    assert harm(worse, "logins") > 0 > harm(better, "logins")
    assert worse.metrics["logins"].tests[0].counted == fewer


def test_each_edge_of_an_slo_is_a_test_of_its_own() -> None:
    counts = (pair(0, 1000, 0, 9000), pair(50, 1000, 90, 9000), pair(0, 1000, 0, 9000))
    cp = fold(POLICY, begin(POLICY, START), "latency", ok(0, 15, *counts))
    assert [test.harm.log_e(HARM) > 0 for test in cp.metrics["latency"].tests] == [False, True, False]


def test_the_stable_rate_is_guessed_from_the_past_alone() -> None:
    """A stake drawn from the interval it is bet on would void the guarantee."""
    cp = fold(POLICY, begin(POLICY, START), "errors", ok(0, 15, pair(1, 200, 9, 1800)))
    none, some, more = (
        fold(POLICY, cp, "errors", ok(15, 30, pair(3, 200, bad, 1800))).metrics["errors"].tests[0].harm.logs
        for bad in (0, 30, 60)
    )
    per_event = [(a - b) / 30 for a, b in zip(some, none, strict=True)]
    assert [(a - b) / 60 for a, b in zip(more, none, strict=True)] == pytest.approx(per_event)


@pytest.mark.parametrize("name", ["errors", "logins"])
def test_while_nothing_is_known_of_the_rate_half_of_the_capital_waits(name: str) -> None:
    """Stakes that are drawn blind may all be wrong: a look at a million requests must not ruin them."""
    counted = pair(200_000, 1_000_000, 200_000, 1_000_000)
    cp = fold(POLICY, begin_step(begin(POLICY, START), "1", START), name, ok(0, 15, counted))
    (test,) = cp.metrics[name].tests
    assert min(*test.harm.logs, *test.safe.logs) >= math.log(0.5 * 0.7) - 1e-9
    again = fold(POLICY, cp, name, ok(15, 30, counted))
    assert min(again.metrics[name].tests[0].safe.logs) < -100


@pytest.mark.parametrize(
    ("bad", "total", "guess"),
    [
        pytest.param(0, 0, 0.0015, id="nothing seen: it is rare"),
        pytest.param(10, 1000, 0.0095, id="one in a hundred"),
        pytest.param(0, 5000, 0.00002, id="none at all"),
        pytest.param(10, 10, 0.95, id="all of the first ten"),
        pytest.param(97_000, 100_000, 0.97, id="nearly always"),
    ],
)
def test_a_few_requests_tell_whether_events_are_rare(bad: float, total: float, guess: float) -> None:
    assert expected_share(bad, total) == pytest.approx(guess, rel=0.06)


def long_story(seed: int, looks: int = 60) -> tuple[Checkpoint, list[tuple[str, Reading]]]:
    rng = np.random.default_rng(seed)
    readings = []
    for k in range(looks):
        n_c, n_s = int(rng.integers(0, 300)), int(rng.integers(0, 4000))
        for metric in POLICY.metrics:
            counts = [pair(rng.binomial(n_c, 0.02), n_c, rng.binomial(n_s, 0.01), n_s) for _ in metric.edges]
            readings.append((metric.name, ok(15 * k, 15 * (k + 1), *counts)))
    return begin_step(begin(POLICY, START), "1", START), readings


@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.integers(0, 1000), st.sets(st.integers(0, 179), max_size=40))
def test_a_restart_at_any_place_resumes_bit_for_bit(seed: int, restarts: set[int]) -> None:
    straight, readings = long_story(seed)
    resumed = straight
    for k, (name, reading) in enumerate(readings):
        straight, resumed = (fold(POLICY, cp, name, reading) for cp in (straight, resumed))
        if k in restarts:
            resumed = Checkpoint.from_json(json.loads(json.dumps(resumed.to_json())))
    assert resumed == straight
    assert json.dumps(resumed.to_json()) == json.dumps(straight.to_json())


def test_a_metric_takes_at_most_four_kilobytes_however_long_it_ran() -> None:
    cp, readings = long_story(7, looks=40)
    for name, reading in readings:
        cp = fold(POLICY, cp, name, reading)
    big = tuple(pair(LARGE / 7, LARGE, LARGE / 9, 9 * LARGE) for _ in LATENCY.edges)
    cp = fold(POLICY, cp, "latency", ok(600, 615, *big, cause="x" * 999, notes=("y" * 999,)))
    for state in cp.to_json()["metrics"].values():
        assert len(json.dumps(state)) <= 4000


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param({"format": 3}, "format 3", id="a format of the future"),
        pytest.param({"began": None}, "damaged", id="a number that is none"),
        pytest.param({"metrics": {"errors": {"cut": 1}}}, "damaged", id="a metric without its tests"),
        pytest.param({"metrics": []}, "damaged", id="metrics that are a list"),
    ],
)
def test_a_damaged_checkpoint_is_refused(damage: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Checkpoint.from_json({**begin(POLICY, START).to_json(), **damage})


def test_arrays_of_another_length_are_refused() -> None:
    data = begin(POLICY, START).to_json()
    data["metrics"]["errors"]["tests"][0]["harm"] = "AAAAAAAA8D8="
    with pytest.raises(ValueError, match="1 numbers where 20"):
        Checkpoint.from_json(data)

"""A metric that is a whole histogram: from bucket series to a verdict."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import (
    Against,
    ArmSamples,
    Buckets,
    Checkpoint,
    Context,
    Counts,
    Direction,
    Dispersion,
    Histogram,
    InvalidPolicy,
    Margin,
    Metric,
    NotAtCutError,
    Outcome,
    Pair,
    Policy,
    Reading,
    Role,
    Samples,
    Series,
    Slo,
    Status,
    begin,
    begin_step,
    fold,
    judge,
    read,
)
from analysis.evidence import to_ms
from analysis.histogram import MOST_BUCKETS, common_edges, rebinned, thinned
from analysis.shapes import SHAPES

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EDGES = (0.1, 0.2, 0.3, 0.5, 1.0, math.inf)
LATENCY = Metric("latency", Histogram("buckets", (0.3,)))
FAST = (0.5, 0.3, 0.1, 0.06, 0.03, 0.01)
SLOW = (0.3, 0.3, 0.15, 0.13, 0.08, 0.04)
SCRAPE = timedelta(seconds=15)


def buckets(n_c: int, canary: tuple[float, ...], n_s: int, stable: tuple[float, ...] = FAST) -> Buckets:
    def spread(total: int, shares: tuple[float, ...]) -> tuple[float, ...]:
        first = [float(round(total * share)) for share in shares]
        first[0] += total - sum(first)
        return tuple(first)

    return Buckets(EDGES, spread(n_c, canary), spread(n_s, stable))


def reading(since: datetime, seen: Buckets, edges: tuple[float, ...] = (0.3,), **about: Any) -> Reading:
    counts = tuple(seen.beyond(edge) for edge in edges)
    return Reading(since, since + SCRAPE, Status.OK, counts, buckets=seen, **about)


def after(policy: Policy, *looks: Buckets, known: Buckets | None = None) -> Checkpoint:
    cp = begin(policy, START, {"latency": known} if known else None)
    cp = begin_step(cp, "1", START)
    edges = policy.metric("latency").edges
    for seen in looks:
        cp = fold(policy, cp, "latency", reading(cp.cut("latency"), seen, edges))  # type: ignore[arg-type]
    return cp


def log_e(cp: Checkpoint) -> float:
    shape = cp.metrics["latency"].shape
    assert shape is not None
    return shape.bet.log_e(SHAPES)


def judged(policy: Policy, cp: Checkpoint) -> Any:
    return judge(policy, cp, cp.cut("latency") + timedelta(seconds=5))


ONE = Policy(metrics=(LATENCY,))


def test_a_slower_canary_is_worse_by_its_shape() -> None:
    judgement = judged(ONE, after(ONE, *[buckets(300, SLOW, 2700)] * 3))
    assert judgement.outcome is Outcome.WORSE
    assert judgement.blamed == ("latency",)
    assert "p99 1 against 1" in judgement.reason
    assert "25 %" in judgement.reason


def test_an_equal_canary_passes_by_its_edges() -> None:
    judgement = judged(ONE, after(ONE, *[buckets(3000, FAST, 27_000)] * 4))
    assert judgement.outcome is Outcome.NOT_WORSE


def test_the_first_interval_is_bet_on_only_by_what_was_known_before() -> None:
    """A shape that is made from the interval it is bet on would void the guarantee."""
    seen = buckets(300, SLOW, 2700)
    assert log_e(after(ONE, seen)) == pytest.approx(math.log(1.0), abs=1e-9)
    known = Buckets(EDGES, (0.0,) * 6, buckets(0, SLOW, 20_000).stable)
    assert log_e(after(ONE, seen, known=known)) > 5


def test_what_was_known_is_kept_within_bounds_and_outweighed() -> None:
    known = Buckets(EDGES, (0.0,) * 6, buckets(0, SLOW, 2_000_000).stable)
    shape = after(ONE, known=known).metrics["latency"].shape
    assert shape is not None
    assert sum(shape.known) == pytest.approx(10_000, abs=6)
    assert sum(shape.counted.stable) == 0
    shape = after(ONE, buckets(9000, FAST, 100_000), known=known).metrics["latency"].shape
    assert shape is not None
    assert shape.known == ()


@pytest.mark.parametrize(
    ("slower", "outcome"),
    [
        pytest.param((0.44, 0.36, 0.1, 0.06, 0.03, 0.01), Outcome.UNDECIDED, id="only the fast ones"),
        pytest.param(SLOW, Outcome.WORSE, id="beyond the edge too"),
    ],
)
def test_a_proof_without_an_effect_that_matters_rolls_nothing_back(
    slower: tuple[float, ...], outcome: Outcome
) -> None:
    """Slower for certain, but neither by the 99th percentile nor beyond the SLO's edge."""
    cp = after(ONE, *[buckets(3000, slower, 27_000)] * 6)
    assert log_e(cp) > math.log(100)
    assert judged(ONE, cp).outcome is (Outcome.NOT_WORSE if outcome is Outcome.UNDECIDED else Outcome.WORSE)


def test_the_percentile_is_enough_of_an_effect() -> None:
    policy = Policy(metrics=(Metric("latency", Histogram("buckets", (0.1,))),))
    tail = (0.5, 0.3, 0.1, 0.03, 0.03, 0.04)
    cp = after(policy, *[buckets(3000, tail, 27_000, (0.5, 0.3, 0.1, 0.06, 0.035, 0.005))] * 6)
    (verdict,) = judged(policy, cp).metrics
    assert verdict.outcome is Outcome.WORSE
    assert verdict.p99[0] > 1.05 * verdict.p99[1]


def test_a_shift_asks_for_slower_by_a_whole_bucket() -> None:
    policy = Policy(metrics=(Metric("latency", Histogram("buckets", (0.3,), shift=1)),))
    within = (0.3, 0.4, 0.2, 0.06, 0.03, 0.01)
    beyond = (0.05, 0.15, 0.3, 0.3, 0.1, 0.1)
    assert log_e(after(policy, *[buckets(3000, within, 27_000)] * 6)) < 0
    assert judged(policy, after(policy, *[buckets(300, beyond, 2700)] * 6)).outcome is Outcome.WORSE


def test_where_less_is_worse_the_arms_change_places() -> None:
    policy = Policy(metrics=(Metric("latency", Histogram("b", (0.3,)), direction=Direction.DECREASE),))
    larger, smaller = [buckets(300, SLOW, 2700)] * 4, [buckets(300, FAST, 2700, SLOW)] * 4
    assert log_e(after(policy, *larger)) < 0
    assert judged(policy, after(policy, *smaller)).outcome is Outcome.WORSE


def test_too_few_requests_roll_nothing_back() -> None:
    known = Buckets(EDGES, (0.0,) * 6, buckets(0, FAST, 20_000).stable)
    policy = Policy(metrics=(LATENCY,), alpha=0.4)
    few = Buckets(EDGES, (0.0, 0.0, 0.0, 0.0, 0.0, 2.0), buckets(0, FAST, 200).stable)
    cp = after(policy, few, known=known)
    assert log_e(cp) > -math.log(0.4)
    assert judged(policy, cp).outcome is Outcome.UNDECIDED


def test_noise_tempers_the_shape() -> None:
    noisy = Policy(metrics=(Metric("latency", LATENCY.kind, dispersion=Dispersion(phi=4.0)),), late_share=0.0)
    calm = Policy(metrics=(LATENCY,), late_share=0.0)
    looks = [buckets(300, SLOW, 2700)] * 3
    one, other = (after(p, *looks).metrics["latency"].shape for p in (calm, noisy))
    assert one is not None
    assert other is not None
    assert np.array(other.bet.logs) * 4 == pytest.approx(np.array(one.bet.logs))


def test_a_layout_that_changes_goes_on_with_the_edges_that_stayed() -> None:
    """A new version with other buckets: what both have is compared, and the evidence is kept."""
    cp = after(ONE, *[buckets(300, SLOW, 2700)] * 2)
    before = log_e(cp)
    wide = (0.2, 0.3, 1.0, math.inf)
    seen = buckets(300, SLOW, 2700)
    cp = fold(ONE, cp, "latency", reading(cp.cut("latency"), seen.on(wide)))
    shape = cp.metrics["latency"].shape
    assert shape is not None
    assert shape.counted.edges == wide
    assert sum(shape.counted.canary) == 900
    assert log_e(cp) > before


def test_a_layout_with_nothing_in_common_is_new_but_keeps_the_evidence() -> None:
    cp = after(ONE, *[buckets(300, SLOW, 2700)] * 2)
    other = Buckets((0.7, math.inf), (10.0, 5.0), (90.0, 5.0))
    odd = Reading(cp.cut("latency"), cp.cut("latency") + SCRAPE, Status.OK, (Pair(),), buckets=other)
    shape = fold(ONE, cp, "latency", odd).metrics["latency"].shape
    assert shape is not None
    assert shape.counted == other
    assert shape.bet.log_e(SHAPES) == pytest.approx(log_e(cp), abs=1e-9)


def test_a_reading_without_its_buckets_is_not_folded() -> None:
    cp = after(ONE)
    with pytest.raises(NotAtCutError):
        fold(ONE, cp, "latency", Reading(START, START + SCRAPE, Status.OK, (Pair(),)))


def story(seed: int, looks: int, edges: tuple[float, ...]) -> list[Buckets]:
    rng = np.random.default_rng(seed)
    return [
        Buckets(
            edges,
            tuple(rng.poisson(9, len(edges)).astype(float).tolist()),
            tuple(rng.poisson(90, len(edges)).astype(float).tolist()),
        )
        for _ in range(looks)
    ]


@settings(max_examples=10, derandomize=True, deadline=None)
@given(st.integers(0, 1000), st.sets(st.integers(0, 24), max_size=10))
def test_a_histogram_resumes_bit_for_bit(seed: int, restarts: set[int]) -> None:
    known = Buckets(EDGES, (0.0,) * 6, buckets(0, FAST, 20_000).stable)
    straight = resumed = after(ONE, known=known)
    for look, seen in enumerate(story(seed, 25, EDGES)):
        straight, resumed = (
            fold(ONE, cp, "latency", reading(cp.cut("latency"), seen)) for cp in (straight, resumed)
        )
        if look in restarts:
            resumed = Checkpoint.from_json(json.loads(json.dumps(resumed.to_json(), allow_nan=False)))
    assert resumed == straight
    assert resumed.to_json() == straight.to_json()


def test_a_histogram_takes_at_most_four_kilobytes() -> None:
    edges = (*(round(0.001 * 1.3**k, 4) for k in range(MOST_BUCKETS - 1)), math.inf)
    slo = edges[10:13]
    policy = Policy(metrics=(Metric("latency", Histogram("b", slo)),))
    cp = after(policy, known=Buckets(edges, (0.0,) * MOST_BUCKETS, (1e9,) * MOST_BUCKETS))
    for seen in [*story(3, 10, edges), Buckets(edges, (4e9,) * MOST_BUCKETS, (4e9,) * MOST_BUCKETS)]:
        cp = fold(
            policy, cp, "latency", reading(cp.cut("latency"), seen, slo, cause="x" * 999, notes=("y" * 999,))
        )
    assert len(json.dumps(cp.to_json()["metrics"]["latency"])) <= 4000


def test_a_checkpoint_of_before_histograms_is_read() -> None:
    policy = Policy(metrics=(Metric("errors", Slo("b", (0.3,))),))
    old = begin(policy, START).to_json() | {"format": 1}
    assert Checkpoint.from_json(old) == begin(policy, START)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"edges": [0.1]}, id="edges that are missing"),
        pytest.param({"canary": "2AAAA"}, id="counts that are missing"),
        pytest.param({"known": "2AAAA"}, id="a past of another layout"),
        pytest.param({"harm": "AAAAAAAA8D8="}, id="capital that is missing"),
        pytest.param({"stable": "9AAAA"}, id="counts of no known kind"),
    ],
)
def test_a_damaged_histogram_is_refused(damage: dict[str, Any]) -> None:
    data = after(ONE, buckets(300, SLOW, 2700)).to_json()
    data["metrics"]["latency"]["shape"].update(damage)
    with pytest.raises(ValueError, match="damaged"):
        Checkpoint.from_json(data)


@pytest.mark.parametrize(
    ("metric", "path"),
    [
        pytest.param(Metric("l", Histogram("b", ())), "slo", id="no edge to be safe by"),
        pytest.param(Metric("l", Histogram("b", (0.3,), shift=-1)), "shift", id="a shift downwards"),
        pytest.param(Metric("l", Histogram("b", (0.3,), shift=9)), "shift", id="a shift beyond reason"),
        pytest.param(
            Metric("l", Histogram("b", (0.3,)), dispersion=Dispersion(tau=0.1, pods=9)),
            "dispersion.tau",
            id="pods that differ",
        ),
        pytest.param(
            Metric(
                "l",
                Histogram("b", (0.3,)),
                against=Against.LIMIT,
                tolerate=Margin(absolute=0.01),
                unacceptable=Margin(absolute=0.02),
            ),
            "against",
            id="a shape against a limit",
        ),
    ],
)
def test_a_histogram_that_cannot_be_judged_names_its_field(metric: Metric, path: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy(metrics=(metric,))
    assert refused.value.path == f"metrics[0].{path}"


def test_a_success_metric_may_be_a_histogram() -> None:
    policy = Policy(metrics=(Metric("latency", Histogram("b", (0.3,)), role=Role.SUCCESS),))
    assert judged(policy, after(policy, *[buckets(300, SLOW, 2700)] * 4)).outcome is Outcome.UNDECIDED


# From series to buckets.


def bucket(pod: str, edge: float, *values: float) -> Series:
    le = "+Inf" if math.isinf(edge) else f"{edge:g}"
    labels = {"__name__": "b", "le": le, "instance": pod, "pod": pod, "job": "shop"}
    return Series(labels, tuple((to_ms(START) + 15_000 * k, v) for k, v in enumerate(values)))


def arm(pod: str, *growth: tuple[float, float]) -> ArmSamples:
    """Buckets that held 5 each and grew by so much."""
    return ArmSamples({"buckets": tuple(bucket(pod, edge, 5, 5 + more) for edge, more in growth)})


CANARY = arm("c", (0.1, 1), (0.3, 4), (1.0, 8), (math.inf, 10))
STABLE = arm("s", (0.1, 10), (0.2, 20), (0.3, 30), (math.inf, 40))


def look(metric: Metric, canary: ArmSamples, stable: ArmSamples) -> Reading:
    samples = Samples(canary, stable, START - timedelta(minutes=1))
    return read(metric, samples, START, START + SCRAPE, Context(START))


def test_versions_with_other_buckets_are_compared_on_the_edges_of_both() -> None:
    seen = look(LATENCY, CANARY, STABLE)
    assert seen.status is Status.OK
    assert seen.buckets == Buckets((0.1, 0.3, math.inf), (1, 3, 6), (10, 20, 10))
    assert seen.counts == (Pair(Counts(6, 10), Counts(10, 40)),)


@pytest.mark.parametrize(
    ("metric", "canary", "said"),
    [
        pytest.param(
            Metric("latency", Histogram("b", (0.2,))), CANARY, "no bucket with the edge 0.2", id="the SLO's"
        ),
        pytest.param(LATENCY, arm("c", (0.7, 1), (math.inf, 1)), "no edges in common", id="none in common"),
        pytest.param(LATENCY, arm("c", (0.1, 1), (0.3, 4)), "no edges in common", id="no last bucket"),
        pytest.param(
            LATENCY, arm("c", (0.1, 5), (0.3, 4), (math.inf, 10)), "can't shrink", id="buckets that shrink"
        ),
    ],
)
def test_what_is_no_histogram_of_both_is_an_error(metric: Metric, canary: ArmSamples, said: str) -> None:
    seen = look(metric, canary, STABLE)
    assert seen.status is Status.ERROR
    assert said in seen.cause


def test_edges_below_zero_join_the_first_bucket() -> None:
    assert common_edges([(-1.0, 0.0, 0.1, math.inf), (0.0, 0.1, 0.2, math.inf)]) == (0.1, math.inf)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(2, 200), st.data())
def test_many_buckets_are_thinned_to_what_fits_without_losing_the_slo(size: int, data: st.DataObject) -> None:
    edges = (*(float(k + 1) for k in range(size - 1)), math.inf)
    keep = data.draw(st.lists(st.sampled_from(edges[:-1]), max_size=3))
    left = thinned(edges, keep)
    assert len(left) <= MOST_BUCKETS
    assert {*keep, math.inf} <= set(left) <= set(edges)
    assert list(left) == sorted(left)
    assert len(left) >= min(size, MOST_BUCKETS // 2 - 2)
    counts = tuple(float(k) for k in range(size))
    assert sum(rebinned(counts, edges, left)) == sum(counts)


def test_wider_buckets_hold_what_the_narrow_ones_held() -> None:
    assert rebinned((1, 2, 3, 4), (0.1, 0.2, 0.3, math.inf), (0.2, math.inf)) == (3, 7)
    one = Buckets((0.1, 0.2, math.inf), (1, 2, 3), (4, 5, 6))
    other = Buckets((0.1, 0.3, math.inf), (1, 1, 1), (2, 2, 2))
    assert one + other == Buckets((0.1, math.inf), (2, 7), (6, 15))
    assert Buckets() + one == one == one + Buckets()

"""P3: gauges, compared block by block."""

from __future__ import annotations

import itertools
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from analysis import (
    Against,
    ArmSamples,
    Checkpoint,
    Context,
    Counts,
    Direction,
    Dispersion,
    InvalidPolicy,
    Judgement,
    Margin,
    Mean,
    Metric,
    Outcome,
    Pair,
    Policy,
    Reading,
    Role,
    Samples,
    Series,
    Status,
    begin,
    begin_step,
    compatible,
    fold,
    judge,
    read,
)
from analysis.betting import Array
from analysis.blocks import LAMBDAS, LEARNING, Blocks, gains, log_ratio, mean_interval
from analysis.evidence import to_ms

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCRAPE = timedelta(seconds=30)
MEMORY = Metric("memory", Mean("container_memory_working_set_bytes"))
ONE = Policy(metrics=(MEMORY,))
SAMPLES = 4


def pair(canary: float, stable: float) -> Pair:
    return Pair(Counts(canary * SAMPLES, SAMPLES), Counts(stable * SAMPLES, SAMPLES))


def after(policy: Policy, ratios: Any, step: str = "1") -> Checkpoint:
    """Two scrapes a block of one minute, the same ratio in both."""
    cp = begin_step(begin(policy, START), step, START)
    for ratio in np.repeat(np.asarray(ratios, dtype=float), 2):
        cp = looked(policy, cp, pair(100 * ratio, 100))
    return cp


def looked(policy: Policy, cp: Checkpoint, seen: Pair) -> Checkpoint:
    since = cp.cut("memory")
    return fold(policy, cp, "memory", Reading(since, since + SCRAPE, Status.OK, (seen,)))


def judged(policy: Policy, cp: Checkpoint) -> Judgement:
    return judge(policy, cp, cp.cut("memory") + timedelta(seconds=5))


def noise(ratio: float, blocks: int, seed: int = 1, deviation: float = 0.02) -> Array:
    rng = np.random.default_rng(seed)
    return np.asarray(ratio * np.exp(deviation * rng.standard_normal(blocks)))


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [
        pytest.param(1.0, Outcome.NOT_WORSE, id="as much memory"),
        pytest.param(1.05, Outcome.NOT_WORSE, id="a little more, which is tolerated"),
        pytest.param(2.0, Outcome.WORSE, id="twice as much"),
        pytest.param(0.5, Outcome.NOT_WORSE, id="half as much"),
    ],
)
def test_a_gauge_is_judged_by_its_ratio(ratio: float, outcome: Outcome) -> None:
    assert judged(ONE, after(ONE, noise(ratio, 30))).outcome is outcome


def test_the_verdict_tells_means_and_their_ratio() -> None:
    (verdict,) = judged(ONE, after(ONE, noise(2.0, 20))).metrics
    assert "canary 200" in verdict.reason
    assert verdict.estimate == pytest.approx(2.0, rel=0.02)
    assert verdict.low < 2.0 < verdict.high < 2.2


def test_before_it_is_known_how_much_a_gauge_wanders_nothing_is_bet() -> None:
    cp = after(ONE, [3.0] * LEARNING)
    assert judged(ONE, cp).log_e_harm == pytest.approx(0, abs=1e-9)
    assert judged(ONE, after(ONE, [3.0] * (LEARNING + 1))).log_e_harm > 0


def test_a_scale_from_history_saves_the_learning() -> None:
    known = Policy(metrics=(Metric("memory", Mean("m", scale=0.1)),))
    assert judged(known, after(known, [3.0])).log_e_harm > 0


def test_the_scale_is_of_the_past_alone() -> None:
    """A scale that is drawn from the block it measures would void the guarantee."""
    before = [1.0, 1.02, 0.98, 1.0]
    deviation = (math.log(1.02) + 0.0) / 2
    learns, knows = (
        Policy(metrics=(Metric("memory", Mean("m", scale=scale)),), late_share=0.0)
        for scale in (None, 3 * deviation)
    )
    (learned,) = after(learns, [*before, 1.15]).metrics["memory"].tests
    (known,) = after(knows, [1.15]).metrics["memory"].tests
    assert learned.harm is not None
    assert known.harm is not None
    assert learned.harm.logs == pytest.approx(known.harm.logs)


@pytest.mark.parametrize("ratio", [0.8, 1.3])
def test_a_block_is_bet_on_when_it_is_full(ratio: float) -> None:
    known = Policy(metrics=(Metric("memory", Mean("m", scale=0.1)),))
    cp = begin_step(begin(known, START), "1", START)
    half = looked(known, cp, pair(100 * ratio, 100))
    assert half.metrics["memory"].tests[0].safe == cp.metrics["memory"].tests[0].safe
    full = looked(known, half, pair(100 * ratio, 100))
    assert full.metrics["memory"].tests[0].safe != half.metrics["memory"].tests[0].safe
    assert full.metrics["memory"].blocks == Blocks(
        since=to_ms(START + 2 * SCRAPE),
        recent=(pytest.approx(math.log(ratio)),),  # type: ignore[arg-type]
        number=1,
        in_step=1,
        total=pytest.approx(math.log(ratio)),
        squares=pytest.approx(math.log(ratio) ** 2),
    )


def test_a_block_without_one_arm_says_nothing() -> None:
    known = Policy(metrics=(Metric("memory", Mean("m", scale=0.1)),), late_share=0.0)
    cp = begin_step(begin(known, START), "1", START)
    for _ in range(2):
        cp = looked(known, cp, Pair(Counts(400, 4), Counts()))
    assert judged(known, cp).log_e_harm == pytest.approx(0, abs=1e-12)
    state = cp.metrics["memory"]
    assert state.blocks is not None
    assert (state.blocks.number, state.blocks.pending) == (0, Pair())


def test_a_block_that_straddles_the_step_speaks_for_harm_only() -> None:
    known = Policy(metrics=(Metric("memory", Mean("m", scale=0.1)),))
    cp = begin_step(begin(known, START), "1", START)
    cp = looked(known, cp, pair(300, 100))
    cp = begin_step(cp, "2", START + SCRAPE)
    cp = looked(known, cp, pair(300, 100))
    (test,) = cp.metrics["memory"].tests
    assert test.safe.log_e(LAMBDAS) == pytest.approx(0, abs=1e-12)
    assert test.in_step == Pair()
    assert judged(known, cp).log_e_harm > 0


def test_a_new_step_asks_for_safety_anew() -> None:
    cp = after(ONE, noise(1.0, 30))
    assert judged(ONE, cp).outcome is Outcome.NOT_WORSE
    fresh = begin_step(cp, "2", cp.cut("memory"))
    assert judged(ONE, fresh).outcome is Outcome.UNDECIDED


def test_less_is_worse_where_the_metric_says_so() -> None:
    hits = Metric("memory", Mean("cache_hits"), direction=Direction.DECREASE)
    policy = Policy(metrics=(hits,))
    assert judged(policy, after(policy, noise(0.4, 30))).outcome is Outcome.WORSE
    better = judged(policy, after(policy, noise(3.0, 30)))
    assert better.outcome is Outcome.NOT_WORSE
    assert better.metrics[0].low < 3.0 < better.metrics[0].high


def test_by_role_a_gauge_only_warns_or_holds() -> None:
    for role, outcome in ((Role.WARN, Outcome.UNDECIDED), (Role.SUCCESS, Outcome.UNDECIDED)):
        policy = Policy(metrics=(Metric("memory", MEMORY.kind, role=role),))
        judgement = judged(policy, after(policy, noise(2.0, 30)))
        assert judgement.outcome is outcome
        assert judgement.blamed == ()


def test_noise_and_pods_delay_it() -> None:
    looks = noise(1.5, 12)
    calm = judged(ONE, after(ONE, looks)).log_e_harm
    for dispersion in (Dispersion(phi=3.0), Dispersion(tau=0.05, pods=8)):
        policy = Policy(metrics=(Metric("memory", MEMORY.kind, dispersion=dispersion),))
        assert judged(policy, after(policy, looks)).log_e_harm < calm - 0.5


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        pytest.param(pair(2, 1), math.log(2), id="twice"),
        pytest.param(pair(0, 0), 0.0, id="nothing in both"),
        pytest.param(pair(1, 0), 10.0, id="something against nothing"),
        pytest.param(pair(0, 1), -10.0, id="nothing against something"),
        pytest.param(pair(1e300, 1e-300), 10.0, id="beyond bounds"),
        pytest.param(Pair(Counts(1, 1)), None, id="only one arm"),
    ],
)
def test_log_ratios_are_finite_or_none(counted: Pair, expected: float | None) -> None:
    assert log_ratio(counted) == (expected if expected is None else pytest.approx(expected))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=4),
    st.floats(0.05, 1.0),
)
def test_nobody_on_the_line_expects_to_win(offsets: list[float], scale: float) -> None:
    """E[M] <= 1 over all outcomes of three blocks whose clipped differences have a mean of at most 0."""
    clipped = np.clip(np.array(offsets) / scale, -1, 1)
    beyond = (clipped - max(clipped.mean(), 0.0)) * scale
    expected = np.zeros(7)
    for blocks in itertools.product(beyond, repeat=3):
        expected += np.exp(sum(gains(block, scale) for block in blocks)) / len(beyond) ** 3
    assert np.all(expected <= 1 + 1e-9)


def wandering(rng: np.random.Generator, blocks: int, deviation: float) -> Array:
    """Autocorrelated minutes: an AR(1) with correlation 0.5."""
    level, out = 0.0, []
    for shock in rng.standard_normal(blocks):
        level = 0.5 * level + math.sqrt(0.75) * shock
        out.append(level)
    return deviation * np.array(out)


def first_crossing(ratios: Array, line: float, alpha: float) -> float:
    logs, seen = np.zeros(7), Blocks(0)
    for number, ratio in enumerate(ratios, 1):
        if seen.scale is not None:
            logs = logs + gains(ratio - line, seen.scale)
        seen = Blocks(0, recent=(*seen.recent, float(ratio))[-32:])
        if logsumexp(logs + LAMBDAS.log_weights) >= -math.log(alpha):
            return number
    return math.inf


def test_a_gauge_that_wanders_within_the_tolerance_is_hardly_ever_blamed() -> None:
    rng = np.random.default_rng(3)
    found = sum(
        math.isfinite(first_crossing(wandering(rng, 120, 0.03), math.log(1.05), 0.05)) for _ in range(150)
    )
    assert stats.binomtest(found, 150, 0.05, "greater").pvalue > 1e-4


def test_a_fifth_more_memory_is_found_within_a_quarter_of_an_hour() -> None:
    rng = np.random.default_rng(4)
    found = [
        first_crossing(math.log(1.2) + wandering(rng, 60, 0.03), math.log(1.05), 0.05) for _ in range(100)
    ]
    assert np.median(found) <= 15


def test_the_interval_covers_at_all_looks_together() -> None:
    rng = np.random.default_rng(6)
    missed = 0
    for _ in range(300):
        draws = 0.2 + 0.1 * rng.standard_normal(80)
        for number in range(4, 81):
            low, high = mean_interval(number, draws[:number].sum(), (draws[:number] ** 2).sum(), 0.05)
            if not low <= 0.2 <= high:
                missed += 1
                break
    assert stats.binomtest(missed, 300, 0.08, "greater").pvalue > 1e-3
    assert mean_interval(3, 1, 1, 0.05) == (-math.inf, math.inf)


def test_an_inconclusive_gauge_is_compatible_when_it_was_measured() -> None:
    policy = Policy(metrics=(Metric("memory", MEMORY.kind, unacceptable=Margin(0.12)),))
    short, long = after(policy, noise(1.05, 5)), after(policy, noise(1.05, 9))
    assert "5 blocks measured of 8 needed" in compatible(policy, short, short.cut("memory"))[0]
    assert compatible(policy, long, long.cut("memory"), min_requests=1e9) == ()


@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.integers(0, 100), st.sets(st.integers(0, 59), max_size=10))
def test_a_gauge_resumes_bit_for_bit(seed: int, restarts: set[int]) -> None:
    rng = np.random.default_rng(seed)
    straight = resumed = begin_step(begin(ONE, START), "1", START)
    for look, seen in enumerate(rng.random((60, 2)) + 0.5):
        straight, resumed = (looked(ONE, cp, pair(*seen.tolist())) for cp in (straight, resumed))
        if look in restarts:
            resumed = Checkpoint.from_json(json.loads(json.dumps(resumed.to_json(), allow_nan=False)))
    assert resumed == straight
    assert len(json.dumps(resumed.to_json()["metrics"]["memory"])) < 4000


@pytest.mark.parametrize(
    ("about", "path"),
    [
        pytest.param({"tolerate": Margin(0.1, 0.1)}, "tolerate.absolute", id="an absolute margin"),
        pytest.param({"kind": Mean("m", block=timedelta(0))}, "block", id="no block"),
        pytest.param({"kind": Mean("m", scale=0.0)}, "scale", id="no scale"),
        pytest.param(
            {"against": Against.LIMIT, "tolerate": Margin(), "unacceptable": Margin()},
            "against",
            id="a limit",
        ),
    ],
)
def test_a_gauge_that_cannot_be_judged_names_its_field(about: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy(metrics=(Metric(**{"name": "memory", "kind": Mean("m"), **about}),))
    assert refused.value.path.startswith("metrics[0].")
    if path != "against":
        assert refused.value.path == f"metrics[0].{path}"


# From series to means.


def gauge(pod: str, *values: float) -> ArmSamples:
    labels = {"__name__": "memory", "instance": pod, "pod": pod}
    samples = tuple((to_ms(START) + 15_000 * k, value) for k, value in enumerate(values))
    return ArmSamples({"gauge": (Series(labels, samples),)})


def look(canary: ArmSamples, stable: ArmSamples) -> Reading:
    samples = Samples(canary, stable, START - timedelta(minutes=1))
    return read(MEMORY, samples, START, START + timedelta(seconds=35), Context(START))


def test_the_samples_after_the_cut_are_averaged() -> None:
    seen = look(gauge("c", 100.0, 1.5, 2.5), gauge("s", 7.0, math.nan, 3.25))
    assert seen.status is Status.OK
    assert seen.counts == (Pair(Counts(4.0, 2), Counts(3.25, 1)),)


@pytest.mark.parametrize("value", [-1.0, math.inf])
def test_what_has_no_ratio_is_an_error(value: float) -> None:
    seen = look(gauge("c", 1.0, value, 1.0), gauge("s", 1.0, 1.0, 1.0))
    assert seen.status is Status.ERROR
    assert "compared by ratio" in seen.cause


def test_a_gauge_without_a_series_is_no_data() -> None:
    assert look(ArmSamples({"gauge": ()}), gauge("s", 1.0, 1.0)).status is Status.NO_DATA

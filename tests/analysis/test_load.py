"""Unequal load: what depends on it may not roll back alone, and the verdict says how it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analysis import (
    ArmSamples,
    Checkpoint,
    Context,
    Counts,
    Judgement,
    Metric,
    Outcome,
    Pair,
    Policy,
    Proportion,
    Reading,
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

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOOK = timedelta(seconds=60)
ERRORS = Metric("errors", Proportion("bad", "total"))
LATENCY = Metric("latency", Slo("buckets", (0.3,)))
BOTH = Policy((ERRORS, LATENCY))
SLOW, FINE = 0.3, 0.01


def at(minutes: int) -> datetime:
    return START + minutes * LOOK


def requests(canary: float, stable: float, total: tuple[int, int]) -> Pair:
    return Pair(Counts(canary * total[0], total[0]), Counts(stable * total[1], total[1]))


def played(
    policy: Policy, minutes: int, total: tuple[int, int], pods: tuple[int, int], **about: Any
) -> Checkpoint:
    """So many minutes of a canary whose latency is bad, at a split of requests over pods."""
    checkpoint = about.get("after") or begin_step(begin(policy, START), "1", START)
    for _ in range(minutes):
        for metric in policy.metrics:
            cut = checkpoint.cut(metric.name)
            bad = about.get(metric.name, SLOW if metric is LATENCY else FINE)
            reading = Reading(
                cut,
                cut + LOOK,
                Status.OK,
                (requests(bad, FINE, total),),
                pods=pods,
                pods_told=about.get("told", True),
            )
            checkpoint = fold(policy, checkpoint, metric.name, reading)
    return checkpoint


def judged(policy: Policy, checkpoint: Checkpoint) -> Judgement:
    return judge(policy, checkpoint, checkpoint.cut(policy.metrics[0].name))


ALIKE, LITTLE, MUCH = (400, 1200), (100, 1900), (1500, 500)


@pytest.mark.parametrize(
    ("total", "outcome"),
    [
        pytest.param(ALIKE, Outcome.WORSE, id="a canary pod gets as much as a stable pod"),
        pytest.param((830, 1170), Outcome.WORSE, id="a canary pod gets a little more than twice, by chance"),
        pytest.param(LITTLE, Outcome.UNDECIDED, id="a canary pod gets a fifth"),
        pytest.param(MUCH, Outcome.UNDECIDED, id="a canary pod gets nine times as much"),
    ],
)
def test_latency_rolls_back_alone_only_under_like_load(total: tuple[int, int], outcome: Outcome) -> None:
    judgement = judged(BOTH, played(BOTH, 5, total, (1, 3)))
    latency = judgement.metrics[1]
    assert judgement.outcome is outcome
    assert latency.unequal_load is (outcome is not Outcome.WORSE)
    assert ("unequal load" in latency.reason) is latency.unequal_load
    assert latency.load is not None
    assert latency.load == pytest.approx((total[0] / 60, total[1] / 180))


def test_under_unequal_load_latency_is_half_of_what_a_rollback_needs() -> None:
    """The other half must come from what load does not explain."""
    with_errors = played(BOTH, 5, LITTLE, (1, 3), errors=0.2)
    assert judged(BOTH, with_errors).outcome is Outcome.WORSE
    alone = judged(BOTH, played(BOTH, 5, LITTLE, (1, 3)))
    assert alone.metrics[1].harm_progress < 1


def test_errors_do_not_mind_the_load() -> None:
    judgement = judged(BOTH, played(BOTH, 5, LITTLE, (1, 3), errors=0.5, latency=FINE))
    assert (judgement.outcome, judgement.blamed) == (Outcome.WORSE, ("errors",))
    assert judgement.metrics[0].unequal_load is False


def test_what_was_mostly_seen_under_unequal_load_does_not_roll_back_as_soon_as_loads_are_alike() -> None:
    before = played(BOTH, 5, LITTLE, (1, 3))
    soon = played(BOTH, 1, ALIKE, (1, 3), after=begin_step(before, "2", at(5)), latency=FINE)
    assert not soon.load.outside
    assert judged(BOTH, soon).outcome is not Outcome.WORSE
    assert "unequal load until now" in judged(BOTH, soon).metrics[1].reason
    later = played(BOTH, 3, ALIKE, (1, 3), after=soon)
    assert judged(BOTH, later).outcome is Outcome.WORSE


def test_loads_that_nobody_tells_hold_nothing_back() -> None:
    checkpoint = played(BOTH, 5, LITTLE, (1, 1), told=False)
    judgement = judged(BOTH, checkpoint)
    assert (judgement.outcome, judgement.metrics[0].load) == (Outcome.WORSE, None)


def test_a_few_requests_tell_no_load() -> None:
    checkpoint = played(BOTH, 1, (1, 15), (1, 3))
    assert not checkpoint.load.unequal


def test_the_load_survives_a_restart() -> None:
    checkpoint = played(BOTH, 3, LITTLE, (1, 3))
    assert Checkpoint.from_json(checkpoint.to_json()) == checkpoint
    older = {key: value for key, value in checkpoint.to_json().items() if key != "load"}
    assert not Checkpoint.from_json(older).load.unequal


def counter(pod: str, service: str) -> Series:
    start = to_ms(START)
    samples = tuple((start + 15_000 * place, 100.0 * place) for place in range(5))
    return Series({"instance": pod, "pod": pod, "service": service}, samples)


@pytest.mark.parametrize(
    ("canary", "stable", "told", "pods"),
    [
        pytest.param(("c1",), ("s1", "s2", "s3"), None, (1, 3), id="each version's own pods"),
        pytest.param(("proxy",), ("proxy",), (1, 4), (1, 4), id="a proxy's series: as the cluster tells"),
        pytest.param(("proxy",), ("proxy",), None, None, id="a proxy's series, and nobody tells"),
        pytest.param(("",), ("",), (2, 8), (2, 8), id="series without pods: as the cluster tells"),
    ],
)
def test_whose_pods_carry_the_load(
    canary: tuple[str, ...],
    stable: tuple[str, ...],
    told: tuple[int, int] | None,
    pods: tuple[int, int] | None,
) -> None:
    arms = [
        ArmSamples({"total": tuple(counter(pod, arm) for pod in found), "bad": ()})
        for arm, found in (("canary", canary), ("stable", stable))
    ]
    samples = Samples(arms[0], arms[1], START - LOOK)
    reading = read(ERRORS, samples, START, at(1), Context(START - LOOK, pods=told))
    assert reading.status is Status.OK
    assert (reading.pods if reading.pods_told else None) == pods

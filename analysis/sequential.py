"""The tests as folds: a checkpoint and a reading give the next checkpoint.

Only what begins at a metric's cut is taken in, so that nothing is counted twice and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from analysis.betting import Bet
from analysis.blocks import Blocks
from analysis.evidence import Pair, to_datetime, to_ms
from analysis.histogram import NO_BUCKETS, Buckets
from analysis.metric import Histogram, Mean, Metric
from analysis.policy import Policy
from analysis.reading import Reading, Status
from analysis.routing import RouteTest
from analysis.shapes import SHAPES
from analysis.state import Checkpoint, MetricState, ShapeTest, Test
from analysis.updates import (
    MOST_KNOWN,
    blocks_updated,
    harm_line,
    margin_updated,
    shape_updated,
    stakes_of,
)

__all__ = ["Checkpoint", "NotAtCutError", "begin", "begin_step", "fold", "route", "skip"]

NOTE_LENGTH = 200


class NotAtCutError(ValueError):
    """A reading that does not begin at the metric's cut: folding it would count twice or leave a gap."""


def begin(policy: Policy, at: datetime, known: Mapping[str, Buckets] | None = None) -> Checkpoint:
    """The start of a rollout: nothing is counted, and nothing before `at` will be.

    known: by metric, stable's histogram before the rollout. It is what the first bets on a histogram are made
    from, and makes them better, not truer.
    """
    now = to_ms(at)
    metrics = {m.name: _opened(policy, m, now, (known or {}).get(m.name, NO_BUCKETS)) for m in policy.metrics}
    return Checkpoint(now, "", now, metrics)


def _opened(policy: Policy, metric: Metric, now: int, known: Buckets) -> MetricState:
    shape = None
    if isinstance(metric.kind, Histogram):
        scale = min(1.0, MOST_KNOWN / max(sum(known.stable), 1.0))
        none = (0.0,) * len(known.edges)
        shape = ShapeTest(
            Bet.opened(SHAPES, policy.late_share),
            Buckets(known.edges, none, none),
            tuple(float(round(count * scale)) for count in known.stable),
        )
    harmful, safe = stakes_of(metric)
    harm = Bet.opened(harmful, policy.late_share) if shape is None else None
    tests = (Test(harm, Bet.opened(safe)),) * len(metric.edges)
    blocks = Blocks(now) if isinstance(metric.kind, Mean) else None
    return MetricState(now, tests, status_since=now, shape=shape, blocks=blocks)


def begin_step(checkpoint: Checkpoint, step: str, at: datetime) -> Checkpoint:
    """Fresh safe evidence from `at` on, the instant the step's effect was observed.

    Harm evidence goes on. Does nothing where the step has begun already. Events of an interval that began
    before `at` speak for harm only.
    """
    if checkpoint.step == step:
        return checkpoint
    fresh = {
        name: replace(
            state,
            looks_in_step=0,
            tests=tuple(replace(test, safe=test.safe.anew(), in_step=Pair()) for test in state.tests),
            blocks=state.blocks and replace(state.blocks, in_step=0),
        )
        for name, state in checkpoint.metrics.items()
    }
    load = checkpoint.load.anew()
    return replace(checkpoint, step=step, step_since=to_ms(at), metrics=fresh, load=load)


def route(checkpoint: Checkpoint, weight: float | None, at: datetime) -> Checkpoint:
    """From `at` on the canary is to get this share of requests, 0 to 1; None: nobody says.

    What went where before is not held against it. Does nothing where that is its weight already.
    """
    if checkpoint.route is not None and checkpoint.route.weight == weight:
        return checkpoint
    split = weight is not None and 0 < weight < 1
    return replace(checkpoint, route=RouteTest.begun(weight, to_ms(at)) if weight and split else None)


def skip(checkpoint: Checkpoint, name: str, until: datetime) -> Checkpoint:
    """Give up the evidence up to `until` (not backwards): it will never be counted, for either side."""
    state = checkpoint.metrics[name]
    return _with(checkpoint, name, replace(state, cut=max(state.cut, to_ms(until))))


def fold(policy: Policy, checkpoint: Checkpoint, name: str, reading: Reading) -> Checkpoint:
    """Take in one reading, exactly once.

    Only an OK reading counts and moves the cut; any other is remembered as the state of the source.
    Raises NotAtCutError unless `reading.since` is the metric's cut, KeyError for an unknown metric.
    """
    metric, state = policy.metric(name), checkpoint.metrics[name]
    if to_ms(reading.since) != state.cut:
        raise NotAtCutError(f"{name}: read from {reading.since}, but the cut is {to_datetime(state.cut)}")
    looked = _looked(state, reading)
    if reading.status is not Status.OK:
        return _with(checkpoint, name, looked)
    until = to_ms(reading.until)
    if until <= state.cut or len(reading.counts) != len(state.tests):
        raise NotAtCutError(
            f"{name}: a reading of {len(reading.counts)} counts up to {reading.until} moves nothing"
        )
    if state.shape is not None and reading.buckets is None:
        raise NotAtCutError(f"{name}: a reading of a histogram without its buckets")
    in_step = state.cut >= checkpoint.step_since
    counted = replace(
        _counted(policy, metric, looked, reading, checkpoint.step_since),
        cut=until,
        looks=state.looks + 1,
        looks_in_step=state.looks_in_step + in_step,
    )
    return _with(_loaded(policy, _routed(policy, checkpoint, name, reading), name, reading), name, counted)


def _routed(policy: Policy, checkpoint: Checkpoint, name: str, reading: Reading) -> Checkpoint:
    """With the interval in the test of the route, where it began at the present weight."""
    test, share = checkpoint.route, policy.share
    if test is None or share is None or share.metric != name or to_ms(reading.since) < test.since:
        return checkpoint
    return replace(checkpoint, route=test.updated(share, reading.counts[0]))


def _loaded(policy: Policy, checkpoint: Checkpoint, name: str, reading: Reading) -> Checkpoint:
    """With the interval in what is known of the load, where it lies in this step and its pods were told."""
    since = to_ms(reading.since)
    if name != policy.load_by or not reading.pods_told or since < checkpoint.step_since:
        return checkpoint
    seconds = (to_ms(reading.until) - since) / 1000
    load = checkpoint.load.updated(reading.counts[0], reading.pods, seconds)
    return replace(checkpoint, load=load)


def _counted(
    policy: Policy, metric: Metric, state: MetricState, reading: Reading, step_since: int
) -> MetricState:
    """The state with the interval in its tests."""
    until = to_ms(reading.until)
    share = policy.late_share * (timedelta(milliseconds=until - state.cut) / policy.horizon)
    line = harm_line(policy, metric, reading)
    if state.blocks is not None:
        test, blocks = blocks_updated(
            state.tests[0], state.blocks, metric, line, reading.counts[0], until, share, step_since=step_since
        )
        return replace(state, tests=(test,), blocks=blocks)
    tests = tuple(
        margin_updated(test, metric, line, pair, share, in_step=state.cut >= step_since)
        for test, pair in zip(state.tests, reading.counts, strict=True)
    )
    if state.shape is None or reading.buckets is None:
        return replace(state, tests=tests)
    return replace(state, tests=tests, shape=shape_updated(state.shape, metric, reading.buckets, share))


def _with(checkpoint: Checkpoint, name: str, state: MetricState) -> Checkpoint:
    return replace(checkpoint, metrics={**checkpoint.metrics, name: state})


def _looked(state: MetricState, reading: Reading) -> MetricState:
    same = state.status is reading.status
    interval = state.interval if reading.interval is None else reading.interval // timedelta(milliseconds=1)
    return replace(
        state,
        status=reading.status,
        cause=reading.cause[:NOTE_LENGTH],
        status_since=state.status_since if same else to_ms(reading.until),
        note="; ".join(reading.notes)[:NOTE_LENGTH] or state.note,
        interval=interval,
        seen=state.seen if reading.seen is None else to_ms(reading.seen),
    )

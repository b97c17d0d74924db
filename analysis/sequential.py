"""The tests as folds: a checkpoint and a reading give the next checkpoint.

Only what begins at a metric's cut is taken in, so that nothing is counted twice and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from analysis.betting import Bet
from analysis.boundaries import HARM, SAFE, increments
from analysis.evidence import NO_EVENTS, Counts, Pair, to_datetime, to_ms
from analysis.histogram import NO_BUCKETS, Buckets, common_edges, rebinned
from analysis.interval import likelihood_added
from analysis.metric import Against, Direction, Histogram, Line, Metric, Rate
from analysis.pods import inflation
from analysis.policy import Policy
from analysis.reading import Reading, Status
from analysis.shapes import SHAPES, gains, shapes, shifted
from analysis.state import Checkpoint, MetricState, ShapeTest, Test

__all__ = ["Checkpoint", "NotAtCutError", "begin", "begin_step", "expected_rate", "facing", "fold", "skip"]

PRIOR_EVENTS = 0.1  # what the stable rate is guessed from before anything was counted:
PRIOR_SHARE = 0.001  # a tenth of a bad event in 100 requests,
PRIOR_PER_POD_HOUR = 0.1  # or in one pod-hour
NOTE_LENGTH = 200
MOST_KNOWN = 10_000  # requests of history: what is counted now soon outweighs them


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
    harm = Bet.opened(HARM, policy.late_share) if shape is None else None
    tests = (Test(harm, Bet.opened(SAFE)),) * len(metric.edges)
    return MetricState(now, tests, status_since=now, shape=shape)


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
            tests=tuple(replace(test, safe=Bet.opened(SAFE), in_step=Pair()) for test in state.tests),
        )
        for name, state in checkpoint.metrics.items()
    }
    return replace(checkpoint, step=step, step_since=to_ms(at), metrics=fresh)


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
    share = policy.late_share * (timedelta(milliseconds=until - state.cut) / policy.horizon)
    in_step = state.cut >= checkpoint.step_since
    line = _harm_line(policy, metric, reading)
    tests = tuple(
        _updated(test, metric, line, pair, share, in_step=in_step)
        for test, pair in zip(state.tests, reading.counts, strict=True)
    )
    shape = looked.shape
    if shape is not None:
        if reading.buckets is None:
            raise NotAtCutError(f"{name}: a reading of a histogram without its buckets")
        shape = _shaped(shape, metric, reading.buckets, share)
    counted = replace(
        looked,
        shape=shape,
        cut=until,
        tests=tests,
        looks=state.looks + 1,
        looks_in_step=state.looks_in_step + in_step,
    )
    return _with(checkpoint, name, counted)


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


def _harm_line(policy: Policy, metric: Metric, reading: Reading) -> Line:
    """The line of harm, raised by what the pods alone may do; the other half of alpha is for the bet."""
    if metric.dispersion.tau == 0:
        return metric.harm_line
    level = policy.alpha * policy.weights[metric.name] / (2 * len(metric.edges))
    return metric.harm_line.raised(inflation(metric.dispersion, level, *reading.pods, metric.against))


def _updated(test: Test, metric: Metric, line: Line, pair: Pair, share: float, *, in_step: bool) -> Test:
    sided = facing(metric, pair)
    rate, phi = expected_rate(metric, test), metric.dispersion.phi
    harm = test.harm
    if harm is not None:
        harm = harm.invested(share).updated(increments(HARM, line, sided, rate) / phi)
    counted, likelihood = test.counted + pair, likelihood_added(test.likelihood, pair)
    if not in_step:
        return replace(test, harm=harm, counted=counted, likelihood=likelihood)
    safe = test.safe.updated(increments(SAFE, metric.safe_line, sided, rate) / phi)
    return Test(harm, safe, counted, test.in_step + pair, likelihood)


def _shaped(shape: ShapeTest, metric: Metric, seen: Buckets, share: float) -> ShapeTest:
    """Bet on one interval by what was counted before it, on the edges that both have.

    A histogram that has no edge in common with what it was before is looked at as if it were new.
    """
    assert isinstance(metric.kind, Histogram)
    before, known = shape.counted, shape.known
    edges = common_edges((before.edges, seen.edges))
    if len(edges) < 2:
        edges, before, known = seen.edges, NO_BUCKETS, ()
    elif known:
        known = rebinned(known, before.edges, edges)
    seen = seen.on(edges)
    turned = metric.direction is Direction.DECREASE
    sided, past = (each.swapped() if turned else each for each in (seen, before))
    reference = np.zeros(len(edges)) if len(past.edges) < 2 else np.array(past.on(edges).stable)
    if known:
        reference = reference + np.array(known)
    shift = metric.kind.shift
    ratios = shapes(edges, shifted(reference, shift))
    gained = gains(ratios, np.array(sided.canary), shifted(np.array(sided.stable), shift))
    bet = shape.bet.invested(share).updated(gained / metric.dispersion.phi)
    counted = before + seen
    outweighed = sum(counted.stable) >= 10 * MOST_KNOWN
    return ShapeTest(bet, counted, () if outweighed else known)


def facing(metric: Metric, pair: Pair) -> Pair:
    """The arms as the bet takes them: where fewer events are harm, it is stable that has "too many".

    Against a limit there is no stable: there the events that did not happen are the bad ones.
    """
    if metric.against is Against.STABLE:
        return pair if metric.direction is Direction.INCREASE else pair.swapped()
    canary = pair.canary
    floor = metric.direction is Direction.DECREASE
    return Pair(Counts(canary.total - canary.bad, canary.total) if floor else canary, NO_EVENTS)


def expected_rate(metric: Metric, test: Test) -> float:
    """The rate of the arm that the other is held against, from what was counted before: it is predictable."""
    past = facing(metric, test.counted).stable
    prior = PRIOR_PER_POD_HOUR if isinstance(metric.kind, Rate) else PRIOR_SHARE
    return (past.bad + PRIOR_EVENTS) / (past.total + PRIOR_EVENTS / prior)

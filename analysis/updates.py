"""What one interval does to the evidence of a metric, by what kind it is of."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.special import betaln, expit

from analysis.betting import Array, Stakes
from analysis.blocks import LAMBDAS, Blocks, log_ratio
from analysis.blocks import gains as block_gains
from analysis.boundaries import HARM, SAFE, Number, increments
from analysis.evidence import NO_EVENTS, Counts, Pair
from analysis.histogram import NO_BUCKETS, Buckets, common_edges, rebinned
from analysis.interval import likelihood_added
from analysis.metric import Against, Direction, Histogram, Line, Mean, Metric, Rate
from analysis.pods import inflation
from analysis.policy import Policy
from analysis.reading import Reading
from analysis.shapes import gains as shape_gains
from analysis.shapes import shapes, shifted
from analysis.state import ShapeTest, Test

PRIOR_EVENTS = 0.1  # what the stable rate is guessed from before anything was counted:
PRIOR_SHARE = 0.001  # a tenth of a bad event in 100 requests,
PRIOR_PER_POD_HOUR = 0.1  # or in one pod-hour;
PRIOR_FREQUENT = 0.001  # and how likely the events are nothing rare: then any share is
MOST_KNOWN = 10_000  # requests of history: what is counted now soon outweighs them


def harm_line(policy: Policy, metric: Metric, reading: Reading) -> Line:
    """The line of harm, raised by what the pods alone may do; the other half of alpha is for the bet."""
    if metric.dispersion.tau == 0:
        return metric.harm_line
    level = policy.alpha * (policy.weights[metric.name] or 1.0) / (2 * len(metric.edges))
    return metric.harm_line.raised(inflation(metric.dispersion, level, *reading.pods, metric.against))


def margin_updated(
    test: Test, metric: Metric, line: Line, pair: Pair, share: float, *, in_step: bool
) -> Test:
    """Bet on one interval; one that began before the step speaks for harm only."""
    sided = facing(metric, pair)
    rate, phi = expected_rate(metric, test), metric.dispersion.phi
    blind = metric.against is Against.STABLE and facing(metric, test.counted).stable.total == 0
    taken = half if blind else np.asarray
    harm = test.harm
    if harm is not None:
        harm = harm.invested(share).updated(taken(increments(HARM, line, sided, rate) / phi))
    counted, likelihood = test.counted + pair, likelihood_added(test.likelihood, pair)
    if not in_step:
        return replace(test, harm=harm, counted=counted, likelihood=likelihood)
    safe = test.safe.updated(taken(increments(SAFE, metric.safe_line, sided, rate) / phi))
    return Test(harm, safe, counted, test.in_step + pair, likelihood)


def blocks_updated(
    test: Test,
    blocks: Blocks,
    metric: Metric,
    line: Line,
    pair: Pair,
    until: int,
    share: float,
    *,
    step_since: int,
) -> tuple[Test, Blocks]:
    """Gather one interval of a gauge, and bet on the block where it is full.

    A block that began before the step speaks for harm only; one in which an arm is missing, not at all.
    """
    assert isinstance(metric.kind, Mean)
    held = blocks.pending + pair
    counted = replace(test, harm=test.harm and test.harm.invested(share), counted=test.counted + pair)
    if until - blocks.since < metric.kind.block.total_seconds() * 1000:
        return counted, replace(blocks, pending=held)
    ratio, in_step = log_ratio(facing(metric, held)), blocks.since >= step_since
    following = blocks.closed(until, ratio, in_step=in_step)
    if ratio is None:
        return counted, following
    if in_step:
        counted = replace(counted, in_step=test.in_step + held)
    scale = metric.kind.scale or blocks.scale
    if scale is not None:
        counted = _block_bet(counted, metric, line, ratio, scale, in_step=in_step)
    return counted, following


def _block_bet(test: Test, metric: Metric, line: Line, ratio: float, scale: float, *, in_step: bool) -> Test:
    phi, harm, safe = metric.dispersion.phi, test.harm, test.safe
    if harm is not None:
        harm = harm.updated(block_gains(ratio - math.log(line.rho), scale) / phi)
    if in_step:
        safe = safe.updated(block_gains(math.log(metric.safe_line.rho) - ratio, scale) / phi)
    return replace(test, harm=harm, safe=safe)


def stakes_of(metric: Metric) -> tuple[Stakes, Stakes]:
    """What this metric's bets on harm and on safety are spread over."""
    return (LAMBDAS, LAMBDAS) if isinstance(metric.kind, Mean) else (HARM, SAFE)


def shape_updated(shape: ShapeTest, metric: Metric, seen: Buckets, share: float) -> ShapeTest:
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
    gained = shape_gains(ratios, np.array(sided.canary), shifted(np.array(sided.stable), shift))
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
    if isinstance(metric.kind, Rate):
        return (past.bad + PRIOR_EVENTS) / (past.total + PRIOR_EVENTS / PRIOR_PER_POD_HOUR)
    return float(expected_share(past.bad, past.total))


def expected_share(bad: Number, total: Number) -> Number:
    """The mean of a share of which `bad` of `total` were seen: it is rare, or, hardly likely, anything.

    Two beta priors, weighed by what they make of the counts: a few requests tell that events are frequent.
    """
    rare = (PRIOR_EVENTS, PRIOR_EVENTS / PRIOR_SHARE - PRIOR_EVENTS)
    odds = math.log(PRIOR_FREQUENT) + betaln(0.5 + bad, 0.5 + total - bad) - betaln(0.5, 0.5)
    odds = odds - betaln(rare[0] + bad, rare[1] + total - bad) + betaln(*rare)
    low, any_share = (rare[0] + bad) / (sum(rare) + total), (0.5 + bad) / (1.0 + total)
    mean: Number = low + expit(odds) * (any_share - low)
    return mean


def half(gained: Array) -> Array:
    """log M if half of each stake sits this interval out: stakes on a rate of which nothing is known yet."""
    return np.logaddexp(gained, 0.0) - math.log(2)

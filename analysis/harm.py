"""How strong the evidence of harm is: of a test, a metric, all metrics together; and whom it names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.load import sensitive
from analysis.metric import Direction, Histogram, Mean, Metric
from analysis.policy import Policy
from analysis.shapes import SHAPES, quantile
from analysis.state import Checkpoint, MetricState, ShapeTest, Test
from analysis.updates import facing, stakes_of


def log_e_harm(policy: Policy, checkpoint: Checkpoint) -> float:
    """Logarithm of the e-value that a rollback is decided by: the weighted mean of the metrics'."""
    return log_mean(policy.weights, harms(policy, checkpoint))


def harms(policy: Policy, checkpoint: Checkpoint) -> Mapping[str, float]:
    """Logarithm of each metric's e-value of harm.

    Under unequal load what depends on load may bring half of what a rollback needs, and no more: the other
    half must come from what does not.
    """
    logs = {m.name: _log_e_harm(policy, m, checkpoint.metrics[m.name]) for m in policy.metrics}
    if not checkpoint.load.unequal:
        return logs
    most = -math.log(2 * policy.alpha)
    return {m.name: min(logs[m.name], most) if sensitive(m) else logs[m.name] for m in policy.metrics}


def _log_e_harm(policy: Policy, metric: Metric, state: MetricState) -> float:
    """Mean over the metric's tests. Below `min_events` a test may speak for a canary but not against it.

    Where pods differ, half of the metric's alpha was given for that their difference is beyond what the line
    was raised by: half of the e-value is left.
    """
    if state.shape is not None:
        return _log_e_shape(policy, metric, state, state.shape)
    logs = []
    for test in state.tests:
        log_e = harm_of(metric, test)
        enough = isinstance(metric.kind, Mean) or _bad(metric, test) >= policy.min_events
        logs.append(log_e if enough else min(log_e, 0.0))
    left = 0.5 if metric.dispersion.tau > 0 else 1.0
    return log_mean(dict.fromkeys(range(len(logs)), left / len(logs)), dict(enumerate(logs)))


def _bad(metric: Metric, test: Test) -> float:
    return facing(metric, test.counted).canary.bad


def harm_of(metric: Metric, test: Test) -> float:
    """Logarithm of one test's e-value of harm; minus infinity where it has none."""
    return -math.inf if test.harm is None else test.harm.log_e(stakes_of(metric)[0])


def _log_e_shape(policy: Policy, metric: Metric, state: MetricState, shape: ShapeTest) -> float:
    """Of a histogram's shape; it speaks against a canary that is slower by more than is tolerated."""
    log_e = shape.bet.log_e(SHAPES)
    enough = sum(shape.counted.canary) >= policy.min_events
    return log_e if enough and _much_slower(metric, state, shape) else min(log_e, 0.0)


def _much_slower(metric: Metric, state: MetricState, shape: ShapeTest) -> bool:
    assert isinstance(metric.kind, Histogram)
    if metric.kind.shift:
        return True
    p99 = p99_of(shape)
    if p99 is not None:
        slow, fast = p99 if metric.direction is Direction.INCREASE else (p99[1], p99[0])
        if slow > (1 + metric.acceptable.relative) * fast:
            return True
    sides = [facing(metric, pair) for test in state.tests for pair in (test.counted, test.in_step)]
    return any(
        (side.canary.rate or 0.0) > metric.harm_line.at(side.stable.rate or 0.0)
        for side in sides
        if side.stable.total
    )


def p99_of(shape: ShapeTest | None) -> tuple[float, float] | None:
    """The 99th percentiles of canary and stable, interpolated; None where one has no request."""
    if shape is None or len(shape.counted.edges) < 2:
        return None
    edges = shape.counted.edges
    canary, stable = (
        quantile(edges, np.array(arm), 0.99) for arm in (shape.counted.canary, shape.counted.stable)
    )
    return None if canary is None or stable is None else (canary, stable)


def log_mean(weights: Mapping[Any, float], logs: Mapping[Any, float]) -> float:
    """Logarithm of the weighted mean of e-values: an e-value under any dependence (Vovk and Wang 2021)."""
    terms = [math.log(weight) + logs[key] for key, weight in weights.items() if weight > 0]
    if not terms:
        return -math.inf
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms)) if top > -math.inf else top


def blamed_by(weights: Mapping[str, float], logs: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """Closed testing of the weighted mean: names that hold with family-wise error alpha.

    Metric i is blamed iff v_i (E_i - 1/alpha) + sum over the others of min(0, v_j (E_j - 1/alpha)) >= 0: the
    intersection of i with any set of others rejects.
    """
    excess = {
        name: weight * math.expm1(min(logs[name] + math.log(alpha), 600.0))
        for name, weight in weights.items()
    }
    owed = sum(min(0.0, value) for value in excess.values())
    return tuple(
        name
        for name, value in excess.items()
        if weights[name] > 0 and value >= 0 and value + owed - min(0.0, value) >= 0
    )

"""What is shown of a metric, in numbers and in words."""

from __future__ import annotations

import math
from typing import Final

from analysis.blocks import mean_interval
from analysis.evidence import Counts, Pair
from analysis.harm import p99_of
from analysis.interval import limit_interval, ratio_interval
from analysis.metric import Against, Direction, Mean, Metric, Rate
from analysis.state import MetricState, Test
from analysis.updates import facing

CONFIDENCE: Final = 0.95  # of the interval


def described(metric: Metric, test: Test, interval: tuple[float, float]) -> str:
    """Both arms' counts, and the interval of their ratio."""
    pair = test.counted
    low, high = interval
    ratio = f"ratio {low:.2g} to {high:.2g}" if math.isfinite(high) else f"ratio at least {low:.2g}"
    shown = f", {ratio}" if low > 0 or math.isfinite(high) else ""
    return f"canary {_counts(metric, pair.canary)}, {_reference(metric, pair)}{shown}"


def percentiles(state: MetricState) -> str:
    """Of a histogram: both arms' 99th percentiles."""
    p99 = p99_of(state.shape)
    return "" if p99 is None else f", p99 {p99[0]:.3g} against {p99[1]:.3g}"


def _reference(metric: Metric, pair: Pair) -> str:
    if metric.against is Against.STABLE:
        return f"stable {_counts(metric, pair.stable)}"
    limit = metric.acceptable.absolute
    return f"limit {limit:.3g} an hour" if isinstance(metric.kind, Rate) else f"limit {100 * limit:.3g} %"


def _counts(metric: Metric, counts: Counts) -> str:
    if counts.rate is None:
        return "nothing counted"
    if isinstance(metric.kind, Mean):
        return f"{counts.rate:.4g} (mean of {counts.total:,.0f})"
    if isinstance(metric.kind, Rate):
        return f"{counts.bad:,.0f} in {counts.total:,.2f} pod-hours"
    return f"{100 * counts.rate:.2g} % ({counts.bad:,.0f} of {counts.total:,.0f})"


def interval_of(metric: Metric, state: MetricState, test: Test) -> tuple[float, float]:
    """A confidence sequence for the ratio of the arms, or of the canary to its limit."""
    level, phi = 1 - CONFIDENCE, metric.dispersion.phi
    if state.blocks is not None:
        blocks = state.blocks
        ends = mean_interval(blocks.number, blocks.total, blocks.squares, level, phi)
        low, high = (math.exp(end) for end in ends)
        return (low, high) if metric.direction is Direction.INCREASE else (1 / high, 1 / low)
    if metric.against is Against.STABLE:
        return ratio_interval(test.likelihood, test.counted.canary.bad, level, phi)
    line = metric.harm_line
    return limit_interval(
        facing(metric, test.counted).canary, line.delta, share=line.share, level=level, phi=phi
    )


def ratio_of(metric: Metric, pair: Pair) -> float | None:
    """The ratio of the arms' rates, or of the canary's to its limit; None where there is none."""
    if metric.against is Against.LIMIT:
        rate = facing(metric, pair).canary.rate
        return None if rate is None else rate / metric.harm_line.delta
    canary, stable = pair.canary.rate, pair.stable.rate
    return canary / stable if canary is not None and stable else None

"""From evidence to a judgement: worse, not worse, not enough evidence, or blind. No data is never a pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np

from analysis.blocks import mean_interval
from analysis.evidence import Counts, Pair, to_datetime
from analysis.interval import limit_interval, ratio_interval
from analysis.metric import Against, Direction, Histogram, Margin, Mean, Metric, Rate, Role
from analysis.policy import Policy
from analysis.reading import Status
from analysis.routing import RouteVerdict
from analysis.shapes import SHAPES, quantile
from analysis.state import Checkpoint, MetricState, ShapeTest, Test
from analysis.updates import facing, stakes_of

CONFIDENCE = 0.95  # of the interval that is shown


class Outcome(StrEnum):
    """What may be said, from good to bad; `severity` orders."""

    NOT_WORSE = "NotWorse"
    UNDECIDED = "Undecided"
    MISROUTED = "Misrouted"
    NO_DATA = "NoData"
    ERROR = "Error"
    WORSE = "Worse"

    @property
    def severity(self) -> int:
        """Place from good to bad."""
        return list(Outcome).index(self)


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """One metric as it stands. An SLO shows the edge that stands worst.

    counted: both arms over the rollout. in_step: over the present step. estimate: ratio of the arms' rates,
    None where it has none; biased towards the decision, so show the interval. Against a limit it is the ratio
    of the rate of bad events to the tolerated one. low, high: a confidence sequence for it (0 and inf where
    open). harm_progress, safe_progress: how far the evidence is towards each line, 0 to 1. p99: of a
    histogram, canary's and stable's 99th percentile, interpolated.
    """

    name: str
    role: Role
    outcome: Outcome
    reason: str
    counted: Pair
    in_step: Pair
    estimate: float | None
    low: float
    high: float
    tolerate: Margin
    unacceptable: Margin
    log_e_harm: float
    log_e_safe: float
    harm_progress: float
    safe_progress: float
    looks: int
    edge: float | None = None
    note: str = ""
    p99: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict over all metrics.

    outcome: WORSE (roll back), NOT_WORSE (this step may pass), UNDECIDED, MISROUTED (traffic does not go
    where it is sent: hold), or what blinds: NO_DATA or ERROR. route: the canary's share, where it is tested.
    blamed: the metrics that can be named for a rollback with the same error rate; empty if only all together
    can. log_e_harm: of the weighted mean, against log(1 / alpha).
    """

    outcome: Outcome
    reason: str
    blamed: tuple[str, ...]
    metrics: tuple[MetricVerdict, ...]
    log_e_harm: float
    route: RouteVerdict | None = None

    @property
    def blind(self) -> bool:
        """Whether a gate can't be read: hold, and let no clock run."""
        return self.outcome in (Outcome.NO_DATA, Outcome.ERROR)


def judge(
    policy: Policy,
    checkpoint: Checkpoint,
    at: datetime,
    *,
    active: frozenset[str] | None = None,
    min_duration: timedelta = timedelta(0),
) -> Judgement:
    """What the evidence allows to say at `at`; `active` names the metrics that gate this step (None: all).

    Worse: the weighted mean of the harm e-values of all that may roll back is at least 1 / alpha, whatever
    the present state of the source (Vovk and Wang 2021: a mean of e-values is one under any dependence). Not
    worse: each active guardrail and success metric has a fresh safe e-value of at least 1 / beta, is being
    read now, and the step is `min_duration` old.
    """
    harms, weights = _harms(policy, checkpoint), policy.weights
    combined = _log_mean(weights, harms)
    worse = combined >= -math.log(policy.alpha)
    blamed = _blamed(weights, harms, policy.alpha) if worse else ()
    metrics = tuple(
        _metric_verdict(policy, m, checkpoint, at, harms[m.name], m.name in blamed) for m in policy.metrics
    )
    gates = [
        verdict for verdict in metrics if verdict.role.gates and (active is None or verdict.name in active)
    ]
    outcome, reason = _outcome(worse, blamed, metrics, gates, _too_young(checkpoint, at, min_duration))
    route = _route(policy, checkpoint)
    if route is not None and route.misrouted and outcome.severity < Outcome.MISROUTED.severity:
        outcome, reason = Outcome.MISROUTED, route.reason
    return Judgement(outcome, reason, blamed, metrics, combined, route)


def log_e_harm(policy: Policy, checkpoint: Checkpoint) -> float:
    """Logarithm of the e-value that a rollback is decided by: the weighted mean of the metrics'."""
    return _log_mean(policy.weights, _harms(policy, checkpoint))


def _harms(policy: Policy, checkpoint: Checkpoint) -> Mapping[str, float]:
    return {m.name: _log_e_harm(policy, m, checkpoint.metrics[m.name]) for m in policy.metrics}


def _route(policy: Policy, checkpoint: Checkpoint) -> RouteVerdict | None:
    if policy.share is None or checkpoint.route is None:
        return None
    return checkpoint.route.verdict(policy.share)


def _outcome(
    worse: bool,
    blamed: Sequence[str],
    metrics: Sequence[MetricVerdict],
    gates: Sequence[MetricVerdict],
    young: str,
) -> tuple[Outcome, str]:
    if worse:
        named = [verdict.reason for verdict in metrics if verdict.name in blamed]
        return Outcome.WORSE, "; ".join(named) or "the guardrails together show harm, none of them alone"
    if not gates:
        return Outcome.UNDECIDED, "no guardrail is active in this step"
    worst = max(gates, key=lambda verdict: verdict.outcome.severity)
    if worst.outcome is not Outcome.NOT_WORSE:
        return worst.outcome, worst.reason
    return (Outcome.UNDECIDED, young) if young else (Outcome.NOT_WORSE, "; ".join(v.reason for v in gates))


def _too_young(checkpoint: Checkpoint, at: datetime, min_duration: timedelta) -> str:
    age = at - to_datetime(checkpoint.step_since)
    if age >= min_duration:
        return ""
    return f"not worse so far; the step is {_seconds(age)} old of at least {_seconds(min_duration)}"


def _log_e_harm(policy: Policy, metric: Metric, state: MetricState) -> float:
    """Mean over the metric's tests. Below `min_events` a test may speak for a canary but not against it.

    Where pods differ, half of the metric's alpha was given for that their difference is beyond what the line
    was raised by: half of the e-value is left.
    """
    if state.shape is not None:
        return _log_e_shape(policy, metric, state, state.shape)
    logs = []
    for test in state.tests:
        log_e = _harm(metric, test)
        enough = isinstance(metric.kind, Mean) or _bad(metric, test) >= policy.min_events
        logs.append(log_e if enough else min(log_e, 0.0))
    left = 0.5 if metric.dispersion.tau > 0 else 1.0
    return _log_mean(dict.fromkeys(range(len(logs)), left / len(logs)), dict(enumerate(logs)))


def _bad(metric: Metric, test: Test) -> float:
    return facing(metric, test.counted).canary.bad


def _harm(metric: Metric, test: Test) -> float:
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
    p99 = _p99(shape)
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


def _p99(shape: ShapeTest | None) -> tuple[float, float] | None:
    if shape is None or len(shape.counted.edges) < 2:
        return None
    edges = shape.counted.edges
    canary, stable = (
        quantile(edges, np.array(arm), 0.99) for arm in (shape.counted.canary, shape.counted.stable)
    )
    return None if canary is None or stable is None else (canary, stable)


def _log_mean(weights: Mapping[Any, float], logs: Mapping[Any, float]) -> float:
    terms = [math.log(weight) + logs[key] for key, weight in weights.items() if weight > 0]
    if not terms:
        return -math.inf
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms)) if top > -math.inf else top


def _blamed(weights: Mapping[str, float], logs: Mapping[str, float], alpha: float) -> tuple[str, ...]:
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


def _metric_verdict(
    policy: Policy, metric: Metric, checkpoint: Checkpoint, at: datetime, log_harm: float, blamed: bool
) -> MetricVerdict:
    state = checkpoint.metrics[metric.name]
    safes = [test.safe.log_e(stakes_of(metric)[1]) for test in state.tests]
    log_safe = min(safes)
    place = max(range(len(safes)), key=lambda i: (_harm(metric, state.tests[i]), -safes[i]))
    test = state.tests[place]
    low, high = _interval(metric, state, test)
    weight = policy.weights[metric.name] or 1.0
    worse = blamed or (metric.role is Role.WARN and log_harm >= -math.log(policy.alpha))
    outcome, reason = _metric_outcome(policy, metric, state, at, log_safe, worse, test, (low, high))
    return MetricVerdict(
        name=metric.name,
        role=metric.role,
        outcome=outcome,
        reason=f"{metric.name}: {reason}",
        counted=test.counted,
        in_step=test.in_step,
        estimate=_ratio(metric, test.counted),
        low=low,
        high=high,
        tolerate=metric.acceptable,
        unacceptable=metric.refusable,
        log_e_harm=log_harm,
        log_e_safe=log_safe,
        harm_progress=_progress(log_harm + math.log(weight), policy.alpha),
        safe_progress=_progress(log_safe, policy.beta),
        looks=state.looks,
        edge=metric.edges[place],
        note=state.note,
        p99=_p99(state.shape),
    )


def _metric_outcome(
    policy: Policy,
    metric: Metric,
    state: MetricState,
    at: datetime,
    log_safe: float,
    worse: bool,
    test: Test,
    interval: tuple[float, float],
) -> tuple[Outcome, str]:
    seen = _described(metric, test, interval) + _percentiles(state)
    because = f" ({state.cause})" if state.cause else ""
    if worse:
        return Outcome.WORSE, f"{seen}: worse than tolerated"
    match state.status:
        case Status.ERROR:
            return Outcome.ERROR, state.cause
        case Status.NO_DATA | Status.OUTAGE:
            return Outcome.NO_DATA, state.cause
        case _ if at - to_datetime(state.fresh) > _stale_after(policy, state):
            return Outcome.NO_DATA, f"nothing new since {to_datetime(state.fresh):%H:%M:%S} UTC{because}"
        case _ if log_safe >= -math.log(policy.beta):
            return Outcome.NOT_WORSE, f"{seen}: not worse than is acceptable"
        case _ if not state.looks_in_step:
            return Outcome.UNDECIDED, f"nothing counted in this step yet{because}"
        case _:
            return Outcome.UNDECIDED, f"{seen}: not enough evidence{because}"


def _stale_after(policy: Policy, state: MetricState) -> timedelta:
    """As the policy says, but never within a few scrapes."""
    return max(policy.stale_after, timedelta(milliseconds=6 * (state.interval or 0)))


def _described(metric: Metric, test: Test, interval: tuple[float, float]) -> str:
    pair = test.counted
    low, high = interval
    ratio = f"ratio {low:.2g} to {high:.2g}" if math.isfinite(high) else f"ratio at least {low:.2g}"
    shown = f", {ratio}" if low > 0 or math.isfinite(high) else ""
    return f"canary {_counts(metric, pair.canary)}, {_reference(metric, pair)}{shown}"


def _percentiles(state: MetricState) -> str:
    p99 = _p99(state.shape)
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


def _seconds(span: timedelta) -> str:
    return f"{max(span, timedelta(0)) // timedelta(seconds=1)} s"


def _interval(metric: Metric, state: MetricState, test: Test) -> tuple[float, float]:
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


def _ratio(metric: Metric, pair: Pair) -> float | None:
    if metric.against is Against.LIMIT:
        rate = facing(metric, pair).canary.rate
        return None if rate is None else rate / metric.harm_line.delta
    canary, stable = pair.canary.rate, pair.stable.rate
    return canary / stable if canary is not None and stable else None


def _progress(log_e: float, level: float) -> float:
    return min(1.0, max(0.0, log_e / -math.log(level)))

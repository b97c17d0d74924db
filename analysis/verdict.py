"""From evidence to a judgement: worse, not worse, not enough evidence, or blind. No data is never a pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from analysis.evidence import Pair, to_datetime
from analysis.harm import blamed_by, harm_of, harms, log_mean, p99_of
from analysis.load import Load, sensitive
from analysis.metric import Margin, Metric, Role
from analysis.policy import Policy
from analysis.reading import Status
from analysis.routing import RouteVerdict
from analysis.state import Checkpoint, MetricState, Test
from analysis.updates import stakes_of
from analysis.wording import described, interval_of, percentiles, ratio_of


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
    histogram, canary's and stable's 99th percentile, interpolated. load: requests a second of a canary pod
    and of a stable one, in this step. unequal_load: whether the metric may not roll back alone for it.
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
    load: tuple[float, float] | None = None
    unequal_load: bool = False


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
    logs, weights = harms(policy, checkpoint), policy.weights
    combined = log_mean(weights, logs)
    worse = combined >= -math.log(policy.alpha)
    blamed = blamed_by(weights, logs, policy.alpha) if worse else ()
    metrics = tuple(
        _metric_verdict(policy, m, checkpoint, at, logs[m.name], m.name in blamed) for m in policy.metrics
    )
    gates = [
        verdict for verdict in metrics if verdict.role.gates and (active is None or verdict.name in active)
    ]
    outcome, reason = _outcome(worse, blamed, metrics, gates, _too_young(checkpoint, at, min_duration))
    route = _route(policy, checkpoint)
    if route is not None and route.misrouted and outcome.severity < Outcome.MISROUTED.severity:
        outcome, reason = Outcome.MISROUTED, route.reason
    return Judgement(outcome, reason, blamed, metrics, combined, route)


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


def _metric_verdict(
    policy: Policy, metric: Metric, checkpoint: Checkpoint, at: datetime, log_harm: float, blamed: bool
) -> MetricVerdict:
    state = checkpoint.metrics[metric.name]
    safes = [test.safe.log_e(stakes_of(metric)[1]) for test in state.tests]
    log_safe = min(safes)
    place = max(range(len(safes)), key=lambda i: (harm_of(metric, state.tests[i]), -safes[i]))
    test = state.tests[place]
    low, high = interval_of(metric, state, test)
    weight = policy.weights[metric.name] or 1.0
    worse = blamed or (metric.role is Role.WARN and log_harm >= -math.log(policy.alpha))
    outcome, reason = _metric_outcome(policy, metric, state, at, log_safe, worse, test, (low, high))
    return MetricVerdict(
        name=metric.name,
        role=metric.role,
        outcome=outcome,
        reason=f"{metric.name}: {reason}{_unequal(metric, checkpoint.load)}",
        counted=test.counted,
        in_step=test.in_step,
        estimate=ratio_of(metric, test.counted),
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
        p99=p99_of(state.shape),
        load=checkpoint.load.per_pod,
        unequal_load=sensitive(metric) and checkpoint.load.unequal,
    )


def _unequal(metric: Metric, load: Load) -> str:
    """What has to be said where a metric that depends on load is not looked at under the same."""
    if not sensitive(metric) or not load.unequal:
        return ""
    if load.ratio is None or not load.outside:
        return "; unequal load until now: it may not roll back alone"
    return (
        f"; unequal load: a canary pod gets {load.ratio:.2g} times a stable pod's: it may not roll back alone"
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
    seen = described(metric, test, interval) + percentiles(state)
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


def _seconds(span: timedelta) -> str:
    return f"{max(span, timedelta(0)) // timedelta(seconds=1)} s"


def _progress(log_e: float, level: float) -> float:
    return min(1.0, max(0.0, log_e / -math.log(level)))

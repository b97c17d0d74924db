"""Whether a step that ended without a proof either way is at least compatible with a good canary."""

from __future__ import annotations

import math
from datetime import datetime

from analysis.boundaries import requests_at_even_odds
from analysis.evidence import Pair
from analysis.metric import Against, Mean, Metric, Role
from analysis.policy import Policy
from analysis.state import Checkpoint, MetricState, Test
from analysis.updates import expected_rate, facing
from analysis.verdict import MetricVerdict, Outcome, judge

SUSPICION = 5.0  # a harm e-value above which a canary is not compatible with a good one
BLOCKS_NEEDED = 8  # of a gauge, to find something with power one half
OVERSHOOT = 1.1  # what an e-value exceeds its threshold by when it crosses, in nats


def compatible(
    policy: Policy,
    checkpoint: Checkpoint,
    at: datetime,
    *,
    active: frozenset[str] | None = None,
    min_requests: float | None = None,
) -> tuple[str, ...]:
    """Why an inconclusive step is not compatible with a good canary; empty if it is (promoteIfCompatible).

    Compatible: each active guardrail was measured in this step, is being read, on at least `min_requests` of
    canary exposure (None: what a rollback at `unacceptable` needs with power 1/2), with its estimate inside
    `unacceptable`; and no guardrail's harm e-value exceeds 5.
    """
    judgement = judge(policy, checkpoint, at, active=active)
    reasons = []
    for metric, verdict in zip(policy.metrics, judgement.metrics, strict=True):
        if not metric.role.rolls_back:
            continue
        if verdict.log_e_harm > math.log(SUSPICION):
            reasons.append(f"{metric.name}: a harm e-value of {math.exp(min(verdict.log_e_harm, 600.0)):.3g}")
        if metric.role.gates and (active is None or metric.name in active):
            state = checkpoint.metrics[metric.name]
            reasons += _unmeasured(policy, metric, state, verdict, min_requests)
    if not any(m.role is Role.GUARDRAIL and (active is None or m.name in active) for m in policy.metrics):
        reasons.append("no guardrail is active in this step")
    return tuple(reasons)


def _unmeasured(
    policy: Policy, metric: Metric, state: MetricState, verdict: MetricVerdict, min_requests: float | None
) -> list[str]:
    if verdict.outcome in (Outcome.NO_DATA, Outcome.ERROR):
        return [verdict.reason]
    if state.blocks is not None and state.blocks.in_step < BLOCKS_NEEDED:
        return [f"{metric.name}: {state.blocks.in_step} blocks measured of {BLOCKS_NEEDED} needed"]
    reasons = []
    for test in state.tests:
        canary, stable = test.in_step.canary, test.in_step.stable
        asked = None if isinstance(metric.kind, Mean) else min_requests
        needed = asked if asked is not None else _requests_needed(policy, metric, test)
        alone = metric.against is Against.LIMIT
        if canary.rate is None or (stable.rate is None and not alone) or canary.total < needed:
            reasons.append(
                f"{metric.name}: {canary.total:,.0f} canary events measured of {needed:,.0f} needed"
            )
        elif not _inside(metric, test.in_step):
            reasons.append(f"{metric.name}: the estimate is not inside the unacceptable margin")
    return reasons


def _inside(metric: Metric, pair: Pair) -> bool:
    sided = facing(metric, pair)
    return (sided.canary.rate or 0.0) < metric.safe_line.at(sided.stable.rate or 0.0)


def _requests_needed(policy: Policy, metric: Metric, test: Test) -> float:
    if isinstance(metric.kind, Mean):
        return 0.0
    sided = facing(metric, test.in_step)
    alone = metric.against is Against.LIMIT
    if not (sided.canary.total and (sided.stable.total or alone)):
        return math.inf
    threshold = -math.log(policy.alpha * (1 - policy.late_share) * policy.weights[metric.name]) + OVERSHOOT
    ratio = 1.0 if alone else sided.canary.total / sided.stable.total
    rate = expected_rate(metric, test)
    first = requests_at_even_odds(metric.harm_line, metric.safe_line.at(rate), rate, ratio, threshold)
    return metric.dispersion.phi * first * test.in_step.canary.total / sided.canary.total

"""Between the API's words and the judge's: a run's spec to a policy, a judgement to evidence. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import isfinite

import analysis as judged
from analysis.compatibility import compatible
from analysis.evidence import Counts
from analysis.reading import Status
from analysis.sequential import Checkpoint
from analysis.verdict import Judgement, MetricVerdict, Outcome
from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRunSpec, MetricNoise
from rollout.api.compare import Compare, Histogram, LatencyUnit, Proportion, Rate
from rollout.api.margin import Margin, Scale, Unit
from rollout.api.measures import MAX_PHI, WARM_UP, Against, HarmBy, Mean, Role, Up
from rollout.api.status import EVIDENCE_LIMIT, MESSAGE_LIMIT_BYTES, ArmSamples, Counted, MetricEvidence
from rollout.measure import routing
from rollout.plan import evidence as heard

_PER_SECOND = {LatencyUnit.SECONDS: 1.0, LatencyUnit.MILLISECONDS: 1000.0}
SHORTEST_STALE = timedelta(seconds=10)
FIRST_SAMPLES = timedelta(seconds=30)
"""A target that is new to Prometheus shows up within this; until then its absence is no blindness."""


def policy_of(
    run: AnalysisRunSpec, checkpoint: Checkpoint | None = None, noise: Sequence[MetricNoise] = ()
) -> judged.Policy:
    """What a run judges by; `checkpoint` tells the scrape interval, by which readings grow stale, and `noise`
    is what a calibration found.

    Raises:
        InvalidPolicy: names the field.
    """
    default = judged.Policy(())
    seen = [checkpoint.scrape_interval(metric.name) for metric in run.compared] if checkpoint else []
    known = [interval for interval in seen if interval is not None]
    found = {each.metric: each for each in noise}
    return judged.Policy(
        metrics=tuple(_metric(metric, found.get(metric.name)) for metric in run.compared),
        alpha=run.false_rollback,
        beta=run.false_promotion,
        stale_after=max(SHORTEST_STALE, 4 * max(known)) if known else default.stale_after,
        share=routing.share_of(run),
    )


def _metric(metric: Metric, found: MetricNoise | None) -> judged.Metric:
    compare = metric.compare
    noise = found or compare.noise
    role = compare.role if noise.phi <= MAX_PHI else _DISARMED.get(compare.role, compare.role)
    return judged.Metric(
        name=metric.name,
        kind=_kind(compare),
        tolerate=_margin(compare.tolerate),
        unacceptable=_margin(compare.unacceptable),
        direction=judged.Direction(compare.direction.value),
        role=judged.Role(role.value),
        against=judged.Against(compare.against.value),
        dispersion=judged.Dispersion(noise.phi, noise.tau, noise.pods),
        warm_up=_warm_up(compare),
    )


_DISARMED = {Role.GUARDRAIL: Role.SUCCESS, Role.DETERIORATION: Role.WARN}
"""What is left of a role where a metric is too noisy to roll back by."""


def _kind(compare: Compare) -> judged.Kind:
    match compare.measured:
        case Proportion(bad=bad, total=total):
            return judged.Proportion(bad, total)
        case Histogram() as histogram:
            return _histogram(histogram, against=compare.against)
        case Rate(events=events):
            return judged.Rate(events)
        case Mean(gauge=gauge, block=block):
            return judged.Mean(gauge, block)
        case Up():
            return judged.Up()


def _histogram(histogram: Histogram, against: Against) -> judged.Histogram | judged.Slo:
    """By its whole shape, unless somebody said otherwise; without a control there is none to compare."""
    edges = tuple(edge.total_seconds() for edge in histogram.slo)
    per = _PER_SECOND[histogram.unit]
    if histogram.harm is HarmBy.SLO or against is Against.LIMIT:
        return judged.Slo(histogram.buckets, edges, per=per)
    return judged.Histogram(histogram.buckets, edges, per=per)


def _warm_up(compare: Compare) -> timedelta:
    if compare.warm_up is not None:
        return compare.warm_up
    return timedelta(0) if compare.proportion or compare.rate else WARM_UP


def _margin(margin: Margin | None) -> judged.Margin | None:
    if margin is None:
        return None
    return judged.Margin(margin.relative, margin.absolute.value if margin.absolute else 0.0)


def asked_at(metric: str) -> str:
    """The field of the Rollout's spec that asks a metric: `errors@3` is of step 3."""
    _, inline, step = metric.partition("@")
    return f"spec.strategy.canary.steps[{step}].analysis" if inline else "spec.strategy.canary.analysis"


def active_in(run: AnalysisRunSpec, step: str) -> frozenset[str]:
    """Metrics that gate: those of an inline step where `step` is its index as text, else the background's."""
    inline = frozenset(metric.name for metric in run.metrics if metric.name.endswith(f"@{step}"))
    return inline or frozenset(metric.name for metric in run.metrics if "@" not in metric.name)


def measured_in(run: AnalysisRunSpec, step: str) -> tuple[Metric, ...]:
    """Metrics that are read now: the background's always, an inline step's while it lasts."""
    return tuple(
        metric for metric in run.compared if "@" not in metric.name or metric.name.endswith(f"@{step}")
    )


def hear(
    judgement: Judgement,
    policy: judged.Policy,
    checkpoint: Checkpoint,
    active: frozenset[str],
    run: AnalysisRunSpec,
    now: datetime,
) -> heard.Evidence:
    """The judgement as the planner hears it."""
    outcome = _outcome(judgement, policy, checkpoint, active, now)
    share, elsewhere = routing.sent(judgement)
    inconclusive = outcome in (heard.Outcome.UNDECIDED, heard.Outcome.BLIND)
    problems = [
        f"{asked_at(verdict.name)}: metric {verdict.reason} (mend it in its AnalysisTemplate)"
        for verdict in judgement.metrics
        if verdict.outcome is Outcome.ERROR and verdict.name in active
    ]
    return heard.Evidence(
        outcome=outcome,
        reason=elsewhere if outcome is heard.Outcome.MISROUTED else judgement.reason[:MESSAGE_LIMIT_BYTES],
        share=share,
        routing=elsewhere,
        step_key=checkpoint.step,
        compatible=inconclusive and not compatible(policy, checkpoint, now, active=active),
        metrics=shown(judgement, run),
        decided_at=max((checkpoint.cut(name) for name in active), default=None),
        problems=tuple(problems),
    )


def shown(judgement: Judgement, run: AnalysisRunSpec) -> tuple[MetricEvidence, ...]:
    """What is written to status for each metric, at most as many as status may hold."""
    queries = {metric.name: metric for metric in run.compared}
    return tuple(_shown(verdict, queries[verdict.name]) for verdict in judgement.metrics)[:EVIDENCE_LIMIT]


def _outcome(
    judgement: Judgement,
    policy: judged.Policy,
    checkpoint: Checkpoint,
    active: frozenset[str],
    now: datetime,
) -> heard.Outcome:
    match judgement.outcome:
        case Outcome.WORSE:
            return heard.Outcome.WORSE
        case Outcome.NOT_WORSE:
            return heard.Outcome.NOT_WORSE
        case Outcome.NO_DATA if _waits_for_first_samples(checkpoint, active, now):
            return heard.Outcome.UNDECIDED
        case Outcome.NO_DATA | Outcome.ERROR:
            return heard.Outcome.BLIND
        case Outcome.MISROUTED:
            return heard.Outcome.MISROUTED
        case Outcome.UNDECIDED if not any(policy.metric(name).role.gates for name in active):
            return heard.Outcome.NOT_WORSE  # what needs no proof holds nobody up
        case Outcome.UNDECIDED:
            return heard.Outcome.UNDECIDED


def _waits_for_first_samples(checkpoint: Checkpoint, active: frozenset[str], now: datetime) -> bool:
    began = min((checkpoint.cut(name) for name in active), default=now)
    states = [checkpoint.metrics[name] for name in active]
    # A source that is away is no new target: what it can't say is not awaited but missed.
    fresh = all(state.looks == 0 and state.status is not Status.OUTAGE for state in states)
    return fresh and now - began < FIRST_SAMPLES


def _shown(verdict: MetricVerdict, metric: Metric) -> MetricEvidence:
    return MetricEvidence(
        metric=verdict.name,
        verdict=str(verdict.outcome),
        reason=verdict.reason[:MESSAGE_LIMIT_BYTES],
        counted=_COUNTED.get(metric.compare.scale, Counted.SHARE),
        canary=_samples(verdict.counted.canary, verdict.load and verdict.load[0]),
        stable=_samples(verdict.counted.stable, verdict.load and verdict.load[1]),
        unequal_load=verdict.unequal_load,
        ratio=_finite(verdict.estimate),
        ratio_low=_finite(verdict.low),
        ratio_high=_finite(verdict.high),
        tolerate=_margin_text(verdict.tolerate, verdict.edge, metric),
        unacceptable=_margin_text(verdict.unacceptable, verdict.edge, metric),
        worse_progress=round(verdict.harm_progress, 3),
        fine_progress=round(verdict.safe_progress, 3),
        query=_query(metric)[:MESSAGE_LIMIT_BYTES],
    )


def _samples(counts: Counts, per_pod: float | None) -> ArmSamples:
    return ArmSamples(bad=counts.bad, total=round(counts.total, 6), per_pod=_finite(per_pod))


def _finite(value: float | None) -> float | None:
    return float(f"{value:.4g}") if value is not None and isfinite(value) else None


_COUNTED = {Scale.RATE: Counted.RATE, Scale.RATIO: Counted.MEAN}


def _margin_text(margin: judged.Margin, edge: float | None, metric: Metric) -> str:
    unit = metric.compare.scale.unit
    beyond = f" over {edge:g} s" if edge is not None else ""
    absolute = f"{margin.absolute * (100 if unit is Unit.POINTS else 1):g}{unit}"
    if metric.compare.against is Against.LIMIT:
        return f"limit {absolute}{beyond}"
    relative = f"{100 * margin.relative:g}%"
    return f"{relative} + {absolute}{beyond}" if unit is not None else relative


def _query(metric: Metric) -> str:
    compare = metric.compare
    texts = " ; ".join(text for path, text in compare.selectors if ".arms." not in path) or "up"
    return f"{texts} | canary {{{compare.arms.canary}}} | stable {{{compare.arms.stable}}}"

"""How noisy a run's metrics are by themselves: asked of stable's recorded history before the first look.

The first look waits for it, but no longer than `PATIENCE` a metric. What can't be told is said, and is judged
as if there were no noise.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from analysis.calibration import Calibration, calibrate
from analysis.evidence import Series
from analysis.history import pod_histories
from analysis.metric import Mean
from analysis.metric import Metric as Judged
from analysis.policy import Policy
from analysis.reading import ArmSamples, Context
from analysis.sources import Source
from analysis.sources.recorded import joined
from analysis.sources.selector import Matcher, Selector, literal, parse_matchers
from analysis.sources.taking import QueryRefusedError, SourceDownError, selectors
from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRunSpec, MetricNoise
from rollout.api.measures import Against
from rollout.api.status import MetricEvidence
from rollout.measure.access import ServerSource

PATIENCE = timedelta(minutes=2)
CHUNK = timedelta(hours=1)
INTERVAL = timedelta(minutes=1)
"""Between the looks of a replay: often enough to peek, seldom enough to replay many windows in seconds."""
WINDOWS = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What is calibrated: by how much history before when, with so many canary pods."""

    history: timedelta
    before: datetime
    canary_pods: int


async def calibrated(
    source_of: ServerSource, run: AnalysisRunSpec, policy: Policy, asked: Asked
) -> tuple[MetricNoise, ...]:
    """The noise of each metric that says none itself. Raises nothing."""
    wanted = [metric for metric in run.compared if _tellable(metric)]
    return tuple([await _patiently(source_of, metric, policy, asked) for metric in wanted])


def told(shown: tuple[MetricEvidence, ...], noise: Sequence[MetricNoise]) -> tuple[MetricEvidence, ...]:
    """What is shown of each metric, with what its calibration found."""
    reports = {each.metric: each.report for each in noise}
    return tuple(
        each.model_copy(update={"noise": reports[each.metric]}) if each.metric in reports else each
        for each in shown
    )


def read_noise(status: Mapping[str, Any]) -> tuple[MetricNoise, ...] | None:
    """What an AnalysisRun's status says; None where nothing was calibrated yet. Raises ValueError."""
    written = status.get("noise")
    return None if written is None else tuple(MetricNoise.model_validate(each) for each in written)


def _tellable(metric: Metric) -> bool:
    """Whether stable can be held against stable, and nobody said how noisy it is."""
    noise = metric.compare.noise
    return metric.compare.against is Against.STABLE and noise.phi == 1 and noise.tau == 0


async def _patiently(source_of: ServerSource, metric: Metric, policy: Policy, asked: Asked) -> MetricNoise:
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            source = source_of(metric.provider.prometheus)
            found = await _calibration(source, metric, policy, asked)
    except (QueryRefusedError, SourceDownError, ValueError, TimeoutError) as why:
        reason = str(why) or f"no answer within {PATIENCE.seconds} s"
        return MetricNoise(metric=metric.name, report=f"{metric.name}: not calibrated: {reason}")
    return MetricNoise(metric=metric.name, phi=found.phi, tau=found.tau, pods=found.pods, report=found.report)


async def _calibration(source: Source, metric: Metric, policy: Policy, asked: Asked) -> Calibration:
    judged, arms = policy.metric(metric.name), metric.compare.arms
    stable = await _recorded(source, judged, parse_matchers(arms.stable or ""), asked)
    first = _first(stable, asked)
    every = int((asked.before - first) / INTERVAL)
    instants = [first + INTERVAL * place for place in range(every + 1)]
    if every < 2:
        return Calibration(metric.name, 0, 0, 0, 1.0, 1.0, 0.0, 0)
    context = Context(began=asked.before, interval=INTERVAL)
    return await asyncio.to_thread(_replayed, policy, judged, stable, instants, context, asked.canary_pods)


def _replayed(
    policy: Policy,
    metric: Judged,
    stable: ArmSamples,
    instants: Sequence[datetime],
    context: Context,
    canary_pods: int,
) -> Calibration:
    history = pod_histories(metric, stable, instants, context)
    interval = metric.kind.block if isinstance(metric.kind, Mean) else INTERVAL
    return calibrate(policy, metric.name, history, max(interval, INTERVAL), canary_pods, WINDOWS)


def _first(stable: ArmSamples, asked: Asked) -> datetime:
    """Where the history begins: as far back as asked, or where the samples begin."""
    since = asked.before - asked.history
    starts = [one.samples[0][0] / 1000 for one in stable.every if one.samples]
    began = datetime.fromtimestamp(min(starts), tz=since.tzinfo) if starts else asked.before
    return max(since, began)


_TARGETS = {
    "up": Selector("", (Matcher("__name__", "=", literal("up")),)),
    "starts": Selector("", (Matcher("__name__", "=", literal("process_start_time_seconds")),)),
}


async def _recorded(source: Source, metric: Judged, arm: tuple[Matcher, ...], asked: Asked) -> ArmSamples:
    """All that stable's series showed, asked for in parts that a server answers."""
    wanted = {key: selector.narrowed(*arm) for key, selector in selectors(metric).items()}
    targets = {key: selector.narrowed(*arm) for key, selector in _TARGETS.items()}
    found = {key: await _chunks(source, each, asked) for key, each in (wanted | targets).items()}
    up, starts = found.pop("up"), found.pop("starts")
    return ArmSamples(found, up, starts)


async def _chunks(source: Source, selector: Selector, asked: Asked) -> tuple[Series, ...]:
    parts: list[Series] = []
    ends = asked.before
    while ends > asked.before - asked.history:
        parts += await source.query(str(selector), ends, min(CHUNK, ends - (asked.before - asked.history)))
        ends -= CHUNK
    return joined(parts)

"""What the stable version did lately, as its plan needs it: requests a minute, and each metric's rate."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from analysis.metric import Rate
from analysis.policy import Policy
from analysis.sources.recent import Recent, recent
from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.measure.access import ServerSource

WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Lately:
    """requests: in a minute, to both versions together; None where no metric told. rates: by metric.
    unknown: by metric, why its rate is not known.
    """

    requests: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)


async def lately(
    source_of: ServerSource,
    run: AnalysisRunSpec,
    policy: Policy,
    at: datetime,
    window: timedelta = WINDOW,
) -> Lately:
    """What a run's metrics counted in the `window` before `at`; placeholders of the run are filled in.

    Requests are those of the first metric that counts what the route splits. Raises SourceDownError.
    """
    # What an inline step asks again is the same question.
    first = {metric.name.partition("@")[0]: metric for metric in reversed(run.compared)}
    answers = await asyncio.gather(
        *(_recent(source_of, metric, policy, at, window) for metric in first.values())
    )
    told = dict(zip(first, answers, strict=True))
    rates: dict[str, float] = {}
    unknown: dict[str, str] = {}
    for metric in run.compared:
        answer = told[metric.name.partition("@")[0]]
        if answer.rate is not None:
            rates[metric.name] = answer.rate
        if answer.why:
            unknown[metric.name] = answer.why
    return Lately(_requests(run, policy, rates, told), rates, unknown)


async def _recent(
    source_of: ServerSource, metric: Metric, policy: Policy, at: datetime, window: timedelta
) -> Recent:
    arms = metric.compare.arms
    assert arms.stable is not None, "arms of a run are explicit"
    assert arms.canary is not None, "arms of a run are explicit"
    others = () if arms.canary == arms.stable else (arms.canary,)
    source = source_of(metric.provider.prometheus)
    return await recent(source, policy.metric(metric.name), arms.stable, others, at, window)


def _requests(
    run: AnalysisRunSpec, policy: Policy, rates: Mapping[str, float], told: Mapping[str, Recent]
) -> float | None:
    counting = [
        metric
        for metric in run.compared
        if metric.name in rates and not isinstance(policy.metric(metric.name).kind, Rate)
    ]
    chosen = next((metric for metric in counting if metric.compare.routed), next(iter(counting), None))
    return told[chosen.name.partition("@")[0]].events if chosen is not None else None

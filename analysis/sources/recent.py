"""What an arm did lately, for plans: by `increase`, which is near enough to plan by and is no evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis.metric import Histogram, Mean, Metric, Proportion, Rate, Slo, Up
from analysis.sources.selector import Matcher, Selector, SelectorError, parse_matchers, parse_selector
from analysis.sources.taking import QueryRefusedError, Source

HOUR = timedelta(hours=1)
STEPS = 240
"""Moments of a window at which it is asked who was there."""
FEWEST_STEPS = 4
"""Of those must have been watched: what less time shows is chance."""
LARGEST_SHARE = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Recent:
    """What one metric counted in a window.

    events: in a minute, of all arms; None where too little of the window was watched. rate: of the stable
    arm, a share beyond the first edge or of bad events, or events a pod-hour; None where `why` says why.
    """

    metric: str
    events: float | None = None
    rate: float | None = None
    why: str = ""


async def recent(
    source: Source, metric: Metric, stable: str, others: Sequence[str], at: datetime, window: timedelta
) -> Recent:
    """What `metric` counted in the `window` before `at`; `stable` and `others` are the arms' matchers.

    An arm that is given twice is counted once. Raises SourceDownError.
    """
    try:
        return await _recent(source, metric, stable, others, at, window)
    except (SelectorError, QueryRefusedError) as refusal:
        return Recent(metric.name, why=str(refusal))


async def _recent(
    source: Source, metric: Metric, stable: str, others: Sequence[str], at: datetime, window: timedelta
) -> Recent:
    arm = parse_matchers(stable)
    match metric.kind:
        case Proportion(bad=bad, total=total):
            asked = parse_selector(total)
            whole = await _increase(source, asked, arm, at, window)
            part = await _increase(source, parse_selector(bad), arm, at, window)
        case Slo(buckets=buckets, edges=edges, per=per) | Histogram(buckets=buckets, edges=edges, per=per):
            asked = parse_selector(buckets).narrowed(Matcher("le", "=", '"+Inf"'))
            whole = await _increase(source, asked, arm, at, window)
            below = await _below(source, parse_selector(buckets), arm, edges[0] * per, at, window)
            if whole and below is None:
                return Recent(metric.name, why=f"{buckets} has no edge at {edges[0]:g}")
            part = whole - (below or 0.0)
        case Rate(events=events):
            return await _rate(source, metric.name, parse_selector(events), arm, at, window)
        case Mean() | Up():
            return Recent(metric.name, why="its evidence is not planned by counts")
    if not whole > 0:
        named = asked.narrowed(*arm)
        return Recent(metric.name, why=f"nothing was counted by {named} in {_text(window)}")
    share = min(max(part / whole, 0.0), LARGEST_SHARE)
    watched = await _watched(source, f"clamp_max(count({asked.narrowed(*arm)}), 1)", at, window)
    if watched is None:
        return Recent(
            metric.name,
            rate=share,
            why=f"there is less than {_text(FEWEST_STEPS * _step(window))} of history",
        )
    every = [whole, *[await _increase(source, asked, parse_matchers(o), at, window) for o in others]]
    return Recent(metric.name, math.fsum(every) / (watched / timedelta(minutes=1)), share)


async def _rate(
    source: Source, name: str, events: Selector, arm: tuple[Matcher, ...], at: datetime, window: timedelta
) -> Recent:
    """Series are counted moment by moment: a pod that came later was exposed for less."""
    selector = events.narrowed(*arm)
    exposed = await _watched(source, f"count({selector})", at, window)
    if exposed is None:
        return Recent(name, why=f"there was hardly a series of {selector} in {_text(window)}")
    return Recent(name, rate=await _increase(source, events, arm, at, window) / (exposed / HOUR))


async def _watched(source: Source, what: str, at: datetime, window: timedelta) -> timedelta | None:
    """How long, times how often, something was there; None for hardly ever."""
    step = _step(window)
    seen = await _number(source, f"sum_over_time({what}[{_text(window)}:{_text(step)}])", at)
    return seen * step if seen >= FEWEST_STEPS else None


def _step(window: timedelta) -> timedelta:
    return timedelta(seconds=max(round(window.total_seconds() / STEPS), 1))


async def _increase(
    source: Source, selector: Selector, arm: tuple[Matcher, ...], at: datetime, window: timedelta
) -> float:
    return await _number(source, f"sum(increase({selector.narrowed(*arm)}[{_text(window)}]))", at)


async def _below(
    source: Source,
    buckets: Selector,
    arm: tuple[Matcher, ...],
    edge: float,
    at: datetime,
    window: timedelta,
) -> float | None:
    """Events up to an edge, in the exporter's unit; None where the histogram has no such edge."""
    asked = f"sum by (le) (increase({buckets.narrowed(*arm)}[{_text(window)}]))"
    for labels, value in await source.instant(asked, at):
        if math.isclose(float(labels.get("le", "nan")), edge):
            return value
    return None


async def _number(source: Source, expression: str, at: datetime) -> float:
    """The sum that an expression comes to; 0 where nothing is there."""
    found = [value for _, value in await source.instant(expression, at) if math.isfinite(value)]
    return math.fsum(found)


def _text(duration: timedelta) -> str:
    return f"{max(round(duration.total_seconds()), 1)}s"

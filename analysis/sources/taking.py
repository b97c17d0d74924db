"""One look: ask a source for both arms' raw samples and read them; say what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from analysis.evidence import Labels, Series, to_ms
from analysis.metric import Histogram, Mean, Metric, Proportion, Rate, Slo, Up
from analysis.reading import ArmSamples, Context, Reading, Samples, Status, lookback, read
from analysis.sources.selector import (
    Matcher,
    Selector,
    SelectorError,
    bucket_matcher,
    literal,
    parse_matchers,
    parse_selector,
)

FEW_SCRAPES = 4
"""Before the cut, where nothing is amiss: a value from there is found though three scrapes failed."""
PROCESS_START = "process_start_time_seconds"
TARGETS = Selector("", (Matcher("__name__", "=~", literal(f"up|{PROCESS_START}")),))


class QueryRefusedError(Exception):
    """The source understood and said no, or answered with something else: someone must mend the question.

    why: in the source's words, without the query. too_much: a question about less might be answered.
    """

    def __init__(self, text: str, *, why: str = "", too_much: bool = False) -> None:
        super().__init__(text)
        self.why = why or text
        self.too_much = too_much


class PartialAnswerError(QueryRefusedError):
    """The source itself says that data is missing from its answer."""


class SourceDownError(Exception):
    """No answer: unreachable, too slow or failing. It mends itself, or by someone who mends the source."""


class Source(Protocol):
    """What answers queries. Both raise the errors above."""

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """Raw samples of all matching series in `(at - span, at]`."""

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """An instant vector."""


@runtime_checkable
class ArmSource(Source, Protocol):
    """A source that is told the arm apart from the metric, so that it may ask for several arms at once."""

    async def query_arm(
        self, selector: Selector, arm: tuple[Matcher, ...], at: datetime, span: timedelta
    ) -> tuple[Series, ...]:
        """Raw samples in `(at - span, at]` of all series that match the selector and the arm."""


@dataclass(frozen=True, slots=True)
class Arms:
    """The label matchers that tell the arms apart, as `label="value",...`; see `pods_matchers`."""

    canary: str
    stable: str


def selectors(metric: Metric) -> Mapping[str, Selector]:
    """What is counted, by key. Raises SelectorError."""
    match metric.kind:
        case Proportion(bad=bad, total=total):
            return {"bad": parse_selector(bad), "total": parse_selector(total)}
        case Slo(buckets=buckets, edges=edges, per=per):
            return {"buckets": parse_selector(buckets).narrowed(bucket_matcher(edges, per))}
        case Histogram(buckets=buckets):
            return {"buckets": parse_selector(buckets)}
        case Rate(events=events):
            return {"events": parse_selector(events)}
        case Mean(gauge=gauge):
            return {"gauge": parse_selector(gauge)}
        case Up():
            return {}


def validate(metric: Metric, arms: Arms) -> None:
    """Raises SelectorError for a selector or a matcher that can't be used."""
    selectors(metric)
    parse_matchers(arms.canary)
    parse_matchers(arms.stable)


async def take(
    source: Source,
    metric: Metric,
    arms: Arms,
    cut: datetime,
    until: datetime,
    context: Context,
    scraped: timedelta | None = None,
) -> Reading:
    """Read `(cut, until]`, or as much of it as every live target's scrapes cover. Raises nothing.

    `until` is now, less what the storage needs to show all targets' samples alike (nothing for Prometheus
    itself; 60 to 120 s for some remote storages). `scraped`: the scrape interval as it was seen before; the
    answers are then smaller, and the reading is the same.
    """
    try:
        return await _take(source, metric, arms, cut, until, context, scraped)
    except (SelectorError, QueryRefusedError) as refusal:
        return Reading(cut, cut, Status.ERROR, cause=str(refusal))
    except SourceDownError as outage:
        return Reading(cut, cut, Status.OUTAGE, cause=str(outage))


async def _take(
    source: Source,
    metric: Metric,
    arms: Arms,
    cut: datetime,
    until: datetime,
    context: Context,
    scraped: timedelta | None,
) -> Reading:
    wanted = selectors(metric)
    if until <= cut:
        return Reading(cut, cut, Status.WAITING, cause="the clock stands before the last look")
    new, before = min(until - cut, context.reach), lookback(context.interval)
    if isinstance(metric.kind, Up):  # whether a target is new is told by when it wasn't there
        before, scraped = max(before, metric.warm_up + FEW_SCRAPES * context.interval), None
    matchers = (parse_matchers(arms.canary), parse_matchers(arms.stable))
    span = new + before if scraped is None else new + min(FEW_SCRAPES * scraped, before)
    canary, stable = await _both(source, wanted, matchers, until, span)
    if span < new + before and not (_reaches(canary, cut) and _reaches(stable, cut)):
        span = new + before
        canary, stable = await _both(source, wanted, matchers, until, span)
    reading = read(metric, Samples(canary, stable, until - span), cut, until, context)
    labels = sorted({matcher.label for arm in matchers for matcher in arm})
    doubt = await _doubt(source, wanted, canary, stable, until, labels)
    if doubt and reading.status in (Status.OK, Status.WAITING, Status.NO_DATA):
        return Reading(cut, cut, Status.NO_DATA, cause=doubt, interval=reading.interval)
    return reading


def _reaches(arm: ArmSamples, cut: datetime) -> bool:
    """Whether every series is known from before the cut, and none that there should be is missing: then no
    older sample could change what is read.
    """
    at = to_ms(cut)
    every = (*arm.every, *arm.up, *arm.starts)
    complete = all(found for key, found in arm.series.items() if key != "bad")
    return complete and all(one.samples[0][0] <= at for one in every)


async def _both(
    source: Source,
    wanted: Mapping[str, Selector],
    arms: tuple[tuple[Matcher, ...], tuple[Matcher, ...]],
    until: datetime,
    span: timedelta,
) -> tuple[ArmSamples, ArmSamples]:
    canary, stable = await asyncio.gather(*(_arm(source, wanted, arm, until, span) for arm in arms))
    return canary, stable


async def _arm(
    source: Source, wanted: Mapping[str, Selector], arm: tuple[Matcher, ...], until: datetime, span: timedelta
) -> ArmSamples:
    asked = [*wanted.values(), TARGETS]
    answers = await asyncio.gather(*(_query(source, one, arm, until, span) for one in asked))
    targets = answers[-1]
    return ArmSamples(
        series=dict(zip(wanted, answers[:-1], strict=True)),
        up=tuple(one for one in targets if one.labels.get("__name__") == "up"),
        starts=tuple(one for one in targets if one.labels.get("__name__") == PROCESS_START),
    )


async def _query(
    source: Source, selector: Selector, arm: tuple[Matcher, ...], at: datetime, span: timedelta
) -> tuple[Series, ...]:
    if isinstance(source, ArmSource):
        return await source.query_arm(selector, arm, at, span)
    return await source.query(str(selector.narrowed(*arm)), at, span)


async def _doubt(
    source: Source,
    wanted: Mapping[str, Selector],
    canary: ArmSamples,
    stable: ArmSamples,
    at: datetime,
    labels: Sequence[str],
) -> str:
    """Why nothing came back for a selector in either arm, where that isn't simply "it did not happen yet";
    `labels` tell the arms.
    """
    for key, selector in sorted(wanted.items(), key=lambda item: item[0] == "bad"):
        if canary.series[key] or stable.series[key]:
            continue
        if key != "bad":
            return await _absent(source, key, selector, at, labels)
        strange = _strange_label(
            selector, wanted["total"], (*canary.series["total"], *stable.series["total"])
        )
        if strange:
            return strange
        if str(selector.bare) != str(wanted["total"].bare) and not await source.instant(
            f"count({selector.bare})", at
        ):
            return f"no metric {selector.bare} is known: `bad` would count nothing"
    return ""


async def _absent(source: Source, key: str, selector: Selector, at: datetime, labels: Sequence[str]) -> str:
    if await source.instant(f"count({selector})", at):
        why = await _untold(source, selector, at, labels)
        return f"{key} {selector} has series, but none with the labels that tell the arms: {why}"
    if selector.matchers and await source.instant(f"count({selector.bare})", at):
        edges = await source.instant(f"count by (le) ({selector.bare})", at) if key == "buckets" else ()
        known = sorted({labels["le"] for labels, _ in edges if "le" in labels})
        hint = f" (the edges there are: {', '.join(known)})" if known else ""
        return f"no series for {key} {selector}, though the metric exists{hint}: look at the labels"
    return f"no series for {key} {selector}: no such metric is known"


async def _untold(source: Source, selector: Selector, at: datetime, labels: Sequence[str]) -> str:
    missing = [
        label
        for label in labels
        if not await source.instant(f"count({selector.narrowed(Matcher(label, '!=', literal('')))})", at)
    ]
    if missing:
        what = f"no series has {' or '.join(missing)}; set that where they are scraped"
    else:
        what = f"they carry other values of {' and '.join(labels)}"
    return f"{what}, or say by compare.arms what tells them apart"


def _strange_label(bad: Selector, total: Selector, series: tuple[Series, ...]) -> str:
    """A label of `bad` that no series of the same metric has: a mistake that would count nothing for ever."""
    if str(bad.bare) != str(total.bare) or not series:
        return ""
    known = {label for one in series for label in one.labels}
    for matcher in bad.matchers:
        if matcher.label not in known and not matcher.matches_absent:
            return (
                f"`bad` asks for the label {matcher.label}, which no series of `total` has: it counts nothing"
            )
    return ""

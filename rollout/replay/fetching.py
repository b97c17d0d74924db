"""A range of a Prometheus, read once and kept: what a replay asks look by look is answered from memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis.evidence import Labels, Series, to_datetime
from analysis.sources import QueryRefusedError, Source, parse_matchers
from analysis.sources.evaluating import Answer, Evaluating
from analysis.sources.recorded import joined, within
from analysis.sources.taking import TARGETS, selectors
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.measure.policy import policy_of

PART = timedelta(minutes=10)
SHORTEST = timedelta(seconds=10)
BEFORE = timedelta(minutes=5)
"""Of history before the first look: a counter is read from a little before the cut."""


class ReadAhead:
    """A source that asks `source` for all of `(since, until]` when a selector is asked for first.

    `told` hears of each part that is there, as a share of one selector's range.
    """

    def __init__(
        self,
        source: Source,
        since: datetime,
        until: datetime,
        told: Callable[[float], None] = lambda _share: None,
    ) -> None:
        self._source, self._since, self._until, self._told = source, since - BEFORE, until, told
        self._held: dict[str, tuple[Series, ...]] = {}
        self._older: list[Series] = []

    @property
    def series(self) -> tuple[Series, ...]:
        """All that was read."""
        return joined(one for held in (*self._held.values(), self._older) for one in held)

    async def read(self, wanted: Iterable[str]) -> None:
        """Read the ranges of these selectors. Raises QueryRefusedError and SourceDownError."""
        for selector in wanted:
            if selector not in self._held:
                self._held[selector] = joined(await self._range(selector))

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """Raw samples of all matching series in `(at - span, at]`."""
        if at - span < self._since:  # stable's history, for a calibration
            older = await self._source.query(selector, at, span)
            self._older += older
            return older
        await self.read([selector])
        return within(self._held[selector], at, span)

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """An instant vector, which is asked each time."""
        return await self._source.instant(expression, at)

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        """What threshold metrics ask, each time. Raises QueryRefusedError where the source can't be asked."""
        if not isinstance(self._source, Evaluating):
            raise QueryRefusedError(f"{expression}: this source evaluates no expressions")
        return await self._source.evaluate(expression, at)

    async def _range(self, selector: str) -> list[Series]:
        found: list[Series] = []
        for begin, end in _parts(self._since, self._until, PART):
            found += await self._part(selector, begin, end)
            self._told((end - begin) / (self._until - self._since))
        return found

    async def _part(self, selector: str, begin: datetime, end: datetime) -> list[Series]:
        """One part, in halves where it is too much for one answer."""
        try:
            return list(await self._source.query(selector, end, end - begin))
        except QueryRefusedError as refusal:
            if not refusal.too_much or end - begin < 2 * SHORTEST:
                raise
        middle = begin + (end - begin) / 2
        return await self._part(selector, begin, middle) + await self._part(selector, middle, end)


def _parts(since: datetime, until: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        end = min(since + length, until)
        yield since, end
        since = end


@dataclass(frozen=True, slots=True)
class Asked:
    """The selectors of raw samples that a judge asks for: of both arms what is counted, and of targets."""

    canary: tuple[str, ...]
    stable: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys((*self.canary, *self.stable, *self.targets)))


def asked(run: AnalysisRunSpec) -> Asked:
    """What is asked of the samples by a run whose arms are explicit. Raises SelectorError."""
    policy = policy_of(run)
    canary: list[str] = []
    stable: list[str] = []
    targets: list[str] = []
    for metric in run.compared:
        arms = metric.compare.arms
        for arm, found in ((arms.canary, canary), (arms.stable, stable)):
            assert arm is not None, "arms of a run are explicit"
            matchers = parse_matchers(arm)
            wanted = selectors(policy.metric(metric.name)).values()
            found += [str(selector.narrowed(*matchers)) for selector in wanted]
            targets.append(str(TARGETS.narrowed(*matchers)))
    return Asked(tuple(canary), tuple(stable), tuple(targets))


async def both_seen(
    source: Source, run: AnalysisRunSpec, since: datetime, until: datetime
) -> datetime | None:
    """From when on both versions have samples in `[since, until]`; None where one has none."""
    wanted = asked(run)
    firsts = [
        await _first(source, some or wanted.targets, since, until) for some in (wanted.canary, wanted.stable)
    ]
    seen = [first for first in firsts if first is not None]
    return to_datetime(max(seen)) if len(seen) == len(firsts) else None


async def _first(source: Source, some: Sequence[str], since: datetime, until: datetime) -> int | None:
    span = until - since + timedelta(milliseconds=1)
    found = [one for selector in some for one in await source.query(selector, until, span)]
    return min((one.samples[0][0] for one in found), default=None)

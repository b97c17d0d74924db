"""What the steps of a rollout that begins can't tell at the traffic of the last hour: a warning, said once.

It is asked for one Rollout at a time and four a second, so that a thousand that begin together hold nobody
up; whoever comes too early tries again in its next turn. Without an answer nothing is said.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis.metric import Rate
from analysis.planning import shortfalls
from analysis.policy import InvalidPolicy
from analysis.sources import SourceDownError
from rollout.api.analysisrun import AnalysisRunSpec, parse_analysis_run
from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec
from rollout.api.rollout import RolloutSpec
from rollout.measure.access import ServerSource, SourceOf, within
from rollout.measure.ahead import holds_of, kind_of
from rollout.measure.policy import policy_of
from rollout.measure.recent import lately
from rollout.plan.observed import Observed
from rollout.show import outlook

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=2)
"""A turn waits no longer: it has better things to do."""


APART = timedelta(milliseconds=250)
"""From one to the next: where nothing can be told in time, it takes a tenth of a second to say so."""


@dataclass(slots=True)
class _Asked:
    """A run that began, and what was found; None while that is not known."""

    uid: str
    run: AnalysisRunSpec
    tried: bool = False
    short: tuple[str, ...] | None = None


class Foresight:
    """Says it for all Rollouts; `source_of` gives the source behind an access."""

    def __init__(self, source_of: SourceOf) -> None:
        self._source_of = source_of
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._busy = False
        self._not_before: datetime | None = None

    async def told(self, observed: Observed, run: Manifest | None, now: datetime) -> tuple[str, ...] | None:
        """A sentence for each step that can't reach its margin; None while that is not known.

        `run` is the background run where it was just read.
        """
        key = (observed.namespace, observed.name)
        if run is not None and not (run.get("status") or {}).get("checkpoint"):
            self._begin(key, run)
        asked = self._asked.get(key)
        if asked is None:
            return None
        if all(
            each.uid != asked.uid or each.phase not in ("", "Pending", "Running") for each in observed.runs
        ):
            del self._asked[key]
            return None
        early = self._busy or (self._not_before is not None and now < self._not_before)
        if not (asked.tried or early or observed.spec is None):
            asked.tried, self._not_before = True, now + APART
            asked.short = await self._shortfalls(observed.spec, asked.run, observed.namespace, now)
        return asked.short

    def _begin(self, key: tuple[str, str], run: Manifest) -> None:
        try:
            self._asked[key] = _Asked(run["metadata"]["uid"], parse_analysis_run(run).spec)
        except InvalidSpec:
            self._asked.pop(key, None)  # whoever measures says so

    async def _shortfalls(
        self, spec: RolloutSpec, run: AnalysisRunSpec, namespace: str, now: datetime
    ) -> tuple[str, ...] | None:
        self._busy = True
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await shortfalls_of(within(self._source_of, namespace), spec, run, now)
        except TimeoutError:
            return None
        finally:
            self._busy = False


async def shortfalls_of(
    source_of: ServerSource, spec: RolloutSpec, run: AnalysisRunSpec, now: datetime
) -> tuple[str, ...] | None:
    """A sentence for each step that can't reach its margin at the traffic of the hour before `now`.

    None where that can't be told.
    """
    try:
        policy = policy_of(run)
        seen = await lately(source_of, run, policy, now)
    except (InvalidPolicy, SourceDownError, ValueError) as unknown:
        log.debug("what the steps can tell is not known: %s", unknown)
        return None
    if not seen.requests:
        return None
    found = shortfalls(policy, holds_of(spec, run), seen.requests, seen.rates)
    shares = frozenset(metric.name for metric in policy.metrics if not isinstance(metric.kind, Rate))
    return tuple(line for each in found for line in outlook.shortfall(each, kind_of(spec, each.hold), shares))

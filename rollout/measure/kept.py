"""One run between two turns: read as it was written, kept while it is measured, written again."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from analysis.policy import InvalidPolicy, Policy
from analysis.sequential import Checkpoint, begin, begin_step, route, skip
from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRun, AnalysisRunStatus, MetricNoise, parse_analysis_run
from rollout.api.base import Manifest
from rollout.api.caps import capped_run
from rollout.api.errors import InvalidSpec
from rollout.api.status import PauseReason
from rollout.measure import noise, routing
from rollout.measure import policy as words
from rollout.measure.course import NO_LOOKS, Course
from rollout.measure.held import Held
from rollout.measure.measured import Unsaved
from rollout.plan import schedule
from rollout.plan.drift import strayed
from rollout.plan.evidence import Evidence
from rollout.plan.observed import Observed

log = logging.getLogger(__name__)

UNKNOWN_INTERVAL = timedelta(seconds=2)
"""Between looks, until the samples show how often they are scraped."""
SAVE_PAUSED_EVERY = timedelta(minutes=5)
"""A rollout that waits for a person causes no write a minute."""


@dataclass(slots=True)
class Kept:
    """One run between two turns; `run` is the object as it was last read or written, as JSON: it is looked
    at when it is written again, and as text it is a tenth.
    """

    rollout: str
    uid: str
    version: str
    run: bytes
    asked: AnalysisRun
    checkpoint: Checkpoint
    saved: Checkpoint | None
    saved_at: datetime
    used_at: datetime
    held: Held
    """Its threshold metrics."""
    due: dict[str, datetime] = field(default_factory=dict)
    """By metric: when to look again."""
    policy: tuple[object, Policy] | None = None
    """What it is judged by, and the scrape intervals and the noise that this was made of."""
    noise: tuple[MetricNoise, ...] | None = None
    """What its calibration found; None before it is done."""
    calibration: asyncio.Task[tuple[MetricNoise, ...]] | None = None
    course: Course = NO_LOOKS
    """What the evidence was up to now, for pictures."""

    def judged_by(self) -> Policy:
        """The policy at the scrape intervals and the noise that are known by now."""
        scraped = tuple(self.checkpoint.scrape_interval(metric.name) for metric in self.asked.spec.compared)
        made_of = (scraped, self.noise)
        if self.policy is None or self.policy[0] != made_of:
            self.policy = (made_of, words.policy_of(self.asked.spec, self.checkpoint, self.noise or ()))
        return self.policy[1]

    def interval(self, metric: Metric) -> timedelta:
        """How often it is looked at."""
        return metric.interval or self.checkpoint.scrape_interval(metric.name) or UNKNOWN_INTERVAL

    def begin_step(self, observed: Observed) -> None:
        """Where a step's effect is seen, its evidence begins."""
        status = observed.status
        if observed.spec is None or status.step_effect_since is None or status.current_step_index is None:
            return
        key = schedule.evidence_key(observed.spec.strategy.canary.steps, status.current_step_index)
        self.checkpoint = begin_step(self.checkpoint, key, status.step_effect_since)
        self.held.begin_step(step_of(observed), key, status.step_effect_since)
        # What an inline step asks begins with that step: traffic before it is not its evidence.
        for name, state in self.checkpoint.metrics.items():
            if name.endswith(f"@{key}") and not state.looks:
                self.checkpoint = skip(self.checkpoint, name, status.step_effect_since)

    def leave_out(self, observed: Observed) -> None:
        """Requests of a time in which traffic was not as recorded are no evidence."""
        until = observed.status.evidence_not_before
        if until is not None:
            for name in self.checkpoint.metrics:
                self.checkpoint = skip(self.checkpoint, name, until)

    def route(self, policy: Policy, observed: Observed, now: datetime) -> None:
        """What the canary's share of the requests is held against from here on."""
        if policy.share is None:
            return
        scraped = self.checkpoint.scrape_interval(policy.share.metric) or UNKNOWN_INTERVAL
        asked = None if strayed(observed) else routing.weight_at(observed.status, scraped)
        weight, since = asked or (None, now)
        self.checkpoint = route(self.checkpoint, weight, since)

    def unsaved(
        self, observed: Observed, evidence: Evidence, now: datetime, every: timedelta
    ) -> Unsaved | None:
        """The run to write, where more is known than it holds; `every` is the time between two writes."""
        if self.checkpoint == self.saved and not self.held.unsaved:
            return None
        waits = any(
            pause.reason in (PauseReason.STEP, PauseReason.USER, PauseReason.INCONCLUSIVE)
            for pause in observed.status.pause_conditions
        )
        period = SAVE_PAUSED_EVERY if waits else every
        due = self.saved is None or self.held.grave or now - self.saved_at >= period
        return Unsaved(due, lambda: self._rendered(evidence, now))

    def _rendered(self, evidence: Evidence, now: datetime) -> Mapping[str, Any]:
        """The AnalysisRun with the checkpoint as it stands."""
        run = json.loads(self.run)
        status = AnalysisRunStatus(
            phase="Running",
            # The reason moves with every look; a message that does would make others write too.
            message=str(evidence.outcome),
            started_at=run.pop("startedAt") or now,
            evidence=evidence.metrics,
            metric_results=self.held.results(),
            noise=self.noise,
            checkpoint=self.checkpoint.to_json(),
            course=self.course.to_json(),
        )
        return {**run, "status": capped_run(status).manifest()}


def step_of(observed: Observed) -> str:
    """The index of the present step; '' where there is none."""
    index = observed.status.current_step_index
    return "" if index is None else str(index)


class UnreadableRunError(Exception):
    """An AnalysisRun that this operator can't go on from; the text says why, and what to do."""


def read(run: Manifest, observed: Observed, now: datetime) -> Kept:
    """A run as written: where it stands, or at its start.

    Raises:
        UnreadableRunError: another operator wrote it, or somebody changed it.
    """
    try:
        asked = parse_analysis_run(run)
        written = (run.get("status") or {}).get("checkpoint")
        held = Held.read(asked.spec, run.get("status") or {})
        found = noise.read_noise(run.get("status") or {})
        saved = Checkpoint.from_json(written) if written else None
        at = observed.status.step_effect_since or now
        checkpoint = saved or begin(words.policy_of(asked.spec), at)
        missing = {metric.name for metric in asked.spec.compared} - checkpoint.metrics.keys()
        if missing:
            raise ValueError(f"the checkpoint knows nothing of {', '.join(sorted(missing))}")
    except (InvalidSpec, InvalidPolicy, ValueError) as wrong:
        name = run["metadata"]["name"]
        log.warning("AnalysisRun %s/%s: %s", observed.namespace, name, wrong)
        remedy = "run the operator that wrote it, or give the attempt up by abort and retry"
        raise UnreadableRunError(f"AnalysisRun {name}: {wrong} ({remedy})") from wrong
    metadata = run["metadata"]
    return Kept(
        observed.name,
        metadata["uid"],
        metadata["resourceVersion"],
        as_text(run),
        asked,
        checkpoint,
        saved,
        saved_at=now,
        used_at=now,
        held=held,
        noise=found,
        course=Course.from_json((run.get("status") or {}).get("course") or {}),
    )


def as_text(run: Manifest) -> bytes:
    """All of a run but its status, of which nothing is written again but when it began."""
    started_at = (run.get("status") or {}).get("startedAt")
    return json.dumps({**run, "status": None, "startedAt": started_at}, separators=(",", ":")).encode()

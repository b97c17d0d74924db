"""What is due is asked, folded into the tests and judged; what the planner hears is a verdict.

The tests live in the checkpoint of the background AnalysisRun. Between two writes of it they are kept here,
so that a paused rollout is watched without a write: after a restart the same samples are read again from the
written cut.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from analysis.course import Sight
from analysis.evidence import to_datetime
from analysis.policy import InvalidPolicy, Policy
from analysis.reading import Context, Reading, Status
from analysis.sequential import Checkpoint, begin, begin_step, fold, route, skip
from analysis.sources import Arms, Source, take
from analysis.verdict import Judgement, judge
from rollout.api.analysis import Metric
from rollout.api.analysisrun import (
    AnalysisRun,
    AnalysisRunSpec,
    AnalysisRunStatus,
    MetricNoise,
    parse_analysis_run,
)
from rollout.api.base import Manifest
from rollout.api.caps import capped_run
from rollout.api.errors import InvalidSpec
from rollout.api.status import PauseReason, RolloutStatus, Stage
from rollout.measure import noise, routing
from rollout.measure import policy as words
from rollout.measure.course import NO_LOOKS, Course, seen
from rollout.measure.held import Held
from rollout.measure.pace import next_look, slot, spacing, tolerance
from rollout.plan import schedule
from rollout.plan.drift import strayed
from rollout.plan.evidence import NO_EVIDENCE, Evidence, Outcome
from rollout.plan.observed import Observed, Run
from rollout.workloads.runs import BACKGROUND

log = logging.getLogger(__name__)

UNKNOWN_INTERVAL = timedelta(seconds=2)
"""Between looks, until the samples show how often they are scraped."""
CALIBRATING = timedelta(seconds=2)
"""Between two questions whether a calibration is done."""
SAVE_EVERY = timedelta(seconds=5)
REFUSED_FOR = timedelta(seconds=30)
"""After a checkpoint was refused: somebody may have mended what stood in its way."""
UNUSED_FOR = timedelta(minutes=10)
"""After which a run is forgotten: every Rollout under way has a turn much more often."""
SAVE_PAUSED_EVERY = timedelta(minutes=5)
"""A rollout that waits for a person causes no write a minute."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A checkpoint that is ahead of the written one, and whether it is time to PUT it."""

    due: bool
    render: Callable[[], Mapping[str, Any]]

    @property
    def run(self) -> Mapping[str, Any]:
        """The AnalysisRun to PUT; it is made when it is asked for, since most looks write nothing."""
        return self.render()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a turn learned: the verdict, the checkpoint that is not written yet, and when to look again."""

    evidence: Evidence
    unsaved: Unsaved | None = None
    look_at: datetime | None = None
    judgement: Judgement | None = None
    """What the evidence is the gist of; None where nothing was judged."""
    sight: Sight | None = None
    """The same as a point of a picture."""


NOTHING = Measured(NO_EVIDENCE)


@dataclass(slots=True)
class _Kept:
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


@dataclass(frozen=True, slots=True)
class _Refusal:
    why: str
    until: datetime


class Measurer:
    """Asks and judges for all Rollouts; `source_of` gives the source at an address, `lag` is its delay.

    routed: whether the weights that are recorded split the requests that are counted; not in a replay.
    """

    def __init__(self, source_of: Callable[[str], Source], lag: timedelta, *, routed: bool = True) -> None:
        self._source_of = source_of
        self._lag = lag
        self._routed = routed
        self._kept: dict[str, _Kept] = {}
        self._refusals: dict[str, _Refusal] = {}
        self._names: Counter[str] = Counter()
        self._pruned_at: datetime | None = None
        self._calibrating = asyncio.Semaphore(1)

    async def measure(self, observed: Observed, run: Manifest | None, now: datetime) -> Measured:
        """The evidence for this turn; `run` is the live background AnalysisRun where it isn't kept yet."""
        kept = self._keep(observed, run, now)
        asked = _background(observed)
        if asked is None or not _measures(observed.status):
            return NOTHING
        refusal = self._refusals.get(asked.uid)
        if refusal is not None and now < refusal.until:
            return Measured(Evidence(Outcome.BLIND, refusal.why), look_at=refusal.until)
        if kept is None:
            return NOTHING
        step = _step(observed)
        try:
            policy = _policy(kept)
        except InvalidPolicy as invalid:
            reason = f"the analysis can't be judged by: {invalid}"
            return Measured(Evidence(Outcome.BLIND, reason, problems=(reason,)))
        if self._calibrates(kept, policy, observed):
            reason = "waits until stable's history has told how noisy the metrics are"
            return Measured(Evidence(Outcome.UNDECIDED, reason), look_at=now + CALIBRATING)
        policy = _policy(kept)
        self._begin_step(kept, observed)
        self._leave_out(kept, observed)
        if self._routed:
            self._route(kept, policy, observed, now)
        due = [
            metric
            for metric in words.measured_in(kept.asked.spec, step)
            if self._is_due(kept, metric, now) and not strayed(observed)
        ]
        readings = await asyncio.gather(*(self._look(kept, policy, observed, metric, now) for metric in due))
        if not strayed(observed):
            await kept.held.measure(step, self._source_of, now - self._lag, now)
        for metric, reading in zip(due, readings, strict=True):
            kept.checkpoint = fold(policy, kept.checkpoint, metric.name, reading)
            kept.due[metric.name] = next_look(self._slot(observed), _interval(kept, metric), now)
        return self._judge(kept, policy, observed, step, now)

    async def settled(self) -> None:
        """Wait for the calibrations under way: in a replay no time passes by itself."""
        under_way = [kept.calibration for kept in self._kept.values() if kept.calibration is not None]
        await asyncio.gather(*under_way)

    def _calibrates(self, kept: _Kept, policy: Policy, observed: Observed) -> bool:
        """Whether the run waits for its calibration, which one rollout after the other gets."""
        history = kept.asked.spec.calibrate
        if history is None or kept.noise is not None:
            return False
        if kept.calibration is None:
            pods = observed.replica_set(observed.status.current_pod_hash)
            asked = noise.Asked(history, to_datetime(kept.checkpoint.began), pods.available if pods else 1)
            kept.calibration = asyncio.create_task(self._calibrated(kept.asked.spec, policy, asked))
        if not kept.calibration.done():
            return True
        kept.noise, kept.calibration = kept.calibration.result(), None
        return False

    async def _calibrated(
        self, run: AnalysisRunSpec, policy: Policy, asked: noise.Asked
    ) -> tuple[MetricNoise, ...]:
        async with self._calibrating:
            return await noise.calibrated(self._source_of, run, policy, asked)

    def _slot(self, observed: Observed) -> int:
        return slot(observed.namespace, observed.name, self._names[observed.name])

    def needs(self, observed: Observed) -> str | None:
        """The AnalysisRun that has to be read before measuring; None where it is kept or absent."""
        run = _background(observed)
        return run.name if run is not None and run.uid not in self._kept else None

    def uncounted(self, observed: Observed) -> AnalysisRun | None:
        """The run under way, if nothing was counted for any of its metrics yet."""
        run = _background(observed)
        kept = self._kept.get(run.uid) if run is not None else None
        if kept is None or kept.held.counted or any(s.looks for s in kept.checkpoint.metrics.values()):
            return None
        return kept.asked

    def saved(self, run: Manifest, now: datetime) -> None:
        """A checkpoint was written: the server's answer."""
        kept = self._kept.get(run["metadata"]["uid"])
        if kept is not None:
            kept.run, kept.version = _text(run), run["metadata"]["resourceVersion"]
            kept.saved, kept.saved_at = kept.checkpoint, now
            kept.held.mark_saved()
            self._refusals.pop(run["metadata"]["uid"], None)

    def version(self, uid: str) -> str:
        """The resourceVersion of a run as it was last read or written here; '' where it is not kept."""
        kept = self._kept.get(uid)
        return kept.version if kept is not None else ""

    def forget(self, uid: str) -> None:
        """Drop what was folded but not written: somebody else wrote, or the run is over."""
        self._kept.pop(uid, None)
        self._refusals.pop(uid, None)

    def refuse(self, uid: str, why: str, now: datetime) -> None:
        """Count nothing for a while, since what is counted can't be written: blind, as in an outage."""
        self.forget(uid)
        self._refusals[uid] = _Refusal(why, now + REFUSED_FOR)

    def _keep(self, observed: Observed, run: Manifest | None, now: datetime) -> _Kept | None:
        seen = _background(observed)
        if seen is None:
            return None
        if seen.uid not in self._kept and run is not None:
            try:
                self._kept[seen.uid] = _read(run, observed, now)
                self._names[observed.name] += 1
            except UnreadableRunError as unreadable:
                self.refuse(seen.uid, str(unreadable), now)
        self._prune(now)
        found = self._kept.get(seen.uid)
        if found is not None:
            found.used_at = now
        return found

    def _prune(self, now: datetime) -> None:
        """Let go of runs whose Rollouts are gone, or somebody else's now."""
        if self._pruned_at is not None and now - self._pruned_at < UNUSED_FOR:
            return
        self._pruned_at = now
        self._kept = {uid: kept for uid, kept in self._kept.items() if now - kept.used_at < UNUSED_FOR}
        self._names = Counter(kept.rollout for kept in self._kept.values())

    @staticmethod
    def _begin_step(kept: _Kept, observed: Observed) -> None:
        status = observed.status
        if observed.spec is None or status.step_effect_since is None or status.current_step_index is None:
            return
        key = schedule.evidence_key(observed.spec.strategy.canary.steps, status.current_step_index)
        kept.checkpoint = begin_step(kept.checkpoint, key, status.step_effect_since)
        kept.held.begin_step(_step(observed), key, status.step_effect_since)
        # What an inline step asks begins with that step: traffic before it is not its evidence.
        for name, state in kept.checkpoint.metrics.items():
            if name.endswith(f"@{key}") and not state.looks:
                kept.checkpoint = skip(kept.checkpoint, name, status.step_effect_since)

    @staticmethod
    def _leave_out(kept: _Kept, observed: Observed) -> None:
        """Requests of a time in which traffic was not as recorded are no evidence."""
        until = observed.status.evidence_not_before
        if until is not None:
            for name in kept.checkpoint.metrics:
                kept.checkpoint = skip(kept.checkpoint, name, until)

    @staticmethod
    def _route(kept: _Kept, policy: Policy, observed: Observed, now: datetime) -> None:
        """What the canary's share of the requests is held against from here on."""
        if policy.share is None:
            return
        scraped = kept.checkpoint.scrape_interval(policy.share.metric) or UNKNOWN_INTERVAL
        asked = None if strayed(observed) else routing.weight_at(observed.status, scraped)
        weight, since = asked or (None, now)
        kept.checkpoint = route(kept.checkpoint, weight, since)

    @staticmethod
    def _is_due(kept: _Kept, metric: Metric, now: datetime) -> bool:
        due = kept.due.get(metric.name)
        return due is None or now >= due - tolerance(_interval(kept, metric))

    async def _look(
        self, kept: _Kept, policy: Policy, observed: Observed, metric: Metric, now: datetime
    ) -> Reading:
        arms = metric.compare.arms
        assert arms.stable is not None, "arms of a run are explicit"
        assert arms.canary is not None, "arms of a run are explicit"
        context = Context(
            began=observed.status.rollout_since or now,
            interval=_interval(kept, metric),
            pods=routing.pods_of(observed),
        )
        cut = kept.checkpoint.cut(metric.name)
        until = now - self._lag
        if until <= cut:
            return Reading(cut, cut, Status.WAITING, cause="the next look will")
        source = self._source_of(metric.provider.prometheus.address)
        scraped = kept.checkpoint.scrape_interval(metric.name)
        return await take(
            source, policy.metric(metric.name), Arms(arms.canary, arms.stable), cut, until, context, scraped
        )

    def _judge(self, kept: _Kept, policy: Policy, observed: Observed, step: str, now: datetime) -> Measured:
        spec = kept.asked.spec
        active = words.active_in(spec, step)
        compared = active & kept.checkpoint.metrics.keys()
        judgement = judge(policy, kept.checkpoint, now, active=compared)
        heard = words.hear(judgement, policy, kept.checkpoint, compared, spec, now)
        evidence = kept.held.joined(heard, active, step)
        evidence = replace(evidence, metrics=noise.told(evidence.metrics, kept.noise or ()))
        looks = [self._look_at(kept, metric, now) for metric in words.measured_in(spec, step)]
        looks += [at for at in [kept.held.look_at(step, now)] if at is not None]
        under_way = len(self._kept)
        sight = seen(observed, judgement, compared, now)
        kept.course = kept.course.noted(now, sight)
        return Measured(
            replace(evidence, told_every=spacing(under_way, evidence.told_every)),
            unsaved=_unsaved(kept, observed, evidence, now, spacing(under_way, SAVE_EVERY)),
            look_at=min(looks, default=None),
            judgement=judgement,
            sight=sight,
        )

    @staticmethod
    def _look_at(kept: _Kept, metric: Metric, now: datetime) -> datetime:
        due = kept.due.get(metric.name)
        return due if due is not None and due > now else now + _interval(kept, metric)


def _background(observed: Observed) -> Run | None:
    """The background run of the present attempt, if it is under way."""
    return next(
        (
            run
            for run in observed.runs
            if run.role == BACKGROUND
            and run.attempt == observed.status.attempt
            and run.phase in ("", "Pending", "Running")
        ),
        None,
    )


def _measures(status: RolloutStatus) -> bool:
    return status.stage in (Stage.STEPPING, Stage.PROMOTING)


def _step(observed: Observed) -> str:
    index = observed.status.current_step_index
    return "" if index is None else str(index)


def _policy(kept: _Kept) -> Policy:
    scraped = tuple(kept.checkpoint.scrape_interval(metric.name) for metric in kept.asked.spec.compared)
    made_of = (scraped, kept.noise)
    if kept.policy is None or kept.policy[0] != made_of:
        kept.policy = (made_of, words.policy_of(kept.asked.spec, kept.checkpoint, kept.noise or ()))
    return kept.policy[1]


def _interval(kept: _Kept, metric: Metric) -> timedelta:
    return metric.interval or kept.checkpoint.scrape_interval(metric.name) or UNKNOWN_INTERVAL


class UnreadableRunError(Exception):
    """An AnalysisRun that this operator can't go on from; the text says why, and what to do."""


def _read(run: Manifest, observed: Observed, now: datetime) -> _Kept:
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
    return _Kept(
        observed.name,
        metadata["uid"],
        metadata["resourceVersion"],
        _text(run),
        asked,
        checkpoint,
        saved,
        saved_at=now,
        used_at=now,
        held=held,
        noise=found,
        course=Course.from_json((run.get("status") or {}).get("course") or {}),
    )


def _text(run: Manifest) -> bytes:
    """All of a run but its status, of which nothing is written again but when it began."""
    started_at = (run.get("status") or {}).get("startedAt")
    return json.dumps({**run, "status": None, "startedAt": started_at}, separators=(",", ":")).encode()


def _unsaved(
    kept: _Kept, observed: Observed, evidence: Evidence, now: datetime, every: timedelta
) -> Unsaved | None:
    if kept.checkpoint == kept.saved and not kept.held.unsaved:
        return None
    waits = any(
        pause.reason in (PauseReason.STEP, PauseReason.USER, PauseReason.INCONCLUSIVE)
        for pause in observed.status.pause_conditions
    )
    period = SAVE_PAUSED_EVERY if waits else every
    due = kept.saved is None or kept.held.grave or now - kept.saved_at >= period
    return Unsaved(due, lambda: _rendered(kept, evidence, now))


def _rendered(kept: _Kept, evidence: Evidence, now: datetime) -> Mapping[str, Any]:
    """The AnalysisRun with the checkpoint as it stands."""
    run = json.loads(kept.run)
    status = AnalysisRunStatus(
        phase="Running",
        # The reason moves with every look; a message that does would make others write too.
        message=str(evidence.outcome),
        started_at=run.pop("startedAt") or now,
        evidence=evidence.metrics,
        metric_results=kept.held.results(),
        noise=kept.noise,
        checkpoint=kept.checkpoint.to_json(),
        course=kept.course.to_json(),
    )
    return {**run, "status": capped_run(status).manifest()}

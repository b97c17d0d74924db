"""Asks and judges for all Rollouts, and keeps their runs between two turns."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from analysis.evidence import to_datetime
from analysis.policy import InvalidPolicy, Policy
from analysis.reading import Context, Reading, Status
from analysis.sequential import fold
from analysis.sources import Arms, take
from analysis.verdict import judge
from rollout.api.analysis import Metric
from rollout.api.analysisrun import AnalysisRun, AnalysisRunSpec, MetricNoise
from rollout.api.base import Manifest
from rollout.api.status import RolloutStatus, Stage
from rollout.measure import noise, routing
from rollout.measure import policy as words
from rollout.measure.access import ServerSource, SourceOf, within
from rollout.measure.course import seen
from rollout.measure.kept import Kept, UnreadableRunError, as_text, read, step_of
from rollout.measure.measured import NOTHING, Measured
from rollout.measure.pace import next_look, slot, spacing, tolerance
from rollout.plan.drift import strayed
from rollout.plan.evidence import Evidence, Outcome
from rollout.plan.observed import Observed, Run
from rollout.workloads.runs import BACKGROUND

CALIBRATING = timedelta(seconds=2)
"""Between two questions whether a calibration is done."""
SAVE_EVERY = timedelta(seconds=5)
REFUSED_FOR = timedelta(seconds=30)
"""After a checkpoint was refused: somebody may have mended what stood in its way."""
UNUSED_FOR = timedelta(minutes=10)
"""After which a run is forgotten: every Rollout under way has a turn much more often."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    why: str
    until: datetime


class Measurer:
    """Asks and judges for all Rollouts; `source_of` gives the source behind an access, `lag` is its delay.

    routed: whether the weights that are recorded split the requests that are counted; not in a replay.
    """

    def __init__(self, source_of: SourceOf, lag: timedelta, *, routed: bool = True) -> None:
        self._source_of = source_of
        self._lag = lag
        self._routed = routed
        self._kept: dict[str, Kept] = {}
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
        step = step_of(observed)
        try:
            policy = kept.judged_by()
        except InvalidPolicy as invalid:
            reason = f"the analysis can't be judged by: {invalid}"
            return Measured(Evidence(Outcome.BLIND, reason, problems=(reason,)))
        if self._calibrates(kept, policy, observed):
            reason = "waits until stable's history has told how noisy the metrics are"
            return Measured(Evidence(Outcome.UNDECIDED, reason), look_at=now + CALIBRATING)
        policy = kept.judged_by()
        kept.begin_step(observed)
        kept.leave_out(observed)
        if self._routed:
            kept.route(policy, observed, now)
        astray = strayed(observed)
        measured = () if astray else words.measured_in(kept.asked.spec, step)
        due = [metric for metric in measured if self._is_due(kept, metric, now)]
        readings = await asyncio.gather(*(self._look(kept, policy, observed, metric, now) for metric in due))
        if not astray:
            await kept.held.measure(step, self._sources(observed), now - self._lag, now)
        for metric, reading in zip(due, readings, strict=True):
            kept.checkpoint = fold(policy, kept.checkpoint, metric.name, reading)
            kept.due[metric.name] = next_look(self._slot(observed), kept.interval(metric), now)
        return self._judge(kept, policy, observed, step, now)

    async def settled(self) -> None:
        """Wait for the calibrations under way: in a replay no time passes by itself."""
        under_way = [kept.calibration for kept in self._kept.values() if kept.calibration is not None]
        await asyncio.gather(*under_way)

    def _calibrates(self, kept: Kept, policy: Policy, observed: Observed) -> bool:
        """Whether the run waits for its calibration, which one rollout after the other gets."""
        history = kept.asked.spec.calibrate
        if history is None or kept.noise is not None:
            return False
        if kept.calibration is None:
            pods = observed.replica_set(observed.status.current_pod_hash)
            asked = noise.Asked(history, to_datetime(kept.checkpoint.began), pods.available if pods else 1)
            kept.calibration = asyncio.create_task(
                self._calibrated(self._sources(observed), kept.asked.spec, policy, asked)
            )
        if not kept.calibration.done():
            return True
        kept.noise, kept.calibration = kept.calibration.result(), None
        return False

    async def _calibrated(
        self, sources: ServerSource, run: AnalysisRunSpec, policy: Policy, asked: noise.Asked
    ) -> tuple[MetricNoise, ...]:
        async with self._calibrating:
            return await noise.calibrated(sources, run, policy, asked)

    def _sources(self, observed: Observed) -> ServerSource:
        return within(self._source_of, observed.namespace)

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
            kept.run, kept.version = as_text(run), run["metadata"]["resourceVersion"]
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

    def _keep(self, observed: Observed, run: Manifest | None, now: datetime) -> Kept | None:
        seen = _background(observed)
        if seen is None:
            return None
        if seen.uid not in self._kept and run is not None:
            try:
                self._kept[seen.uid] = read(run, observed, now)
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
    def _is_due(kept: Kept, metric: Metric, now: datetime) -> bool:
        due = kept.due.get(metric.name)
        return due is None or now >= due - tolerance(kept.interval(metric))

    async def _look(
        self, kept: Kept, policy: Policy, observed: Observed, metric: Metric, now: datetime
    ) -> Reading:
        arms = metric.compare.arms
        assert arms.stable is not None, "arms of a run are explicit"
        assert arms.canary is not None, "arms of a run are explicit"
        context = Context(
            began=observed.status.rollout_since or now,
            interval=kept.interval(metric),
            pods=routing.pods_of(observed),
        )
        cut = kept.checkpoint.cut(metric.name)
        until = now - self._lag
        if until <= cut:
            return Reading(cut, cut, Status.WAITING, cause="the next look will")
        source = self._sources(observed)(metric.provider.prometheus)
        scraped = kept.checkpoint.scrape_interval(metric.name)
        return await take(
            source, policy.metric(metric.name), Arms(arms.canary, arms.stable), cut, until, context, scraped
        )

    def _judge(self, kept: Kept, policy: Policy, observed: Observed, step: str, now: datetime) -> Measured:
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
            unsaved=kept.unsaved(observed, evidence, now, spacing(under_way, SAVE_EVERY)),
            look_at=min(looks, default=None),
            judgement=judgement,
            sight=sight,
        )

    @staticmethod
    def _look_at(kept: Kept, metric: Metric, now: datetime) -> datetime:
        due = kept.due.get(metric.name)
        return due if due is not None and due > now else now + kept.interval(metric)


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

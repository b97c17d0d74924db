"""The threshold metrics of one run: measured when they are due, and joined to what the comparison says."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from analysis.threshold import (
    RETAINED,
    SHORTEST,
    Limits,
    Phase,
    State,
    begin,
    begin_step,
    due,
    fold,
    passes,
)
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.caps import short
from rollout.api.measurements import MetricResult
from rollout.api.naming import names
from rollout.api.status import EVIDENCE_LIMIT, MESSAGE_LIMIT_BYTES, Counted, MetricEvidence
from rollout.api.threshold import Threshold
from rollout.measure.access import ServerSource
from rollout.measure.measurements import measured
from rollout.measure.policy import asked_at
from rollout.measure.records import limits_of, result_of, state_of
from rollout.plan.evidence import Evidence, Outcome

_GRAVITY = (
    Outcome.WORSE,
    Outcome.FAILED,
    Outcome.MISROUTED,
    Outcome.BLIND,
    Outcome.INCONCLUSIVE,
    Outcome.UNDECIDED,
    Outcome.NOT_WORSE,
)
"""What is said of several metrics: the first of these that holds for one."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One metric, and what its measurements are held against."""

    metric: Threshold
    limits: Limits
    dry_run: bool
    retained: int

    @property
    def name(self) -> str:
        """With its step."""
        return self.metric.name

    def lasts_in(self, step: str) -> bool:
        """Whether it is measured: the background's always, an inline step's while it lasts."""
        return "@" not in self.name or self.name.endswith(f"@{step}")


@dataclass(slots=True)
class Held:
    """All of them, and how far each is; `saved` is what the status of the run holds."""

    rules: tuple[_Rule, ...] = ()
    states: dict[str, State] = field(default_factory=dict)
    saved: dict[str, State] = field(default_factory=dict)

    @classmethod
    def read(cls, spec: AnalysisRunSpec, status: Mapping[str, Any]) -> Self:
        """As a run was written. Raises ValueError where its results can't be read."""
        results = (MetricResult.model_validate(each) for each in status.get("metricResults") or ())
        states = {each.name: state_of(each) for each in results}
        return cls(tuple(_rule(spec, metric) for metric in spec.thresholds), states, dict(states))

    @property
    def unsaved(self) -> bool:
        """Whether more is known than was written."""
        return self.states != self.saved

    @property
    def grave(self) -> bool:
        """Whether something that was no success is not written: it must not be forgotten."""
        return any(_grave(state) != _grave(self.saved.get(name)) for name, state in self.states.items())

    @property
    def counted(self) -> bool:
        """Whether anything was answered yet."""
        return any(state.total.count for state in self.states.values())

    def mark_saved(self) -> None:
        """What is known is written."""
        self.saved = dict(self.states)

    def begin_step(self, step: str, key: str, at: datetime) -> None:
        """The effect of step `step`, whose evidence counts for `key`, is seen since `at`."""
        for rule in self.rules:
            if rule.lasts_in(step):
                known = self.states.get(rule.name)
                self.states[rule.name] = begin_step(known, key, at) if known else begin(key, at)

    async def measure(self, step: str, source_of: ServerSource, at: datetime, now: datetime) -> None:
        """Ask what is due, as of `at`."""
        asked = [rule for rule in self.rules if rule.lasts_in(step) and self._is_due(rule, now)]
        sources = [source_of(rule.metric.provider.prometheus) for rule in asked]
        answers = await asyncio.gather(
            *(measured(source, rule.metric, at, now) for source, rule in zip(sources, asked, strict=True))
        )
        for rule, answer in zip(asked, answers, strict=True):
            self.states[rule.name] = fold(rule.limits, self.states[rule.name], answer, rule.retained)

    def _is_due(self, rule: _Rule, now: datetime) -> bool:
        state = self.states.get(rule.name)
        at = due(rule.limits, state) if state is not None else None
        return at is not None and at <= now

    def look_at(self, step: str, now: datetime) -> datetime | None:
        """When the next one is due; one that could not be asked when it was is looked at a little later."""
        here = [rule for rule in self.rules if rule.lasts_in(step) and rule.name in self.states]
        times = (due(rule.limits, self.states[rule.name]) for rule in here)
        return min((max(at, now + SHORTEST) for at in times if at is not None), default=None)

    def joined(self, compared: Evidence, active: frozenset[str], step: str) -> Evidence:
        """The evidence of all metrics: `compared` is that of the others, `active` names who gates."""
        here = [rule for rule in self.rules if rule.lasts_in(step) and not rule.dry_run]
        said = {rule: self._outcome(rule, compared.step_key, active) for rule in here}
        gates = [rule for rule in here if rule.name in active]
        outcome = min((compared.outcome, *said.values()), key=_GRAVITY.index)
        saying = [rule for rule, each in said.items() if each is outcome]
        lasts = [state.last for rule in saying if (state := self.states.get(rule.name)) and state.last]
        decided = max((last.finished_at for last in lasts), default=compared.decided_at)
        reasons = [compared.reason] if compared.outcome is outcome and compared.reason else []
        reasons += [f"{rule.name}: {self._told(rule)}" for rule in saying]
        others = active - {rule.name for rule in self.rules}
        compatible = (compared.compatible or not others or compared.outcome is Outcome.NOT_WORSE) and all(
            self._compatible(rule) for rule in gates
        )
        return replace(
            compared,
            outcome=outcome,
            reason=short("; ".join(reasons), MESSAGE_LIMIT_BYTES),
            compatible=compatible and outcome in (Outcome.BLIND, Outcome.UNDECIDED, Outcome.INCONCLUSIVE),
            metrics=(*compared.metrics, *self._shown(step))[:EVIDENCE_LIMIT],
            decided_at=compared.decided_at if compared.outcome is outcome else decided,
            problems=(*compared.problems, *(self._problem(rule) for rule in gates if self._refused(rule))),
        )

    def _outcome(self, rule: _Rule, key: str, active: frozenset[str]) -> Outcome:
        state = self.states.get(rule.name)
        if state is None:
            return Outcome.UNDECIDED if rule.name in active else Outcome.NOT_WORSE
        match state.phase:
            case Phase.FAILED:
                return Outcome.FAILED
            case Phase.INCONCLUSIVE:
                return Outcome.INCONCLUSIVE
            case _ if rule.name not in active:
                return Outcome.NOT_WORSE
            case Phase.ERROR:
                return Outcome.BLIND
            case _ if self._refused(rule):
                return Outcome.BLIND
        passed = state.step == key and passes(rule.limits, state)
        return Outcome.NOT_WORSE if passed else Outcome.UNDECIDED

    def _refused(self, rule: _Rule) -> bool:
        state = self.states.get(rule.name)
        return state is not None and state.last is not None and state.last.refused

    def _problem(self, rule: _Rule) -> str:
        state = self.states[rule.name]
        assert state.last is not None, "who was refused was asked"
        where = f"{asked_at(rule.name)}: metric {rule.name}"
        return f"{where}: {state.last.message} (mend it in its AnalysisTemplate)"

    def _compatible(self, rule: _Rule) -> bool:
        """Whether a step may pass without its proof: its last look of this step was good."""
        state = self.states.get(rule.name)
        return (
            state is not None
            and state.measured
            and state.last is not None
            and (state.last.phase is Phase.SUCCESSFUL)
        )

    def _told(self, rule: _Rule) -> str:
        """Why a metric is as it is, in words."""
        state = self.states.get(rule.name)
        if state is None or state.last is None:
            return "not measured yet"
        last = state.last
        value = f"last {last.value}" if last.value else ""
        counts = "" if state.message else f"{state.in_step.successful} successful in this step"
        return "; ".join(part for part in (state.message, counts, value, last.message) if part)

    def _shown(self, step: str) -> tuple[MetricEvidence, ...]:
        return tuple(
            MetricEvidence(
                metric=rule.name,
                verdict=str(self.states[rule.name].phase),
                counted=Counted.MEASUREMENTS,
                reason=short(self._told(rule) + " (dry run)" * rule.dry_run, MESSAGE_LIMIT_BYTES),
                query=short(rule.metric.provider.prometheus.query, MESSAGE_LIMIT_BYTES),
            )
            for rule in self.rules
            if rule.name in self.states and rule.lasts_in(step)
        )

    def results(self) -> tuple[MetricResult, ...]:
        """As the status of the run holds them."""
        return tuple(
            result_of(rule.metric, self.states[rule.name], dry_run=rule.dry_run)
            for rule in self.rules
            if rule.name in self.states
        )


def _rule(spec: AnalysisRunSpec, metric: Threshold) -> _Rule:
    dry = any(names(each.metric_name, metric.name) for each in spec.dry_run)
    kept = (each.limit for each in spec.measurement_retention if names(each.metric_name, metric.name))
    return _Rule(metric, limits_of(metric), dry, next(kept, RETAINED))


def _grave(state: State | None) -> tuple[int, int, int]:
    if state is None:
        return 0, 0, 0
    return state.total.failed, state.total.inconclusive, state.total.error

"""The tests as folds: a checkpoint and a reading give the next checkpoint.

A checkpoint is all that a judge remembers: for each metric one cut, the counts and the capital of its bets,
and no series; at most 4 kB of JSON a metric. Arrays are packed as base64 of little-endian doubles, so what is
read back is what was written, bit for bit.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analysis.betting import Bet
from analysis.boundaries import HARM, SAFE, increments
from analysis.evidence import NO_EVENTS, Counts, Pair, to_datetime, to_ms
from analysis.interval import NO_LIKELIHOOD, likelihood_added
from analysis.metric import Against, Direction, Line, Metric, Rate
from analysis.pods import inflation
from analysis.policy import Policy
from analysis.reading import Reading, Status

FORMAT = 1
PRIOR_EVENTS = 0.1  # what the stable rate is guessed from before anything was counted:
PRIOR_SHARE = 0.001  # a tenth of a bad event in 100 requests,
PRIOR_PER_POD_HOUR = 0.1  # or in one pod-hour
NOTE_LENGTH = 200
NOTHING = Pair()


class NotAtCutError(ValueError):
    """A reading that does not begin at the metric's cut: folding it would count twice or leave a gap."""


@dataclass(frozen=True, slots=True)
class Test:
    """One line's evidence: a metric has one, an SLO one an edge. Harm lasts the rollout, safe one step."""

    harm: Bet
    safe: Bet
    counted: Pair = NOTHING
    in_step: Pair = NOTHING
    likelihood: tuple[float, ...] = NO_LIKELIHOOD


@dataclass(frozen=True, slots=True)
class MetricState:
    """What is remembered of one metric. `status` and `cause` are the last look's."""

    cut: int
    tests: tuple[Test, ...]
    looks: int = 0
    looks_in_step: int = 0
    status: Status = Status.WAITING
    cause: str = "not looked at yet"
    status_since: int = 0
    note: str = ""
    interval: int | None = None
    seen: int = 0

    @property
    def fresh(self) -> int:
        """Up to where the source is known to show both arms, counted or not."""
        return max(self.cut, self.seen)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the judge of one rollout stands. Times are milliseconds since the epoch."""

    began: int
    step: str
    step_since: int
    metrics: Mapping[str, MetricState]

    def cut(self, name: str) -> datetime:
        """Where this metric's reading stands: everything up to here is counted or given up."""
        return to_datetime(self.metrics[name].cut)

    def scrape_interval(self, name: str) -> timedelta | None:
        """The scrape interval that the metric's samples showed last: the default interval between looks."""
        seen = self.metrics[name].interval
        return None if seen is None else timedelta(milliseconds=seen)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; `from_json` gives back an equal checkpoint."""
        return {
            "format": FORMAT,
            "began": self.began,
            "step": self.step,
            "stepSince": self.step_since,
            "metrics": {name: _metric_to_json(state) for name, state in self.metrics.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Checkpoint:
        """Raises ValueError for another format or a damaged checkpoint."""
        if data.get("format") != FORMAT:
            raise ValueError(f"checkpoint of format {data.get('format')!r}; this judge reads format {FORMAT}")
        try:
            metrics = {name: _metric_from_json(state) for name, state in data["metrics"].items()}
            return cls(int(data["began"]), str(data["step"]), int(data["stepSince"]), metrics)
        except (KeyError, TypeError, AttributeError, IndexError) as damage:
            raise ValueError(f"damaged checkpoint: {damage!r}") from damage


def begin(policy: Policy, at: datetime) -> Checkpoint:
    """The start of a rollout: nothing is counted, and nothing before `at` will be."""
    now = to_ms(at)
    opened = Test(Bet.opened(HARM, policy.late_share), Bet.opened(SAFE))
    metrics = {m.name: MetricState(now, (opened,) * len(m.edges), status_since=now) for m in policy.metrics}
    return Checkpoint(now, "", now, metrics)


def begin_step(checkpoint: Checkpoint, step: str, at: datetime) -> Checkpoint:
    """Fresh safe evidence from `at` on, the instant the step's effect was observed.

    Harm evidence goes on. Does nothing where the step has begun already. Events of an interval that began
    before `at` speak for harm only.
    """
    if checkpoint.step == step:
        return checkpoint
    fresh = {
        name: replace(
            state,
            looks_in_step=0,
            tests=tuple(replace(test, safe=Bet.opened(SAFE), in_step=Pair()) for test in state.tests),
        )
        for name, state in checkpoint.metrics.items()
    }
    return replace(checkpoint, step=step, step_since=to_ms(at), metrics=fresh)


def skip(checkpoint: Checkpoint, name: str, until: datetime) -> Checkpoint:
    """Give up the evidence up to `until` (not backwards): it will never be counted, for either side."""
    state = checkpoint.metrics[name]
    return _with(checkpoint, name, replace(state, cut=max(state.cut, to_ms(until))))


def fold(policy: Policy, checkpoint: Checkpoint, name: str, reading: Reading) -> Checkpoint:
    """Take in one reading, exactly once.

    Only an OK reading counts and moves the cut; any other is remembered as the state of the source.
    Raises NotAtCutError unless `reading.since` is the metric's cut, KeyError for an unknown metric.
    """
    metric, state = policy.metric(name), checkpoint.metrics[name]
    if to_ms(reading.since) != state.cut:
        raise NotAtCutError(f"{name}: read from {reading.since}, but the cut is {to_datetime(state.cut)}")
    looked = _looked(state, reading)
    if reading.status is not Status.OK:
        return _with(checkpoint, name, looked)
    until = to_ms(reading.until)
    if until <= state.cut or len(reading.counts) != len(state.tests):
        raise NotAtCutError(
            f"{name}: a reading of {len(reading.counts)} counts up to {reading.until} moves nothing"
        )
    share = policy.late_share * (timedelta(milliseconds=until - state.cut) / policy.horizon)
    in_step = state.cut >= checkpoint.step_since
    line = _harm_line(policy, metric, reading)
    tests = tuple(
        _updated(test, metric, line, pair, share, in_step=in_step)
        for test, pair in zip(state.tests, reading.counts, strict=True)
    )
    counted = replace(
        looked, cut=until, tests=tests, looks=state.looks + 1, looks_in_step=state.looks_in_step + in_step
    )
    return _with(checkpoint, name, counted)


def _with(checkpoint: Checkpoint, name: str, state: MetricState) -> Checkpoint:
    return replace(checkpoint, metrics={**checkpoint.metrics, name: state})


def _looked(state: MetricState, reading: Reading) -> MetricState:
    same = state.status is reading.status
    interval = state.interval if reading.interval is None else reading.interval // timedelta(milliseconds=1)
    return replace(
        state,
        status=reading.status,
        cause=reading.cause[:NOTE_LENGTH],
        status_since=state.status_since if same else to_ms(reading.until),
        note="; ".join(reading.notes)[:NOTE_LENGTH] or state.note,
        interval=interval,
        seen=state.seen if reading.seen is None else to_ms(reading.seen),
    )


def _harm_line(policy: Policy, metric: Metric, reading: Reading) -> Line:
    """The line of harm, raised by what the pods alone may do; the other half of alpha is for the bet."""
    if metric.dispersion.tau == 0:
        return metric.harm_line
    level = policy.alpha * policy.weights[metric.name] / (2 * len(metric.edges))
    return metric.harm_line.raised(inflation(metric.dispersion, level, *reading.pods, metric.against))


def _updated(test: Test, metric: Metric, line: Line, pair: Pair, share: float, *, in_step: bool) -> Test:
    sided = facing(metric, pair)
    rate, phi = expected_rate(metric, test), metric.dispersion.phi
    harm = test.harm.invested(share).updated(increments(HARM, line, sided, rate) / phi)
    counted, likelihood = test.counted + pair, likelihood_added(test.likelihood, pair)
    if not in_step:
        return replace(test, harm=harm, counted=counted, likelihood=likelihood)
    safe = test.safe.updated(increments(SAFE, metric.safe_line, sided, rate) / phi)
    return Test(harm, safe, counted, test.in_step + pair, likelihood)


def facing(metric: Metric, pair: Pair) -> Pair:
    """The arms as the bet takes them: where fewer events are harm, it is stable that has "too many".

    Against a limit there is no stable: there the events that did not happen are the bad ones.
    """
    if metric.against is Against.STABLE:
        return pair if metric.direction is Direction.INCREASE else pair.swapped()
    canary = pair.canary
    floor = metric.direction is Direction.DECREASE
    return Pair(Counts(canary.total - canary.bad, canary.total) if floor else canary, NO_EVENTS)


def expected_rate(metric: Metric, test: Test) -> float:
    """The rate of the arm that the other is held against, from what was counted before: it is predictable."""
    past = facing(metric, test.counted).stable
    prior = PRIOR_PER_POD_HOUR if isinstance(metric.kind, Rate) else PRIOR_SHARE
    return (past.bad + PRIOR_EVENTS) / (past.total + PRIOR_EVENTS / prior)


def _pack(values: Sequence[float]) -> str:
    return base64.b64encode(np.array(values, dtype="<f8").tobytes()).decode("ascii")


def _unpack(text: str) -> tuple[float, ...]:
    return tuple(np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").tolist())


def _counts_to_json(pair: Pair) -> list[float]:
    return [pair.canary.bad, pair.canary.total, pair.stable.bad, pair.stable.total]


def _counts_from_json(data: Sequence[float]) -> Pair:
    canary_bad, canary_total, stable_bad, stable_total = map(float, data)
    return Pair(Counts(canary_bad, canary_total), Counts(stable_bad, stable_total))


def _test_to_json(test: Test) -> dict[str, Any]:
    return {
        "harm": _pack(test.harm.logs),
        "reserve": test.harm.reserve,
        "safe": _pack(test.safe.logs),
        "counted": _counts_to_json(test.counted),
        "inStep": _counts_to_json(test.in_step),
        "likelihood": _pack(test.likelihood),
    }


def _test_from_json(data: Mapping[str, Any]) -> Test:
    harm, safe, likelihood = (_unpack(data[key]) for key in ("harm", "safe", "likelihood"))
    for found, wanted in (
        (harm, len(HARM.kappas)),
        (safe, len(SAFE.kappas)),
        (likelihood, len(NO_LIKELIHOOD)),
    ):
        if len(found) != wanted:
            raise ValueError(f"damaged checkpoint: {len(found)} numbers where {wanted} were written")
    return Test(
        Bet(harm, float(data["reserve"])),
        Bet(safe),
        _counts_from_json(data["counted"]),
        _counts_from_json(data["inStep"]),
        likelihood,
    )


def _metric_to_json(state: MetricState) -> dict[str, Any]:
    return {
        "cut": state.cut,
        "tests": [_test_to_json(test) for test in state.tests],
        "looks": state.looks,
        "looksInStep": state.looks_in_step,
        "status": state.status.value,
        "cause": state.cause,
        "statusSince": state.status_since,
        "note": state.note,
        "interval": state.interval,
        "seen": state.seen,
    }


def _metric_from_json(data: Mapping[str, Any]) -> MetricState:
    interval = data["interval"]
    return MetricState(
        cut=int(data["cut"]),
        tests=tuple(_test_from_json(test) for test in data["tests"]),
        looks=int(data["looks"]),
        looks_in_step=int(data["looksInStep"]),
        status=Status(data["status"]),
        cause=str(data["cause"]),
        status_since=int(data["statusSince"]),
        note=str(data["note"]),
        interval=None if interval is None else int(interval),
        seen=int(data["seen"]),
    )

"""What is compared, and how much worse is tolerated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Direction(StrEnum):
    """Which change of the rate is harm."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Against(StrEnum):
    """What the canary is held against: stable at the same time, or (no control) a limit that is given."""

    STABLE = "stable"
    LIMIT = "limit"


class Role(StrEnum):
    """What a metric may do: gate and roll back; gate only (it should improve); roll back only; be shown."""

    GUARDRAIL = "guardrail"
    SUCCESS = "success"
    DETERIORATION = "deterioration"
    WARN = "warn"

    @property
    def rolls_back(self) -> bool:
        """Whether it has a share of alpha."""
        return self in (Role.GUARDRAIL, Role.DETERIORATION)

    @property
    def gates(self) -> bool:
        """Whether a step waits for its proof of safety."""
        return self in (Role.GUARDRAIL, Role.SUCCESS)


@dataclass(frozen=True, slots=True)
class Margin:
    """The line `(1 + relative) * stable rate + absolute`.

    Shares for proportions (0.0002 is 0.02 percentage points); events per pod-hour for rates.
    """

    relative: float = 0.0
    absolute: float = 0.0

    def line(self, stable_rate: float) -> float:
        """The canary's rate at this margin."""
        return (1 + self.relative) * stable_rate + self.absolute


@dataclass(frozen=True, slots=True)
class Line:
    """The canary's rate at a margin, `rho * stable rate + delta`; rho is 0 where there is no control.

    share: rates are shares of requests, hence at most 1; else they are events by exposure.
    """

    rho: float = 1.0
    delta: float = 0.0
    share: bool = True

    def at(self, stable_rate: float) -> float:
        """The canary's rate on the line."""
        return self.rho * stable_rate + self.delta

    def raised(self, factor: float) -> Line:
        """The line for a canary whose pods alone make `factor` times the events."""
        return Line(self.rho * factor, self.delta * factor, self.share)


@dataclass(frozen=True, slots=True)
class Dispersion:
    """How much noisier a metric is than independent events of one rate, as its own history showed.

    phi: what evidence is tempered by, at least 1: the variance of counts by that of independent events.
    tau: standard deviation, from pod to pod, of the logarithm of the rate. pods: how many pods told it.
    """

    phi: float = 1.0
    tau: float = 0.0
    pods: int = 0


@dataclass(frozen=True, slots=True)
class Proportion:
    """Bad events out of all events: two selectors of counters, `bad` counted within `total`."""

    bad: str
    total: str


@dataclass(frozen=True, slots=True)
class Slo:
    """The share of requests beyond each edge of a classic histogram, which counts in `per` parts of the
    edges' unit: 1000 where edges are seconds and `le` is in milliseconds.
    """

    buckets: str
    edges: tuple[float, ...]
    per: float = 1.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """All of a histogram: harm by its shape, safety by the shares beyond `edges`, as for an SLO.

    Harm is that the canary is slower at all, proved by the whole shape, while it is also slower than is
    tolerated by its 99th percentile or by the share beyond an edge. With a `shift` harm is to be slower by
    more than that many buckets, and nothing else is asked.
    """

    buckets: str
    edges: tuple[float, ...]
    shift: int = 0
    per: float = 1.0
    """As of an SLO."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Events by exposure: a counter against the pod-hours in which it was watched."""

    events: str


@dataclass(frozen=True, slots=True)
class Mean:
    """A gauge, such as memory: the mean over an arm's pods, compared block by block; margins are relative.

    block: at least as long as what the gauge does now tells what it does next. scale: what differences of log
    ratios are measured by, three times their median deviation in history; None: learned as it goes.
    """

    gauge: str
    block: timedelta = timedelta(minutes=1)
    scale: float | None = None


@dataclass(frozen=True, slots=True)
class Up:
    """Failed scrapes of an arm's pods out of all, by their `up`: how a canary without data is evidence."""


Kind = Proportion | Slo | Histogram | Rate | Mean | Up

# Where a metric names no margin: 1.05 and +0.02 pp, 1.5 and +0.25 pp for shares; for rates 5 % and one event
# in 50 pod-hours, 50 % and one in 5 pod-minutes.
_TOLERATE: Mapping[type, Margin] = {
    Proportion: Margin(0.05, 0.0002),
    Slo: Margin(0.05, 0.0002),
    Histogram: Margin(0.05, 0.0002),
    Rate: Margin(0.05, 0.02),
    Mean: Margin(0.1),
    Up: Margin(0.05, 0.02),
}
_UNACCEPTABLE: Mapping[type, Margin] = {
    Proportion: Margin(0.5, 0.0025),
    Slo: Margin(0.5, 0.0025),
    Histogram: Margin(0.5, 0.0025),
    Rate: Margin(0.5, 12.0),
    Mean: Margin(0.5),
    Up: Margin(0.5, 0.1),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One comparison of the canary with the stable version.

    `tolerate` is surely acceptable (no rollback at or below it), `unacceptable` surely not (no promotion at
    or beyond it); None takes the default of the kind. `weight` is the share of alpha among the metrics that
    may roll back; None takes the default: half for the first, the rest in equal parts. `against` a limit the
    margins' absolute parts are the limits, and must be given; a floor where fewer events are harm. What a
    process does in its first `warm_up` says nothing of latency or a gauge, in either arm; nor do failed
    scrapes of a new target so long.
    """

    name: str
    kind: Kind
    tolerate: Margin | None = None
    unacceptable: Margin | None = None
    direction: Direction = Direction.INCREASE
    role: Role = Role.GUARDRAIL
    weight: float | None = None
    against: Against = Against.STABLE
    dispersion: Dispersion = Dispersion()
    warm_up: timedelta = timedelta(0)

    @property
    def acceptable(self) -> Margin:
        """The margin at or below which a rollback is a false one."""
        return self.tolerate if self.tolerate is not None else _TOLERATE[type(self.kind)]

    @property
    def refusable(self) -> Margin:
        """The margin at or beyond which a promotion is a false one."""
        return self.unacceptable if self.unacceptable is not None else _UNACCEPTABLE[type(self.kind)]

    @property
    def harm_line(self) -> Line:
        """The line that a rollback needs the canary to be beyond."""
        return self._line(self.acceptable)

    @property
    def safe_line(self) -> Line:
        """The line that a promotion needs the canary to be within."""
        return self._line(self.refusable)

    def _line(self, margin: Margin) -> Line:
        share = not isinstance(self.kind, Rate | Mean)
        if self.against is Against.STABLE:
            return Line(1 + margin.relative, margin.absolute, share)
        floor = self.direction is Direction.DECREASE
        return Line(0.0, 1 - margin.absolute if floor else margin.absolute, share)

    @property
    def edges(self) -> tuple[float | None, ...]:
        """One test each: the edges of an SLO or a histogram, else a single None."""
        return self.kind.edges if isinstance(self.kind, Slo | Histogram) else (None,)

"""What is compared, how much worse is tolerated, and how sure a verdict must be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

MAX_EDGES = 3  # each edge is a test of its own; three fit the 4 kB that a metric's state may take


class InvalidPolicy(ValueError):  # noqa: N818 - named as the condition it becomes, like InvalidSpec
    """A policy that can't be judged by; `path` names the field, the text says the remedy."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path


class Direction(StrEnum):
    """Which change of the rate is harm."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Role(StrEnum):
    """What a metric may do: gate and roll back; gate only (it should improve); be shown."""

    GUARDRAIL = "guardrail"
    SUCCESS = "success"
    WARN = "warn"


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
class Proportion:
    """Bad events out of all events: two selectors of counters, `bad` counted within `total`."""

    bad: str
    total: str


@dataclass(frozen=True, slots=True)
class Slo:
    """The share of requests beyond each edge (in the histogram's unit) of a classic histogram."""

    buckets: str
    edges: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """Events by exposure: a counter against the pod-hours in which it was watched."""

    events: str


Kind = Proportion | Slo | Rate

# Where a metric names no margin: 1.05 and +0.02 pp, 1.5 and +0.25 pp for shares; for rates 5 % and one event
# in 50 pod-hours, 50 % and one in 5 pod-minutes.
_TOLERATE: Mapping[type, Margin] = {
    Proportion: Margin(0.05, 0.0002),
    Slo: Margin(0.05, 0.0002),
    Rate: Margin(0.05, 0.02),
}
_UNACCEPTABLE: Mapping[type, Margin] = {
    Proportion: Margin(0.5, 0.0025),
    Slo: Margin(0.5, 0.0025),
    Rate: Margin(0.5, 12.0),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One comparison of the canary with the stable version.

    `tolerate` is surely acceptable (no rollback at or below it), `unacceptable` surely not (no promotion at
    or beyond it); None takes the default of the kind. `weight` is the share of alpha among guardrails; None
    takes the default: half for the first guardrail, the rest in equal parts.
    """

    name: str
    kind: Kind
    tolerate: Margin | None = None
    unacceptable: Margin | None = None
    direction: Direction = Direction.INCREASE
    role: Role = Role.GUARDRAIL
    weight: float | None = None

    @property
    def acceptable(self) -> Margin:
        """The margin at or below which a rollback is a false one."""
        return self.tolerate if self.tolerate is not None else _TOLERATE[type(self.kind)]

    @property
    def refusable(self) -> Margin:
        """The margin at or beyond which a promotion is a false one."""
        return self.unacceptable if self.unacceptable is not None else _UNACCEPTABLE[type(self.kind)]

    @property
    def edges(self) -> tuple[float | None, ...]:
        """One test each: the edges of an SLO, else a single None."""
        return self.kind.edges if isinstance(self.kind, Slo) else (None,)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a rollout is judged by. Validated when made: raises `InvalidPolicy` that names the field.

    alpha: false rollback, over the whole rollout, all metrics, steps and looks together.
    beta: false promotion, for each guardrail and step.
    metrics: all metrics of the rollout, those of later steps included, since weights are fixed at the start.
    min_events: bad canary events below which a metric can't speak for a rollback.
    late_share: capital kept back for regressions that begin late, invested evenly over `horizon`.
    horizon: how long the rollout is expected to be judged.
    stale_after: a metric without a newer reading is blind.
    """

    metrics: tuple[Metric, ...]
    alpha: float = 0.01
    beta: float = 0.05
    min_events: int = 3
    late_share: float = 0.3
    horizon: timedelta = timedelta(hours=1)
    stale_after: timedelta = timedelta(minutes=2)

    def __post_init__(self) -> None:
        for path, text in _faults(self):
            raise InvalidPolicy(path, text)

    @property
    def weights(self) -> Mapping[str, float]:
        """Share of alpha by metric name; sums to 1 over the guardrails, 0 for the others."""
        guardrails = [m for m in self.metrics if m.role is Role.GUARDRAIL]
        given = {m.name: m.weight for m in guardrails if m.weight is not None}
        rest = [m.name for m in guardrails if m.weight is None]
        left = 1.0 - sum(given.values())
        shares = dict.fromkeys((m.name for m in self.metrics), 0.0) | given
        for place, name in enumerate(rest):
            shares[name] = left * _default_share(place, len(rest), primary=not given)
        return shares

    def metric(self, name: str) -> Metric:
        """The metric of this name; raises KeyError."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)


def _default_share(place: int, count: int, *, primary: bool) -> float:
    if count == 1:
        return 1.0
    if not primary:
        return 1.0 / count
    return 0.5 if place == 0 else 0.5 / (count - 1)


def _faults(policy: Policy) -> Iterator[tuple[str, str]]:
    for path, value in (("alpha", policy.alpha), ("beta", policy.beta)):
        if not 0 < value < 0.5:
            yield path, f"must be above 0 and below 0.5 (0.01 is 1 %), not {value:g}"
    if not 0 <= policy.late_share < 1:
        yield "late_share", f"must be at least 0 and below 1, not {policy.late_share:g}"
    if policy.horizon <= timedelta(0):
        yield "horizon", "must be a positive duration"
    if policy.stale_after <= timedelta(0):
        yield "stale_after", "must be a positive duration"
    if policy.min_events < 1:
        yield "min_events", f"must be at least 1, not {policy.min_events}"
    names: set[str] = set()
    for place, metric in enumerate(policy.metrics):
        path = f"metrics[{place}]"
        if not metric.name or metric.name in names:
            yield f"{path}.name", f"must be given and unique, not {metric.name!r}"
        names.add(metric.name)
        yield from _metric_faults(metric, path)
    yield from _weight_faults(policy)


def _weight_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    guardrails = [m for m in policy.metrics if m.role is Role.GUARDRAIL]
    given = [m.weight for m in guardrails if m.weight is not None]
    if len(given) == len(guardrails) > 0 and not math.isclose(sum(given), 1.0):
        yield "metrics", f"the weights of the guardrails must sum to 1, not {sum(given):g}"
    if len(given) < len(guardrails) and sum(given) >= 1.0:
        yield "metrics", f"the given weights sum to {sum(given):g} and leave nothing for the other guardrails"


def _metric_faults(metric: Metric, path: str) -> Iterator[tuple[str, str]]:
    if metric.weight is not None and not (metric.role is Role.GUARDRAIL and 0 < metric.weight <= 1):
        yield f"{path}.weight", "is for guardrails, above 0 and at most 1"
    tolerate, unacceptable = metric.acceptable, metric.refusable
    for name, margin in (("tolerate", tolerate), ("unacceptable", unacceptable)):
        lowest = -1.0 if (metric.role is Role.SUCCESS and name == "unacceptable") else 0.0
        if not (math.isfinite(margin.relative) and margin.relative >= lowest and margin.relative > -1):
            yield f"{path}.{name}.relative", f"must be a finite share of at least {lowest:g} and above -1"
        if not (math.isfinite(margin.absolute) and margin.absolute >= 0):
            yield f"{path}.{name}.absolute", "must be finite and not negative"
        if margin.absolute >= 1 and not isinstance(metric.kind, Rate):
            yield (
                f"{path}.{name}.absolute",
                f"is a share and must be below 1 (1pp is 0.01), not {margin.absolute:g}",
            )
    if metric.role is not Role.SUCCESS:
        for part in ("relative", "absolute"):
            low, high = getattr(tolerate, part), getattr(unacceptable, part)
            if low > high:
                yield f"{path}.tolerate.{part}", f"{low:g} must not exceed unacceptable.{part} {high:g}"
    if isinstance(metric.kind, Slo):
        yield from _edge_faults(metric.kind.edges, f"{path}.slo")


def _edge_faults(edges: tuple[float, ...], path: str) -> Iterator[tuple[str, str]]:
    if not 1 <= len(edges) <= MAX_EDGES:
        yield path, f"needs 1 to {MAX_EDGES} edges, not {len(edges)}"
    if any(not (math.isfinite(edge) and edge > 0) for edge in edges) or list(edges) != sorted(set(edges)):
        yield path, "the edges must be positive, finite and rising"

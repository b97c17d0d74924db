"""What a rollout is judged by, and how sure a verdict must be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from analysis.metric import Against, Direction, Histogram, Mean, Metric, Proportion, Rate, Role, Slo, Up
from analysis.routing import Share

MAX_EDGES = 3  # each edge is a test of its own; three fit the 4 kB that a metric's state may take
MAX_SHIFT = 8  # buckets
MAX_PHI = 20.0  # beyond this the noise of a metric is not what a rollback may rest on


class InvalidPolicy(ValueError):  # noqa: N818 - named as the condition it becomes, like InvalidSpec
    """A policy that can't be judged by; `path` names the field, the text says the remedy."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path


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
    share: whether, and by what, the canary's share of traffic is held against its weight; see `route`.
    """

    metrics: tuple[Metric, ...]
    alpha: float = 0.01
    beta: float = 0.05
    min_events: int = 3
    late_share: float = 0.3
    horizon: timedelta = timedelta(hours=1)
    stale_after: timedelta = timedelta(minutes=2)
    share: Share | None = None

    def __post_init__(self) -> None:
        for path, text in _faults(self):
            raise InvalidPolicy(path, text)

    @property
    def weights(self) -> Mapping[str, float]:
        """Share of alpha by metric name; sums to 1 over those that may roll back, 0 for the others."""
        armed = [m for m in self.metrics if m.role.rolls_back]
        given = {m.name: m.weight for m in armed if m.weight is not None}
        rest = [m.name for m in armed if m.weight is None]
        left = 1.0 - sum(given.values())
        shares = dict.fromkeys((m.name for m in self.metrics), 0.0) | given
        for place, name in enumerate(rest):
            shares[name] = left * _default_share(place, len(rest), primary=not given)
        return shares

    @property
    def load_by(self) -> str | None:
        """The first metric that counts requests of both arms: it tells the load of their pods."""
        counting = [m for m in self.metrics if isinstance(m.kind, Proportion | Slo | Histogram)]
        return next((m.name for m in counting if m.against is Against.STABLE), None)

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
    if policy.share is not None:
        yield from _share_faults(policy, policy.share)


def _share_faults(policy: Policy, share: Share) -> Iterator[tuple[str, str]]:
    counted = [m.name for m in policy.metrics if isinstance(m.kind, Proportion | Slo | Histogram)]
    if share.metric not in counted:
        yield "share.metric", f"must be a metric that counts requests, not {share.metric!r}"
    if not 0 < share.tolerance < 1:
        yield "share.tolerance", f"must be above 0 and below 1, not {share.tolerance:g}"
    if not 0 < share.level < 0.5:
        yield "share.level", f"must be above 0 and below 0.5, not {share.level:g}"
    if not (math.isfinite(share.phi) and share.phi >= 1):
        yield "share.phi", f"must be at least 1, not {share.phi:g}"


def _weight_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    armed = [m for m in policy.metrics if m.role.rolls_back]
    given = [m.weight for m in armed if m.weight is not None]
    if len(given) == len(armed) > 0 and not math.isclose(sum(given), 1.0):
        yield "metrics", f"the weights of the guardrails must sum to 1, not {sum(given):g}"
    if len(given) < len(armed) and sum(given) >= 1.0:
        yield "metrics", f"the given weights sum to {sum(given):g} and leave nothing for the other guardrails"


def _metric_faults(metric: Metric, path: str) -> Iterator[tuple[str, str]]:
    if metric.weight is not None and not (metric.role.rolls_back and 0 < metric.weight <= 1):
        yield f"{path}.weight", "is for metrics that may roll back, above 0 and at most 1"
    if metric.against is Against.LIMIT:
        yield from _limit_faults(metric, path)
    else:
        yield from _margin_faults(metric, path)
    yield from _dispersion_faults(metric, f"{path}.dispersion")
    if metric.warm_up < timedelta(0):
        yield f"{path}.warm_up", "must not be negative"
    if metric.warm_up and not isinstance(metric.kind, Slo | Histogram | Mean | Up):
        yield f"{path}.warm_up", "is for latency, gauges and up: errors count from the first request"
    if isinstance(metric.kind, Slo | Histogram):
        yield from _edge_faults(metric.kind.edges, f"{path}.slo")
    if isinstance(metric.kind, Histogram):
        yield from _histogram_faults(metric, metric.kind, path)
    if isinstance(metric.kind, Mean):
        yield from _mean_faults(metric, metric.kind, path)


def _mean_faults(metric: Metric, kind: Mean, path: str) -> Iterator[tuple[str, str]]:
    if metric.against is Against.LIMIT:
        yield f"{path}.against", "a gauge needs a control: hold it to a limit by a threshold metric"
    for name, margin in (("tolerate", metric.acceptable), ("unacceptable", metric.refusable)):
        if margin.absolute != 0:
            yield f"{path}.{name}.absolute", "must be 0: a gauge is compared by its ratio alone"
    if kind.block <= timedelta(0):
        yield f"{path}.block", "must be a positive duration"
    if kind.scale is not None and not (math.isfinite(kind.scale) and kind.scale > 0):
        yield f"{path}.scale", f"must be above 0, not {kind.scale:g}"


def _histogram_faults(metric: Metric, kind: Histogram, path: str) -> Iterator[tuple[str, str]]:
    if metric.against is Against.LIMIT:
        yield f"{path}.against", "the shape of a histogram needs a control: use the SLO's edges alone"
    if not 0 <= kind.shift <= MAX_SHIFT:
        yield f"{path}.shift", f"must be 0 to {MAX_SHIFT} buckets, not {kind.shift}"
    if metric.dispersion.tau > 0:
        yield f"{path}.dispersion.tau", "is for counts: the shape of a histogram is tempered by phi alone"


def _margin_faults(metric: Metric, path: str) -> Iterator[tuple[str, str]]:
    tolerate, unacceptable = metric.acceptable, metric.refusable
    for name, margin in (("tolerate", tolerate), ("unacceptable", unacceptable)):
        lowest = -1.0 if (metric.role is Role.SUCCESS and name == "unacceptable") else 0.0
        if not (math.isfinite(margin.relative) and margin.relative >= lowest and margin.relative > -1):
            yield f"{path}.{name}.relative", f"must be a finite share of at least {lowest:g} and above -1"
        if not (math.isfinite(margin.absolute) and margin.absolute >= 0):
            yield f"{path}.{name}.absolute", "must be finite and not negative"
        if margin.absolute >= 1 and not isinstance(metric.kind, Rate | Mean):
            yield (
                f"{path}.{name}.absolute",
                f"is a share and must be below 1 (1pp is 0.01), not {margin.absolute:g}",
            )
    if metric.role is not Role.SUCCESS:
        for part in ("relative", "absolute"):
            low, high = getattr(tolerate, part), getattr(unacceptable, part)
            if low > high:
                yield f"{path}.tolerate.{part}", f"{low:g} must not exceed unacceptable.{part} {high:g}"


def _limit_faults(metric: Metric, path: str) -> Iterator[tuple[str, str]]:
    floor = metric.direction is Direction.DECREASE
    if floor and isinstance(metric.kind, Rate):
        yield f"{path}.direction", "a rate can be held to a ceiling only: count what must not happen"
    for name, margin in (("tolerate", metric.tolerate), ("unacceptable", metric.unacceptable)):
        if margin is None:
            yield f"{path}.{name}.absolute", "must be given: without a control it is the limit itself"
            continue
        if margin.relative != 0:
            yield f"{path}.{name}.relative", "must be 0: without a control there is nothing to be relative to"
        highest = math.inf if isinstance(metric.kind, Rate) else 1.0
        if not 0 < margin.absolute < highest:
            yield f"{path}.{name}.absolute", f"must be above 0 and below {highest:g}, not {margin.absolute:g}"
    if metric.harm_line.delta > metric.safe_line.delta and metric.role is not Role.SUCCESS:
        yield f"{path}.tolerate.absolute", "must not be worse than unacceptable.absolute"


def _dispersion_faults(metric: Metric, path: str) -> Iterator[tuple[str, str]]:
    noise = metric.dispersion
    if not (math.isfinite(noise.phi) and noise.phi >= 1):
        yield f"{path}.phi", f"must be at least 1, not {noise.phi:g}"
    if metric.role.rolls_back and noise.phi > MAX_PHI:
        yield (
            f"{path}.phi",
            f"{noise.phi:.3g} exceeds {MAX_PHI:g}: too noisy to roll back by; use role warn or success",
        )
    if not (math.isfinite(noise.tau) and noise.tau >= 0):
        yield f"{path}.tau", f"must not be negative, not {noise.tau:g}"
    if noise.tau > 0 and noise.pods < 3:
        yield f"{path}.pods", f"tau can't be told from fewer than 3 pods, not {noise.pods}"


def _edge_faults(edges: tuple[float, ...], path: str) -> Iterator[tuple[str, str]]:
    if not 1 <= len(edges) <= MAX_EDGES:
        yield path, f"needs 1 to {MAX_EDGES} edges, not {len(edges)}"
    if any(not (math.isfinite(edge) and edge > 0) for edge in edges) or list(edges) != sorted(set(edges)):
        yield path, "the edges must be positive, finite and rising"

"""The sequential comparison of the canary with the stable version (ours): of what, and how told apart."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rollout.api import rules
from rollout.api.base import Duration, Model, Switch
from rollout.api.errors import Problem
from rollout.api.margin import Margin, Scale, limits_amiss, margins_amiss
from rollout.api.measures import (
    MAX_PHI,
    Against,
    Direction,
    HarmBy,
    Matchers,
    Mean,
    Noise,
    Role,
    Selector,
    Up,
    miscounted,
    no_buckets,
    of_a_summary,
)

EDGES_LIMIT = 3


MEASURES = ("proportion", "histogram", "rate", "mean", "up")
"""What may be compared."""


class ArmsPreset(StrEnum):
    """Where the arms are told apart by what a known source of metrics writes."""

    PODS = "pods"
    TRAEFIK = "traefik"
    ISTIO = "istio"
    ENVOY_GATEWAY = "envoy-gateway"
    LINKERD = "linkerd"
    NGINX_GATEWAY = "nginx-gateway"


class MetricPreset(StrEnum):
    """What is compared, by the series that the source of the arms is known to write."""

    ERRORS = "errors"
    LATENCY = "latency"


class LatencyUnit(StrEnum):
    """What a histogram's `le` counts in."""

    SECONDS = "s"
    MILLISECONDS = "ms"


class Proportion(Model):
    """Bad events out of all events."""

    bad: Selector
    """The counter of bad events, counted within `total`."""
    total: Selector
    """The counter of all events."""


def _rising(edges: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    if edges[:1] <= (timedelta(0),) or any(low >= high for low, high in pairwise(edges)):
        raise ValueError("the edges must be above 0 and rising")
    return edges


Slo = Annotated[tuple[Duration, ...], Field(min_length=1, max_length=EDGES_LIMIT), AfterValidator(_rising)]


class Histogram(Model):
    """A classic histogram, such as latency: harm by its whole shape, safety by the shares beyond edges."""

    buckets: Selector
    """The histogram's `_bucket` series, or a native histogram itself."""
    slo: Slo
    """Edges: the share of slower requests must stay within the margins. Each must be a bucket's edge."""
    harm: HarmBy | None = None
    """What proves harm. shape (default): slower at all by the whole histogram, and by more than is tolerated;
    slo: the shares beyond the edges alone, as always against a limit."""
    unit: LatencyUnit = LatencyUnit.SECONDS
    """What `le` counts in: s or ms."""


class Rate(Model):
    """Events by exposure, in pod-hours."""

    events: Selector
    """The counter of events."""


class Arms(Model):
    """How the series of the two versions are told apart: by a preset, a label, or matchers for both."""

    preset: ArmsPreset | None = None
    """pods: by namespace and pod name. The others: as that data plane writes its own series."""
    label: Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=253)] | None = None
    """The label that holds the pod template's hash."""
    stable: Matchers | None = None
    """Matchers of the stable version's series."""
    canary: Matchers | None = None
    """Matchers of the canary's series."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.stable is None) != (self.canary is None):
            raise ValueError("stable and canary belong together")
        ways = [self.preset is not None, self.label is not None, self.stable is not None]
        if sum(ways) != 1:
            raise ValueError("must have exactly one of preset, label, or stable and canary")
        return self


_COUNTER = (miscounted, "name a counter, such as requests_total or request_seconds_count")


_MISCOUNTED: Mapping[str, tuple[Callable[[str], str], str]] = {
    "proportion": _COUNTER,
    "rate": _COUNTER,
    "histogram": (no_buckets, "name the series that end in _bucket, without le"),
    "mean": (of_a_summary, "name a gauge of each pod, or compare the histogram"),
}
"""By measure: why a selector can't be what is measured, and the remedy."""


class Compare(Model):
    """The sequential comparison of the canary with the stable version, same traffic, same time (ours)."""

    proportion: Proportion | None = None
    """Bad events out of all events."""
    histogram: Histogram | None = None
    """Shares of requests slower than the edges of a classic histogram."""
    rate: Rate | None = None
    """Events by exposure."""
    preset: MetricPreset | None = None
    """errors or latency: by the known series of what tells the arms apart."""
    slo: Slo | None = None
    """The edges of the preset latency."""
    mean: Mean | None = None
    """The mean of a gauge."""
    up: Up | None = None
    """Failed scrapes out of all."""
    tolerate: Margin | None = None
    """Surely acceptable: no rollback at or below it. Default: 5% and 0.02pp; of a rate 5% and 0.02/h."""
    unacceptable: Margin | None = None
    """Surely not: no promotion at or beyond it. Default: 50% and 0.25pp; of a rate 50% and 12/h."""
    direction: Direction = Direction.INCREASE
    """Which change is harm: increase or decrease."""
    role: Role = Field(default_factory=lambda: Role.GUARDRAIL)
    """guardrail: gates and rolls back; success: gates; deterioration: rolls back; warn: is shown. Default:
    guardrail; of a gauge warn."""
    against: Against = Against.STABLE
    """stable: the stable version on the same traffic; limit: the margins' absolute parts are the limits."""
    noise: Noise = Noise()
    """How noisy it is by itself: evidence is tempered by it. Default: independent events."""
    warm_up: Duration | None = None
    """What a process does at first says nothing, in either version. Default: 60s of a histogram, a gauge or
    up, else 0s."""
    routed: Switch = True
    """Whether what is counted are the requests that the route splits: by the first such metric the canary's
    share of them is held against its weight."""
    arms: Arms = Arms(preset=ArmsPreset.PODS)
    """How the two versions' series are told apart. Default: by pod name; of a preset: by the data plane that
    serves the route.
    """

    @property
    def measured(self) -> Proportion | Histogram | Rate | Mean | Up:
        """What is compared."""
        found = self.proportion or self.histogram or self.rate or self.mean or self.up
        assert found is not None, "presets are resolved before anything is measured"
        return found

    @property
    def scale(self) -> Scale:
        """What the margins are about."""
        if self.preset is not None:
            return Scale.SHARE
        match self.measured:
            case Rate():
                return Scale.RATE
            case Mean():
                return Scale.RATIO
            case Up():
                return Scale.SCRAPES
            case _:
                return Scale.SHARE

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """(field path, text) of everything that may hold placeholders."""
        named = {
            ".proportion.bad": self.proportion and self.proportion.bad,
            ".proportion.total": self.proportion and self.proportion.total,
            ".histogram.buckets": self.histogram and self.histogram.buckets,
            ".rate.events": self.rate and self.rate.events,
            ".mean.gauge": self.mean and self.mean.gauge,
            ".arms.stable": self.arms.stable,
            ".arms.canary": self.arms.canary,
        }
        return tuple((path, text) for path, text in named.items() if text)

    @model_validator(mode="before")
    @classmethod
    def _a_gauge_is_shown(cls, given: object) -> object:
        """Unless somebody says more of it: its noise is seldom known."""
        if isinstance(given, Mapping) and given.get("mean") is not None and given.get("role") is None:
            return {**given, "role": Role.WARN}
        return given

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        ways = (*MEASURES, "preset")
        if sum(getattr(self, name) is not None for name in ways) != 1:
            raise ValueError(f"must have exactly one of {', '.join(ways)}")
        if (self.preset is MetricPreset.LATENCY) != (self.slo is not None):
            raise ValueError("slo goes with preset: latency, and with nothing else here")
        problems = [*self._miscounted(), *self._margins(), *self._misfits()]
        if problems:
            raise rules.WrongFieldsError(*problems)
        return self

    def _miscounted(self) -> Iterator[Problem]:
        for path, text in self.selectors:
            if ".arms." in path:
                continue
            why, remedy = _MISCOUNTED[path.split(".")[1]]
            if why(text):
                yield Problem(path, why(text), remedy)

    def _margins(self) -> tuple[Problem, ...]:
        if self.against is Against.LIMIT:
            floor = self.direction is Direction.DECREASE
            return limits_amiss(self.tolerate, self.unacceptable, self.scale, floor=floor)
        improve = self.role is Role.SUCCESS
        return margins_amiss(self.tolerate, self.unacceptable, self.scale, improve=improve)

    def _misfits(self) -> Iterator[Problem]:
        """What can't be asked of what is measured."""
        if self.against is Against.LIMIT and self.mean:
            yield Problem(".against", "a gauge is compared by its ratio and needs a control", "remove it")
        if self.against is Against.LIMIT and self.histogram and self.histogram.harm is HarmBy.SHAPE:
            yield Problem(".histogram.harm", "the shape of a histogram needs a control", "write slo")
        if self.against is Against.LIMIT and self.rate and self.direction is Direction.DECREASE:
            yield Problem(".direction", "a rate is held to a ceiling only", "count what must not happen")
        if self.warm_up and (self.proportion or self.rate):
            yield Problem(".warmUp", "errors count from the first request", "remove it")
        if self.noise.phi > MAX_PHI and self.role.rolls_back:
            message = f"{self.noise.phi:g} exceeds {MAX_PHI:g}: too noisy to roll back by"
            yield Problem(".noise.phi", message, "use role warn or success")
        if self.noise.tau and self.histogram and self.histogram.harm is not HarmBy.SLO:
            yield Problem(".noise.tau", "the shape of a histogram is tempered by phi alone", "write phi")

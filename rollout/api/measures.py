"""What `compare` may measure beside counts of requests, against what, and how noisy it is by itself."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rollout.api import rules
from rollout.api.base import Count, Duration, Model
from rollout.api.errors import Problem
from rollout.api.selectors import are_matchers, is_selector, placeholders, series_named

WARM_UP = timedelta(seconds=60)
"""So long a new process says nothing of latency, memory or scrapes, where nobody says otherwise."""
MAX_PHI = 20.0
"""Beyond this the noise of a metric is not what a rollback may rest on."""
FEWEST_PODS_FOR_TAU = 3

_QUOTES = "; placeholders stand in double quotes"


def _selector(text: str) -> str:
    if not is_selector(text):
        example = 'must be a metric selector such as requests_total{code=~"5.."}, not an expression'
        raise ValueError(example + _QUOTES * bool(placeholders(text)))
    return text


def _matchers(text: str) -> str:
    if not are_matchers(text):
        raise ValueError(
            'must be matchers such as service="shop-canary"' + _QUOTES * bool(placeholders(text))
        )
    return text


Selector = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_selector)]
Matchers = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_matchers)]


# These three words are the judge's too. They are not imported from there: with it would come numpy and scipy,
# and every command that reads a manifest would wait for them.


class Role(StrEnum):
    """What a metric may do: gate and roll back; gate only, as it should improve; roll back only; be shown."""

    GUARDRAIL = "guardrail"
    SUCCESS = "success"
    DETERIORATION = "deterioration"
    WARN = "warn"

    @property
    def rolls_back(self) -> bool:
        """Whether it has a share of alpha."""
        return self in (Role.GUARDRAIL, Role.DETERIORATION)


class Direction(StrEnum):
    """Which change is harm."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Against(StrEnum):
    """What the canary is held against."""

    STABLE = "stable"
    LIMIT = "limit"


class HarmBy(StrEnum):
    """What of a histogram proves harm."""

    SHAPE = "shape"
    SLO = "slo"


class Mean(Model):
    """The mean of a gauge over a version's pods, such as memory: compared by its ratio, block by block."""

    gauge: Selector
    """The gauge, a series a pod."""
    block: Annotated[Duration, AfterValidator(rules.positive)] = timedelta(minutes=1)
    """At least as long as what the gauge does now tells what it does next. About eight blocks are needed."""


class Up(Model):
    """Failed scrapes of a version's pods out of all, by their `up`: a canary that went silent is evidence."""


Noisy = Annotated[float, Field(ge=1)]
Spread = Annotated[float, Field(ge=0, le=10)]


class Noise(Model):
    """How much noisier than independent events of one rate a metric is by itself, as its history showed."""

    phi: Noisy = 1.0
    """The variance of its counts by that of independent events; evidence is divided by it."""
    tau: Spread = 0.0
    """The standard deviation, from pod to pod, of the logarithm of its rate."""
    pods: Count = 0
    """How many pods told `tau`."""

    @model_validator(mode="after")
    def _told_by_pods(self) -> Self:
        if self.tau > 0 and self.pods < FEWEST_PODS_FOR_TAU:
            message = f"{FEWEST_PODS_FOR_TAU} pods at least must have told tau"
            raise rules.WrongFieldsError(Problem(".pods", message, "say how many pods it was measured on"))
        return self


def miscounted(text: str) -> str:
    """Why what a selector names is no counter of events; '' where it may be one."""
    name, _ = series_named(text)
    if name.endswith("_sum"):
        return f"{name} sums values up and counts nothing"
    return of_a_summary(text)


def of_a_summary(text: str) -> str:
    """Why the quantile of a summary can't be compared; '' where a selector names none."""
    _, labels = series_named(text)
    known = "quantile" in labels
    return "the quantile of a summary counts nothing, and those of several pods have no mean" if known else ""


def no_buckets(text: str) -> str:
    """Why what a selector names are not the buckets of a histogram; '' where they may be."""
    name, labels = series_named(text)
    if name.endswith(("_sum", "_count", "_total")):
        return f"{name} is one number, not the buckets of a histogram"
    if "le" in labels:
        return "takes some of the buckets out: the judge needs all of them"
    return of_a_summary(text)

"""Rules about metrics by their names: which decide nothing, and how much is shown of which."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from rollout.api.base import Model

RETENTION_LIMIT = 100


_PLAIN = r"[^\\.*+?()\[\]{}|^$]"


_PATTERN = re.compile(rf"(?:{_PLAIN}|\\.|\.[*+]|\.|\||\^|\$|\[[\w-]+\])*")


def _name_pattern(text: str) -> str:
    """A regular expression that is matched in bounded time: no groups, few repeats."""
    if _PATTERN.fullmatch(text) is None or len(re.findall(r"(?<!\\)\.[*+]", text)) > 3:
        raise ValueError("must be a name, or a simple pattern such as success.* or a|b")
    return text


NamePattern = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_name_pattern)]


class DryRun(Model):
    """Metrics that are measured and shown, and decide nothing."""

    metric_name: NamePattern
    """A name, or a simple regular expression."""


class MeasurementRetention(Model):
    """How many measurements an AnalysisRun shows."""

    metric_name: NamePattern
    """A name, or a simple regular expression."""
    limit: Annotated[int, Field(strict=True, ge=1, le=RETENTION_LIMIT)]
    """The last ones; by default 10."""


def names(pattern: str, metric: str) -> bool:
    """Whether a `metricName` speaks of a metric, as Argo Rollouts matches: anywhere in its name."""
    return re.search(pattern, metric) is not None


def exactly(metric: str) -> str:
    """The `metricName` of one metric alone."""
    return f"^{re.escape(metric)}$"

"""Which server a metric asks, and on behalf of which namespace: whose Secrets may prove who asks."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.sources import Source
from rollout.api.providers import Prometheus


@dataclass(frozen=True, slots=True)
class Access:
    """A server as a namespace asks it."""

    server: Prometheus
    namespace: str = ""


SourceOf = Callable[[Access], Source]
"""The source behind an access; it may be a refusing one."""
ServerSource = Callable[[Prometheus], Source]
"""The same for one namespace."""


def within(source_of: SourceOf, namespace: str) -> ServerSource:
    """The sources of metrics of one namespace."""
    return lambda prometheus: source_of(Access(prometheus.server, namespace))

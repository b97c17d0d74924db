"""Connections to Prometheus, one an address, kept for as long as the operator runs."""

from datetime import datetime, timedelta

from analysis.evidence import Labels, Series
from analysis.sources import QueryRefusedError, Source
from analysis.sources.batching import BatchingSource
from analysis.sources.evaluating import Answer
from analysis.sources.prometheus import PrometheusSource
from rollout.settings import Settings


class NotAllowed:
    """A source that may not be asked, or that nobody named."""

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """Refuse."""
        raise QueryRefusedError(self._refusal)

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """Refuse."""
        raise QueryRefusedError(self._refusal)

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        """Refuse."""
        raise QueryRefusedError(self._refusal)


class Sources:
    """All sources, by address."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, PrometheusSource] = {}
        self._shared: dict[str, BatchingSource] = {}

    def at(self, address: str) -> Source:
        """The source at `address`, or the operator's own where that is empty; it may be a refusing one."""
        if not address and not self._settings.prometheus:
            return NotAllowed(
                "provider.prometheus.address: the metric names no Prometheus, and the operator has none of "
                "its own: name one, or an administrator sets ROLLOUT_PROMETHEUS"
            )
        if address and not self._settings.allows_prometheus(address):
            return NotAllowed(
                f"provider.prometheus.address: {address} is not among those that the operator allows: leave "
                "it out for the operator's own, or an administrator adds it to ROLLOUT_PROMETHEUS_ALLOWED"
            )
        address = address or self._settings.prometheus
        if address not in self._open:
            self._open[address] = PrometheusSource(address, at_once=self._settings.measurements_at_once)
            self._shared[address] = BatchingSource(self._open[address])
        return self._shared[address]

    def close(self) -> None:
        """Close all connections."""
        for source in self._open.values():
            source.close()

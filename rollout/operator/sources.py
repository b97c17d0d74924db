"""Connections to Prometheus, one an address, kept for as long as the operator runs."""

from datetime import datetime, timedelta

from analysis.evidence import Labels, Series
from analysis.sources import QueryRefusedError, Source
from analysis.sources.prometheus import PrometheusSource
from rollout.settings import Settings


class NotAllowed:
    """A source at an address that the admin's allow-list does not hold."""

    def __init__(self, address: str) -> None:
        self._refusal = f"the Prometheus address {address} is not among those that the operator allows"

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """Refuse."""
        raise QueryRefusedError(self._refusal)

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """Refuse."""
        raise QueryRefusedError(self._refusal)


class Sources:
    """All sources, by address."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, PrometheusSource] = {}

    def at(self, address: str) -> Source:
        """The source at `address`, which may be a refusing one."""
        allowed = self._settings.prometheus_allowed
        if allowed and not any(address.startswith(prefix) for prefix in allowed):
            return NotAllowed(address)
        if address not in self._open:
            self._open[address] = PrometheusSource(address, at_once=self._settings.measurements_at_once)
        return self._open[address]

    def close(self) -> None:
        """Close all connections."""
        for source in self._open.values():
            source.close()

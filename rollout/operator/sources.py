"""Connections to Prometheus, one an address, kept for as long as the operator runs."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import urllib3

from analysis.evidence import Labels, Series
from analysis.sources import QueryRefusedError, Source
from analysis.sources.batching import BatchingSource
from analysis.sources.evaluating import Answer
from analysis.sources.prometheus import PrometheusSource
from rollout.measure.access import Access
from rollout.operator.proving import ProvingSource, ReadSecret
from rollout.settings import Settings

ANSWER_S = 10
"""How long an answer may take where nobody says otherwise."""
MOST_PROVING = 256
"""Connections that prove who asks; the oldest is closed for another one."""


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
    """All sources. `read` reads the Secrets of those that prove who asks."""

    def __init__(self, settings: Settings, read: ReadSecret) -> None:
        self._settings = settings
        self._read = read
        self._proving: dict[Access, ProvingSource] = {}
        self._open: dict[str, PrometheusSource] = {}
        self._shared: dict[str, BatchingSource] = {}

    def at(self, access: Access) -> Source:
        """The source behind an access, the operator's own where it names none; it may be a refusing one."""
        address = access.server.address
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
        oauth2 = access.server.authentication and access.server.authentication.oauth2
        if oauth2 and not self._settings.allows_prometheus(oauth2.token_url):
            return NotAllowed(
                f"provider.prometheus.authentication.oauth2.tokenUrl: {oauth2.token_url} is not among the "
                "addresses that the operator allows: an administrator adds it to ROLLOUT_PROMETHEUS_ALLOWED"
            )
        if not access.server.plain:
            return self._proved(access)
        address = address or self._settings.prometheus
        if address not in self._open:
            self._open[address] = PrometheusSource(address, at_once=self._settings.measurements_at_once)
            self._shared[address] = BatchingSource(self._open[address])
        return self._shared[address]

    def _proved(self, access: Access) -> ProvingSource:
        if access not in self._proving:
            if len(self._proving) >= MOST_PROVING:
                self._proving.pop(next(iter(self._proving))).close()
            self._proving[access] = ProvingSource(access, self._read, lambda told: self._opened(access, told))
        return self._proving[access]

    def _opened(self, access: Access, headers: Mapping[str, str]) -> PrometheusSource:
        server = access.server
        if server.insecure:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return PrometheusSource(
            server.address or self._settings.prometheus,
            headers=headers,
            verify=not server.insecure,
            deadline=timedelta(seconds=server.timeout or ANSWER_S),
            at_once=self._settings.measurements_at_once,
        )

    def close(self) -> None:
        """Close all connections."""
        for source in self._open.values():
            source.close()
        for proving in self._proving.values():
            proving.close()

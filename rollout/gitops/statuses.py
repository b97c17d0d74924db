"""Statuses on commits: sent to the host of a GitSource, and kept due until it has taken them."""

import logging
from datetime import datetime, timedelta

from rollout.api.errors import Retry, Stalled
from rollout.api.gitsource import GitSource
from rollout.api.writeback import Provider, WriteBackMode
from rollout.forge.dialects import default_address, dialect, repository_of
from rollout.forge.door import Access, Forge
from rollout.git.environment import GitPolicy
from rollout.git.remote import parse_url
from rollout.gitops.conditions import Outcome
from rollout.gitops.reports import Reports
from rollout.gitops.secrets import read_secret
from rollout.kube.client import Kube

log = logging.getLogger(__name__)

AFTER_A_REFUSAL = timedelta(minutes=5)
"""A host that refuses is asked again so late: somebody has to mend something first."""
_FIELD = "spec.writeBack.provider"


async def host(kube: Kube, source: GitSource, provider: Provider, policy: GitPolicy) -> Forge:
    """The host's API of a GitSource. Raises `Stalled` for what has to be mended in its spec or Secret."""
    url = source.spec.url
    repository = provider.repository or repository_of(provider.type, url)
    address = provider.address or default_address(provider.type, url)
    try:
        schemes = policy.protocols & {"https", "http"}
        parse_url(f"{address.rstrip('/')}/{repository}", schemes, local_hosts=policy.local_hosts)
    except Stalled as refused:
        raise Stalled(refused.reason, str(refused).replace("spec.url", f"{_FIELD}.address")) from None
    data = await read_secret(
        kube, source.metadata.namespace, provider.secret_ref.name, f"{_FIELD}.secretRef.name"
    )
    return Forge(address, dialect(provider.type, repository), Access.from_secret(data))


class Statuses:
    """Sends what `reports` has due."""

    def __init__(self, kube: Kube, policy: GitPolicy, cluster: str) -> None:
        self._kube = kube
        self._policy = policy
        self.reports = Reports(cluster)
        self._not_before: dict[tuple[str, str], datetime] = {}
        self._refusals: dict[tuple[str, str], str] = {}

    async def send(self, source: GitSource, outcome: Outcome, now: datetime) -> tuple[str, str] | None:
        """Send what is due; a refusal (reason, message) that people were not told of yet."""
        key = (source.metadata.namespace, source.metadata.name)
        provider = source.spec.write_back.provider
        wanted = WriteBackMode.COMMIT_STATUS in source.spec.write_back.modes
        self.reports.want(*key, wanted=wanted)
        self.reports.taken(*key, outcome)
        if not wanted or provider is None or now < self._not_before.get(key, now):
            return None
        try:
            await self._send(source, provider)
        except Retry as failed:
            log.warning("%s/%s: a commit status waits: %s", *key, failed)
            self._not_before[key] = now + failed.after
        except Stalled as refused:
            self._not_before[key] = now + AFTER_A_REFUSAL
            if self._refusals.get(key) != str(refused):
                self._refusals[key] = str(refused)
                return refused.reason, str(refused)
        else:
            self._refusals.pop(key, None)
        return None

    async def _send(self, source: GitSource, provider: Provider) -> None:
        due = self.reports.due(source.metadata.namespace, source.metadata.name)
        if not due:
            return
        async with await host(self._kube, source, provider, self._policy) as forge:
            for report in due:
                await forge.report(report.status)
                self.reports.sent(report)

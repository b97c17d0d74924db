"""This process as one of those who may lead: under which name, for which shards, on which terms."""

import asyncio
import logging
import socket
import uuid
from collections.abc import Callable

from rollout.api.errors import Retry, Stalled
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.lease import Leases
from rollout.kube.login import own_namespace
from rollout.operator.definitions import Definitions
from rollout.operator.election import Terms
from rollout.operator.leadership import Leadership, Told, names
from rollout.operator.queue import Key
from rollout.operator.shards import shard_of
from rollout.operator.tenure import Tenure
from rollout.settings import Settings

log = logging.getLogger(__name__)

OUTSIDE = "rollout-system"
"""Where the Leases lie of operators that run outside the cluster: where an installation puts them too."""


def identity(settings: Settings) -> str:
    """Who we are; no other process, on this host or another, is the same unless it is told to be."""
    return settings.identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


def terms(settings: Settings) -> Terms:
    """The settings in seconds."""
    return Terms(
        lease=settings.lease_duration.total_seconds(),
        deadline=settings.renew_deadline.total_seconds(),
        retry=settings.retry_period.total_seconds(),
    )


class Candidate:
    """Takes part in the leadership; `kube` is not guarded, since it writes what the guard rests on."""

    def __init__(self, kube: Kube, settings: Settings, me: str, told: Told) -> None:
        self._kube = kube
        self._shards = settings.shards
        self._definitions = Definitions(kube)
        self._given = settings.lease_namespace or own_namespace(settings.kubeconfig)
        chosen = terms(settings)
        leases = Leases(kube, self._given or OUTSIDE, settings.lease, settings.shards, chosen.lease)
        self._leadership = Leadership(
            leases,
            me,
            names(settings.lease, settings.shards),
            chosen,
            told,
            lambda: self._definitions.refusal,
        )

    def tenure(self, key: Key) -> Tenure | None:
        """Under which a turn of `key` may begin; None where it is not ours."""
        return self._leadership.tenure(shard_of(key.namespace, key.name, self._shards))

    def within(self, shard: int) -> Callable[[Key], bool]:
        """Whether a key belongs to a shard."""
        return lambda key: shard_of(key.namespace, key.name, self._shards) == shard

    @property
    def refusal(self) -> str:
        """Why it could not take over now; empty where it could, or leads already."""
        return "" if self._leadership.leads else self._definitions.refusal

    async def run(self) -> None:
        """Take part until cancelled."""
        if not self._given:
            await self._ensure_namespace()
        await self._definitions.look()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._definitions.run())
            tasks.create_task(self._leadership.run())

    async def resign(self) -> None:
        """Free what is ours; `run` has ended."""
        await self._leadership.resign()

    async def _ensure_namespace(self) -> None:
        """Outside a cluster the namespace is a choice of ours: whoever tries this out need not make it."""
        try:
            if await self._kube.find(kinds.NAMESPACES, None, OUTSIDE) is None:
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OUTSIDE}}
                await self._kube.create(kinds.NAMESPACES, body)
                log.info("created the namespace %s for the Lease", OUTSIDE)
        except (Retry, Stalled) as error:
            log.info("the namespace %s for the Lease: %s", OUTSIDE, error)

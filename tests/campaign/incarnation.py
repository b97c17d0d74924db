"""One operator of the campaign: the parts of the real one, wired to a cluster in memory."""

import asyncio
import logging
from contextlib import nullcontext
from datetime import datetime, timedelta

from rollout.api.errors import Stalled
from rollout.execute import Executor
from rollout.git.mirror import Mirrors
from rollout.gitops.clusters import Clusters
from rollout.gitops.notes import Notebook
from rollout.gitops.turns import GitOps
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.reflector import Change, Reflector
from rollout.measure import Measurer
from rollout.observe.caches import Caches
from rollout.observe.observer import Observer
from rollout.operator import waking
from rollout.operator.queue import Key, Queue
from rollout.operator.waking import GIT_DRIFT, GIT_SOURCE, ROLLOUT, Waker
from rollout.reconcile import Reconciler
from rollout.sandbox import clock
from rollout.settings import Settings
from rollout.telemetry import Metrics

from . import holding
from .prometheus import Prometheus
from .statements import WORKER
from .wire import Wire

log = logging.getLogger(__name__)
METRICS = Metrics()
"""Of all operators of this process: nobody reads them."""
STALLED = timedelta(seconds=5)


class Incarnation:
    """An operator from its start until it is stopped or killed.

    Its turns are those of `rollout.operator.app`, and so is what wakes it. Where its wire has a tenure, it
    renews that, and its turns work for it.
    """

    def __init__(self, wire: Wire, source: Prometheus, mirrors: Mirrors | None = None) -> None:
        settings = Settings()
        self.wire = wire
        kube = Kube.over(wire)
        self._resync = settings.resync
        self._queue = Queue(self._turn, settings.turns_at_once, clock.now)
        self._caches = Caches(kube, settings.watched, self._changed)
        observer = Observer(kube, self._caches, settings.min_settle, clock.now)
        measurer = Measurer(lambda _address: source, settings.measure_lag)
        executor = Executor(kube, measurer, METRICS)
        self._reconciler = Reconciler(kube, observer, measurer, executor)
        self._gitops = None
        if mirrors is not None:
            exclusive = lambda *name: self._queue.exclusive(Key(ROLLOUT, *name))  # noqa: E731
            self._gitops = GitOps(kube, mirrors, Clusters(kube, exclusive), METRICS, clock.now)
        self._waker = Waker(
            self._queue,
            observer.memory,
            self._gitops.notebook if self._gitops is not None else Notebook(),
            is_ours=lambda _key: True,
            hear=lambda rollout: observer.hear(rollout, clock.now()),
            suspect=self._gitops.keeper.suspect if self._gitops is not None else lambda *_: (),
        )
        self._rollouts = Reflector(
            kube,
            kinds.ROLLOUTS,
            waking.sight,
            on_object=self._waker.rollout_there,
            on_change=self._waker.rollout_changed,
        )
        self._sources = Reflector(
            kube, kinds.GIT_SOURCES, waking.version, on_change=self._waker.source_changed
        )
        self.failures: list[str] = []
        """Errors of turns that are no answer to anything: defects."""

    def start(self) -> asyncio.Task[None]:
        """Begin to work; the task ends when it is killed."""
        task = asyncio.create_task(self._run(), name="operator")
        self.wire.on_death = task.cancel
        return task

    async def _run(self) -> None:
        WORKER.set(self.wire)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._renew())
            parts.create_task(self._caches.run())
            await self._caches.synced()
            parts.create_task(self._rollouts.run())
            if self._gitops is not None:
                parts.create_task(self._sources.run())
            parts.create_task(self._queue.run())

    async def _renew(self) -> None:
        while self.wire.tenure is not None and holding.renew(self.wire.tenure):
            await asyncio.sleep(holding.TERMS.retry)
            await self.wire.alive()

    def _changed(self, change: Change[object]) -> None:
        self._waker.changed(change)

    async def _turn(self, key: Key) -> datetime | None:
        with self.wire.tenure.at_work() if self.wire.tenure is not None else nullcontext():
            return await self._take(key)

    async def _take(self, key: Key) -> datetime | None:
        try:
            if key.kind == GIT_SOURCE:
                assert self._gitops is not None
                return await self._gitops.turn(key.namespace, key.name)
            if key.kind == GIT_DRIFT:
                assert self._gitops is not None
                try:
                    async with self._queue.exclusive(key._replace(kind=GIT_SOURCE)):
                        return await self._gitops.look(key.namespace, key.name)
                finally:
                    self._waker.looked(key)
            again = await self._reconciler.turn(key.namespace, key.name)
        except Stalled as stalled:
            log.warning("%s: %s: %s", key, stalled.reason, stalled)
            return clock.now() + STALLED
        latest = clock.now() + self._resync
        return latest if again is None else min(again, latest)

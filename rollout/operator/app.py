"""The process: what is there is put together, run until it is told to stop, and taken apart in order."""

import asyncio
import logging
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rollout.admission.judging import Judge
from rollout.admission.serving import Webhook, answering
from rollout.api.errors import Retry, Stalled
from rollout.execute import Executor
from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirrors
from rollout.git.repository import check_git
from rollout.gitops.clusters import Clusters, Rules
from rollout.gitops.secrets import read_secret
from rollout.gitops.trying import Users
from rollout.gitops.turns import GitOps
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.discovery import Discovery
from rollout.kube.errors import NotServed
from rollout.kube.kinds import Resource
from rollout.kube.login import login, own_namespace
from rollout.kube.reflector import Change, Reflector
from rollout.measure import Measurer
from rollout.measure.foresight import Foresight
from rollout.observe.caches import Caches
from rollout.observe.observer import Observer
from rollout.operator import waking
from rollout.operator.candidate import OUTSIDE, Candidate, identity
from rollout.operator.leadership import Told
from rollout.operator.queue import Key, Queue
from rollout.operator.receiving import Receiver, receiving
from rollout.operator.sources import Sources
from rollout.operator.tenure import guard
from rollout.reconcile import Reconciler
from rollout.settings import Settings
from rollout.telemetry import Metrics, log_to_stderr, serving

log = logging.getLogger(__name__)

LOCAL_SCHEMES = frozenset({"file", "git", "http"})
CRD_WAIT_SECONDS = 2.0
LEAVE_SECONDS = 0.5
"""How long turns under way are waited for before their shard is given up: others wait too."""
FORGET_SECONDS = 1.0
"""After the turn that finds a Rollout gone, which still holds its key."""


def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        Stalled: it can't begin, and the message says what to do.
    """
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ
    form = settings.log_format
    log_to_stderr(
        "json" if form == "json" or (form == "auto" and in_cluster) else "plain", settings.log_level
    )
    asyncio.run(_until_told(settings))


async def _until_told(settings: Settings) -> None:
    stop = asyncio.Event()
    _listen(stop)
    work = asyncio.create_task(_work(settings, stop), name="operator")
    told = asyncio.create_task(stop.wait(), name="told")
    await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping")
    told.cancel()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def _work(settings: Settings, stop: asyncio.Event) -> None:
    async with operating(settings) as operator:
        await operator.ended()


def _listen(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


@asynccontextmanager
async def operating(settings: Settings) -> AsyncIterator["Operator"]:
    """The operator at work for as long as the context lasts; a failure of one of its parts ends it."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        configuration = await login(settings.kubeconfig, settings.context)
        me = identity(settings)
        kube = await stack.enter_async_context(
            Kube(
                configuration,
                seconds=settings.api_timeout.total_seconds(),
                on_request=metrics.request,
                guard=guard,
                identity=me,
            )
        )
        for_leases = await stack.enter_async_context(
            Kube(
                configuration,
                seconds=settings.renew_deadline.total_seconds() / 2,
                on_request=metrics.request,
                identity=me,
            )
        )
        operator = Operator(kube, for_leases, me, settings, metrics, stack)
        port = await stack.enter_async_context(
            serving(metrics, operator.alive, operator.ready, settings.metrics_host, settings.metrics_port)
        )
        log.info("serving /metrics, /healthz and /readyz on port %d", port)
        await operator.start()
        if settings.webhooks:
            place = receiving(operator.receiver, settings.webhooks)
            operator.webhook_port = await stack.enter_async_context(place)
            log.info("receiving webhooks on port %d", operator.webhook_port)
        if settings.admission:
            folder = Path(settings.admission_certificate)
            answers = answering(operator.admission, settings.admission, folder)
            operator.admission_port = await stack.enter_async_context(answers)
            log.info("answering admission reviews on port %d", operator.admission_port)
        try:
            yield operator
        finally:
            await operator.stop()


class Operator:
    """All parts of one operator, wired."""

    def __init__(
        self,
        kube: Kube,
        for_leases: Kube,
        me: str,
        settings: Settings,
        metrics: Metrics,
        stack: AsyncExitStack,
    ) -> None:
        self._kube = kube
        self._settings = settings
        self._metrics = metrics
        for shard in range(settings.shards):
            metrics.leading(shard, ours=False)
        self._candidate = Candidate(for_leases, settings, me, Told(self._gained, self._leaving, self._lost))
        self._queue = Queue(self._turn, settings.turns_at_once, _clock, self._lagged, self._is_ours)
        self.receiver = Receiver(for_leases, self._is_ours, self._pushed)
        self.webhook_port = 0
        self._caches = Caches(kube, settings.watched, self._changed)
        self._sources = Sources(settings, partial(read_secret, kube))
        stack.callback(self._sources.close)
        self.admission = Webhook(Judge(kube, self._sources.at, settings.allows_prometheus), _clock)
        self.admission_port = 0
        directory = settings.git_directory or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rollout-git-")
        )
        mirrors = Mirrors(Path(directory), _git_policy(settings), threads=settings.git_polls_at_once)
        stack.push_async_callback(mirrors.close)
        observer = Observer(kube, self._caches, settings.min_settle, _clock)
        measurer = self._measurer = Measurer(self._sources.at, settings.measure_lag)
        executor, foresight = Executor(kube, measurer, metrics), Foresight(self._sources.at)
        self._reconciler = Reconciler(kube, observer, measurer, executor, foresight)
        self._gitops = GitOps(
            kube,
            mirrors,
            self._clusters(stack, observer.memory.users),
            metrics,
            _clock,
            _git_policy(settings),
            settings.cluster,
        )
        self._memory = observer.memory
        self._waker = waking.Waker(
            self._queue,
            self._memory,
            self._gitops.notebook,
            self._is_ours,
            observer.hear,
            self._gitops.keeper.suspect,
        )
        self._own = (
            Reflector(
                kube,
                kinds.ROLLOUTS,
                waking.sight,
                namespace=settings.watched,
                on_object=self._waker.rollout_there,
                on_change=self._waker.rollout_changed,
                on_trouble=_not_followed,
            ),
            Reflector(
                kube,
                kinds.GIT_SOURCES,
                waking.version,
                namespace=settings.watched,
                on_change=self._waker.source_changed,
                on_trouble=_not_followed,
            ),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._leading: asyncio.Task[None] | None = None
        self._synced = False

    def _clusters(self, stack: AsyncExitStack, users: Users) -> Clusters:
        settings = self._settings
        rules = Rules(
            settings.default_service_account,
            settings.lease_namespace or own_namespace(settings.kubeconfig) or OUTSIDE,
            local_hosts=_git_policy(settings).local_hosts,
        )
        clusters = Clusters(
            self._kube,
            lambda *name: self._queue.exclusive(Key(waking.ROLLOUT, *name)),
            rules,
            guard,
            users,
            self._metrics.request,
        )
        stack.push_async_callback(clusters.close)
        return clusters

    async def start(self) -> None:
        """Wait for the CRDs, fill the caches, then follow what wakes the queue."""
        log.info("found %s", check_git())
        await self._wait_for_crds()
        self._begin("caches", self._caches.run())
        await self._caches.synced()
        self._synced = True
        self._begin("queue", self._queue.run())
        self._leading = asyncio.create_task(self._candidate.run(), name="leadership")
        for each in self._own:
            self._begin(str(each.resource), each.run())
        for each in self._own:
            await each.synced.wait()
        log.info("watching %s", self._settings.watched or "all namespaces")

    def _begin(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def stop(self) -> None:
        """No turn begins any more, what is ours is freed, then nothing is followed any more."""
        if self._leading is not None:
            self._leading.cancel()
            await asyncio.gather(self._leading, return_exceptions=True)
            await self._candidate.resign()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ended(self) -> None:
        """Wait until one part ends.

        Raises:
            Exception: whatever a part failed with.
        """
        done, _ = await asyncio.wait(self._parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()

    def alive(self) -> str:
        """Empty while every part runs."""
        dead = [task.get_name() for task in self._parts if task.done()]
        return f"ended: {', '.join(dead)}" if dead else ""

    def ready(self) -> str:
        """Empty once the caches hold their first lists, and it leads or could take over."""
        return self.alive() or (self._candidate.refusal if self._synced else "the caches are not filled yet")

    @property
    def _parts(self) -> list[asyncio.Task[None]]:
        return [*self._tasks, *(part for part in (self._leading,) if part is not None)]

    async def _wait_for_crds(self) -> None:
        discovery = Discovery(self._kube)
        while True:
            try:
                for kind in ("Rollout", "AnalysisRun", "AnalysisTemplate", "GitSource"):
                    await discovery.resource("progressive.delivery/v1alpha1", kind)
                await discovery.resource("gateway.networking.k8s.io/v1", "HTTPRoute")
            except (NotServed, Retry) as missing:
                log.warning("%s; waiting (see `rollout crds` and the Gateway API's CRDs)", missing)
                await asyncio.sleep(CRD_WAIT_SECONDS)
            else:
                return

    def _changed(self, change: Change[Any]) -> None:
        self._waker.changed(change)

    def _pushed(self, key: Key) -> None:
        self._gitops.pushed(key.namespace, key.name)
        self._queue.wake(key)

    def _is_ours(self, key: Key) -> bool:
        return self._candidate.tenure(key) is not None

    def _gained(self, shard: int) -> None:
        """Begin with what is written: another leader may have gone on since we last looked."""
        for each in self._caches.runs.list():
            self._measurer.forget(each.run.uid)
        self._memory.standing.clear()
        self._memory.live_at.clear()
        self._metrics.leading(shard, ours=True)
        self._queue.resume(self._candidate.within(shard))

    async def _leaving(self, shard: int) -> None:
        await self._queue.idle(self._candidate.within(shard), LEAVE_SECONDS)

    def _lost(self, shard: int) -> None:
        self._metrics.leading(shard, ours=False)
        for key in self._queue.known(self._candidate.within(shard)):
            self._metrics.forget(key.namespace, key.name)

    async def _turn(self, key: Key) -> datetime | None:
        tenure = self._candidate.tenure(key)
        if tenure is None:
            return None  # it sleeps until it is ours
        with tenure.at_work():
            return await self._timed(key)

    async def _timed(self, key: Key) -> datetime | None:
        began = time.monotonic()
        outcome = "failed"
        try:
            again = await self._take(key)
            outcome = "done"
        except Retry:
            outcome = "retry"
            raise
        except Stalled as stalled:
            outcome = "stalled"
            log.warning("%s: %s: %s", key, stalled.reason, stalled)
            return _clock() + timedelta(seconds=5)
        finally:
            self._metrics.turn(key.kind, outcome, time.monotonic() - began)
        return again

    def _lagged(self, key: Key, seconds: float) -> None:
        self._metrics.turn_lag(key.kind, seconds)

    async def _take(self, key: Key) -> datetime | None:
        if key.kind == waking.GIT_SOURCE:
            return await self._gitops.turn(key.namespace, key.name)
        if key.kind == waking.GIT_DRIFT:
            try:
                async with self._queue.exclusive(key._replace(kind=waking.GIT_SOURCE)):
                    return await self._gitops.look(key.namespace, key.name)
            finally:
                self._waker.looked(key)
        again = await self._reconciler.turn(key.namespace, key.name)
        if (key.namespace, key.name) not in self._memory.claims:
            self._metrics.forget(key.namespace, key.name)
            asyncio.get_running_loop().call_later(FORGET_SECONDS, self._queue.forget, key)
            return None
        latest = _clock() + self._settings.resync
        return latest if again is None else min(again, latest)


def _git_policy(settings: Settings) -> GitPolicy:
    schemes = frozenset(settings.git_schemes)
    return GitPolicy(protocols=schemes, local_hosts=bool(schemes & LOCAL_SCHEMES))


def _not_followed(resource: Resource, error: Exception) -> None:
    log.warning("%s are not followed: %s", resource, error)


def _clock() -> datetime:
    return datetime.now(UTC)

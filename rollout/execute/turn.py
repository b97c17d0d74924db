"""The writes of one turn, each with the resourceVersion of the snapshot that it was planned on."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rollout.api.base import Manifest
from rollout.api.caps import short
from rollout.api.errors import Retry, Stalled
from rollout.api.status import RolloutStatus, Stage
from rollout.execute.recording import Outdated, Recorder
from rollout.execute.running import rendered
from rollout.execute.saving import save
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from rollout.kube.events import event
from rollout.measure import Measurer
from rollout.observe.snapshot import Seen
from rollout.plan.actions import (
    Action,
    Announce,
    ClearIntent,
    EnsureFinalizer,
    EnsureReplicas,
    EnsureReplicaSet,
    EnsureRun,
    EnsureSelector,
    EnsureWeights,
    FinishRun,
    RecordStatus,
    RemoveReplicaSet,
    WakeAt,
)
from rollout.routers import gateway_api
from rollout.telemetry import Metrics
from rollout.workloads import finalizers, replicasets, runs, services

log = logging.getLogger(__name__)

_SOON = timedelta(milliseconds=100)


class Turn:
    """The writes of one turn; objects are replaced by the server's answer as they are written."""

    def __init__(
        self,
        kube: Kube,
        recorder: Recorder,
        measurer: Measurer,
        metrics: Metrics,
        seen: Seen,
        now: datetime,
        *,
        fences: bool,
    ) -> None:
        self._kube = kube
        self._fences = fences
        self._recorder = recorder
        self._measurer = measurer
        self._metrics = metrics
        self._seen = seen
        self._now = now
        self._namespace = seen.observed.namespace
        self._rollout: Manifest = seen.rollout
        self._routes: dict[str, Manifest] = dict(seen.routes)
        self._services: dict[str, Manifest] = dict(seen.services)

    async def do(self, action: Action) -> None:
        """Make the world as one action says."""
        match action:
            case RecordStatus(status):
                await self._record(status)
            case EnsureFinalizer(held):
                await self._finalizer(held=held)
            case EnsureReplicaSet() | EnsureReplicas() | RemoveReplicaSet():
                await self._pods(action)
            case EnsureWeights(percent):
                await self._weights(percent)
            case EnsureSelector(service, revision):
                await self._selector(service, revision)
            case EnsureRun():
                await self._run(action)
            case FinishRun(name, phase, message):
                await self._finish(name, phase, message)
            case ClearIntent(annotation, value):
                await self._clear(annotation, value)
            case Announce(reason, message, warning):
                await self._announce(reason, message, warning=warning)
            case WakeAt():
                pass

    async def _record(self, status: RolloutStatus) -> None:
        try:
            self._rollout = await self._recorder.record(self._rollout, status, self._now, fences=self._fences)
        except Outdated as outdated:
            self._rollout = outdated.rollout or self._rollout
            raise
        self._metrics.status(self._namespace, self._seen.observed.name, status)
        self._time_reaction(status)

    def _time_reaction(self, status: RolloutStatus) -> None:
        """From the decision to roll back until weight zero was read back."""
        read_back = status.weight_since is not None and self._seen.observed.status.weight_since is None
        if status.stage is Stage.ROLLING_BACK and read_back and status.stage_since is not None:
            self._metrics.reaction((self._now - status.stage_since).total_seconds())

    async def _finalizer(self, *, held: bool) -> None:
        operations = finalizers.patch(self._rollout, wanted=held)
        if operations:
            self._rollout = await self._kube.json_patch(
                kinds.ROLLOUTS, self._namespace, self._seen.observed.name, operations
            )

    async def _pods(self, action: EnsureReplicaSet | EnsureReplicas | RemoveReplicaSet) -> None:
        match action:
            case EnsureReplicaSet(revision, number, replicas):
                await self._replica_set(revision, number, replicas)
            case EnsureReplicas(name, replicas, scale_down_at):
                await self._replicas(name, replicas, scale_down_at)
            case RemoveReplicaSet(name):
                await self._remove(name)

    async def _replica_set(self, revision: str, number: int, replicas: int) -> None:
        wanted = self._seen.observed.wanted
        marks = replicasets.Revision(revision, number, attempt=wanted.attempt if wanted else "")
        found = self._seen.observed.replica_set(revision)
        if found is None:
            body = replicasets.render(self._rollout, marks, replicas)
            try:
                await self._kube.create(kinds.REPLICA_SETS, body)
            except AlreadyExists:
                await self._adopted(body)
            return
        patch = replicasets.patch(found, replicas, revision=marks)
        await self._kube.merge_patch(kinds.REPLICA_SETS, self._namespace, found.name, patch)

    async def _adopted(self, body: Mapping[str, Any]) -> None:
        """A ReplicaSet by that name is there: ours that the cache doesn't show yet, or somebody else's."""
        there = await self._kube.find(kinds.REPLICA_SETS, self._namespace, body["metadata"]["name"])
        uid = self._rollout["metadata"]["uid"]
        if there is not None and replicasets.read(there).owner_uid != uid:
            name = body["metadata"]["name"]
            raise Stalled("ReplicaSetExists", f"ReplicaSet {name!r} belongs to somebody else: delete it")
        raise Retry(f"{self._name}: the cache does not show our ReplicaSet yet", _SOON)

    async def _replicas(self, name: str, replicas: int, scale_down_at: datetime | None) -> None:
        found = next(each for each in self._seen.observed.replica_sets if each.name == name)
        patch = replicasets.patch(found, replicas, scale_down_at)
        await self._kube.merge_patch(kinds.REPLICA_SETS, self._namespace, name, patch)

    async def _remove(self, name: str) -> None:
        found = next(each for each in self._seen.observed.replica_sets if each.name == name)
        await self._kube.delete(
            kinds.REPLICA_SETS, self._namespace, name, uid=found.uid, resource_version=found.resource_version
        )

    async def _weights(self, percent: int) -> None:
        traffic = self._seen.observed.traffic
        assert traffic is not None, "weights are planned where there is traffic routing"
        for route in self._seen.observed.routes:
            operations = gateway_api.patch(
                self._routes[route.name],
                traffic.stable_service,
                traffic.canary_service,
                route.rule or None,
                percent,
            )
            if operations:
                self._routes[route.name] = await self._kube.json_patch(
                    kinds.HTTP_ROUTES, self._namespace, route.name, operations
                )
        log.info("%s: canary weight %d %%", self._name, percent)

    async def _selector(self, service: str, revision: str | None) -> None:
        operations = services.patch(self._services[service], revision)
        if operations:
            self._services[service] = await self._kube.json_patch(
                kinds.SERVICES, self._namespace, service, operations
            )
        log.info("%s: Service %s selects %s", self._name, service, revision or "all pods")

    async def _run(self, wanted: EnsureRun) -> None:
        body = rendered(self._seen, wanted)
        try:
            await self._kube.create(kinds.ANALYSIS_RUNS, body)
        except AlreadyExists:
            there = await self._kube.get(kinds.ANALYSIS_RUNS, self._namespace, wanted.name)
            if runs.read(there).attempt != wanted.attempt:
                raise Stalled(
                    "AnalysisRunExists", f"AnalysisRun {wanted.name!r} is not of this attempt: delete it"
                ) from None

    async def _finish(self, name: str, phase: str, message: str) -> None:
        run = await self._kube.find(kinds.ANALYSIS_RUNS, self._namespace, name)
        if run is None:
            return
        self._fenced(run)
        at = replicasets.time_text(self._now)
        try:
            await save(self._kube, {**run, "status": runs.ended(run, phase, short(message), at)})
        except Stalled as refused:
            log.warning("%s: AnalysisRun %s can't be ended: %s", self._name, name, refused)
        self._measurer.forget(run["metadata"]["uid"])

    def _fenced(self, run: Manifest) -> None:
        """A run is ended as it was seen, or as this turn's checkpoint left it.

        Raises:
            Conflict: somebody else wrote it since.
        """
        uid, version = run["metadata"]["uid"], run["metadata"]["resourceVersion"]
        seen = {each.uid: each.resource_version for each in self._seen.observed.runs}
        if version not in (seen.get(uid), self._measurer.version(uid)):
            self._measurer.forget(uid)
            raise Conflict(
                f"{self._name}: AnalysisRun {run['metadata']['name']} was written by somebody else"
            )

    async def _clear(self, annotation: str, value: str) -> None:
        path = "/metadata/annotations/" + annotation.replace("~", "~0").replace("/", "~1")
        operations = [{"op": "test", "path": path, "value": value}, {"op": "remove", "path": path}]
        try:
            await self._kube.json_patch(kinds.ROLLOUTS, self._namespace, self._seen.observed.name, operations)
        except (Conflict, NotFound, Invalid):
            log.info("%s: %s was changed before it was cleared", self._name, annotation)

    async def _announce(self, reason: str, message: str, *, warning: bool) -> None:
        (log.warning if warning else log.info)("%s: %s: %s", self._name, reason, message)
        try:
            body = event(self._rollout, reason, message, self._now, warning=warning)
            await self._kube.create(kinds.EVENTS, body)
        except (Retry, Stalled) as lost:
            log.warning("%s: an Event was lost: %s", self._name, lost)

    @property
    def _name(self) -> str:
        return f"{self._namespace}/{self._seen.observed.name}"

"""A cluster that does at once what it is told: what a replay holds for the world besides the metrics.

Pods are ready when they are asked for, Services reach them, routes are accepted. Whether the real ones were
is nothing that samples tell.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rollout.api.analysisrun import AnalysisRunSpec, parse_analysis_run
from rollout.api.base import Manifest
from rollout.api.identity import attempt_key
from rollout.api.intents import Intent, IntentKey
from rollout.api.meta import GROUP, VERSION
from rollout.api.rollout import RolloutSpec
from rollout.api.status import Phase, RolloutStatus, Stage
from rollout.plan.actions import (
    Action,
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
)
from rollout.plan.observed import UNKNOWN_PLANE, Observed, Plane, ReplicaSet, Route, Service, Traffic, Wanted
from rollout.workloads import runs
from rollout.workloads.replicasets import name_of
from rollout.workloads.runs import Templates

UID = "replayed"


@dataclass(frozen=True, slots=True)
class Versions:
    """The pod template hashes of the two versions."""

    stable: str
    canary: str


@dataclass(slots=True)
class Cluster:
    """One Rollout whose stable version serves, and whose canary was just committed."""

    namespace: str
    name: str
    spec: RolloutSpec
    templates: Templates
    versions: Versions
    began: datetime
    plane: Plane = UNKNOWN_PLANE
    status: RolloutStatus = field(init=False)
    runs: dict[str, Manifest] = field(default_factory=dict)
    asked: AnalysisRunSpec | None = None
    """What the run in the background asks; None until it begins."""
    _replica_sets: dict[str, ReplicaSet] = field(init=False)
    _selects: dict[str, str | None] = field(init=False)
    _weight: int = 0
    _finalized: bool = True
    _intents: dict[IntentKey, Intent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stable, canary = self.spec.strategy.canary.stable_service, self.spec.strategy.canary.canary_service
        serving = self.versions.stable
        self.status = RolloutStatus(
            stage=Stage.STABLE, phase=Phase.HEALTHY, stable_rs=serving, current_pod_hash=serving
        )
        self._selects = {stable: serving, canary: serving}
        self._replica_sets = {}
        self._sized(serving, 1, self._replicas)

    @property
    def rollout(self) -> Manifest:
        """The Rollout as far as an AnalysisRun names it."""
        metadata = {"namespace": self.namespace, "name": self.name, "uid": UID}
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Rollout", "metadata": metadata}

    @property
    def _replicas(self) -> int:
        return max(self.spec.replicas if self.spec.replicas is not None else 1, 1)

    def observed(self) -> Observed:
        """The snapshot of this moment."""
        canary = self.spec.strategy.canary
        return Observed(
            namespace=self.namespace,
            name=self.name,
            uid=UID,
            generation=1,
            resource_version="1",
            status=self.status,
            spec=self.spec,
            wanted=Wanted(self.versions.canary, attempt_key(self.spec)),
            traffic=Traffic(canary.stable_service, canary.canary_service),
            replicas=self._replicas,
            intents=tuple(self._intents.values()),
            replica_sets=tuple(self._replica_sets.values()),
            stable_service=self._service(canary.stable_service),
            canary_service=self._service(canary.canary_service),
            routes=(Route("HTTPRoute", self.name, "", "1", self._weight, accepted=True),),
            runs=tuple(map(runs.read, self.runs.values())),
            finalized=self._finalized,
        )

    def ask(self, key: IntentKey, reason: str, now: datetime) -> None:
        """What a person would ask by an annotation."""
        self._intents[key] = Intent(key, reason, now, "replay")

    def do(self, actions: Iterable[Action]) -> None:
        """Make the world as the actions say."""
        for action in actions:
            match action:
                case RecordStatus(status):
                    self.status = status
                case EnsureWeights(percent):
                    self._weight = percent
                case EnsureSelector(service, revision):
                    self._selects[service] = revision
                case EnsureFinalizer(held):
                    self._finalized = held
                case EnsureReplicaSet(revision, number, count):
                    self._sized(revision, number, count)
                case EnsureReplicas(name, count, scale_down_at):
                    found = next(each for each in self._replica_sets.values() if each.name == name)
                    self._sized(found.hash, found.revision, count, scale_down_at)
                case RemoveReplicaSet(name):
                    self._replica_sets = {k: v for k, v in self._replica_sets.items() if v.name != name}
                case EnsureRun():
                    self._begin(action)
                case FinishRun(name, phase, message):
                    self._finish(name, phase, message)
                case ClearIntent(annotation):
                    self._intents.pop(IntentKey(annotation.rpartition("/")[2]), None)

    def save(self, run: Mapping[str, Any]) -> Manifest:
        """What a server would answer to a PUT of the run's status."""
        version = str(int(run["metadata"]["resourceVersion"]) + 1)
        saved = {**run, "metadata": {**run["metadata"], "resourceVersion": version}}
        self.runs[run["metadata"]["name"]] = saved
        return saved

    def _service(self, name: str) -> Service:
        selected = self._selects[name]
        ready = tuple(
            (each.hash, each.ready)
            for each in self._replica_sets.values()
            if each.ready and selected in (None, each.hash)
        )
        return Service(name, "1", selected, ready, settled=True)

    def _sized(self, revision: str, number: int, count: int, scale_down_at: datetime | None = None) -> None:
        known = self._replica_sets.get(revision)
        made = known or self._replica_set(revision, number)
        self._replica_sets[revision] = replace(
            made,
            revision=number,
            wanted=count,
            created=count,
            ready=count,
            available=count,
            scale_down_at=scale_down_at,
        )

    def _replica_set(self, revision: str, number: int) -> ReplicaSet:
        return ReplicaSet(name_of(self.name, revision), revision, revision, "1", number, self.began, 0)

    def asks(self) -> AnalysisRunSpec:
        """What the run in the background will ask of the samples. Raises InvalidSpec."""
        return parse_analysis_run(self._rendered("asked", runs.BACKGROUND)).spec

    def _begin(self, wanted: EnsureRun) -> None:
        run = self._rendered(wanted.name, wanted.role, wanted.attempt)
        metadata = {**run["metadata"], "uid": wanted.name, "resourceVersion": "1"}
        made = self.runs[wanted.name] = {**run, "metadata": metadata}
        if wanted.role == runs.BACKGROUND:
            self.asked = parse_analysis_run(made).spec

    def _rendered(self, name: str, role: str, attempt: str = "") -> dict[str, Any]:
        canary, stable = (
            self._replica_sets.get(each) or self._replica_set(each, number)
            for number, each in ((2, self.versions.canary), (1, self.versions.stable))
        )
        return runs.render(
            self.rollout,
            self.spec,
            self.templates,
            name=name,
            role=role,
            attempt=attempt,
            canary=canary,
            stable=stable,
            plane=self.plane,
        )

    def _finish(self, name: str, phase: str, message: str) -> None:
        run = self.runs[name]
        status = {**(run.get("status") or {}), "phase": phase, "message": message}
        self.runs[name] = {**run, "status": status}

"""A cluster in memory that becomes what the plan asks for, and holds every single write to the invariants.

It is no mock of Kubernetes: Services, routes and pods follow their own rules (pods get ready some seconds
after they are asked for, or never; endpoints follow selectors; routes are accepted late), so that a plan that
trusts what it wrote instead of what it reads comes to grief here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import invariants

from rollout.api.errors import Problem
from rollout.api.intents import Intent, IntentKey
from rollout.api.rollout import RolloutSpec
from rollout.api.status import Phase, RefusedAttempt, RolloutStatus, SourceStatus, Stage
from rollout.plan import schedule
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
from rollout.plan.evidence import NO_EVIDENCE, Evidence, Outcome
from rollout.plan.observed import (
    Observed,
    PodTrouble,
    ReplicaSet,
    Route,
    Run,
    Service,
    Traffic,
    Wanted,
)
from rollout.plan.planner import plan

START = datetime(2026, 1, 1, tzinfo=UTC)
STABLE, CANARY = "shop-stable", "shop-canary"


def spec(
    *steps: dict[str, Any],
    replicas: int = 4,
    analysis: bool = False,
    canary: dict[str, Any] | None = None,
    **more: Any,
) -> RolloutSpec:
    """The spec of a Rollout with these steps."""
    strategy: dict[str, Any] = {
        "canaryService": CANARY,
        "stableService": STABLE,
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
        "steps": list(steps),
        **({"analysis": {"templates": [{"templateName": "golden"}]}} if analysis else {}),
        **(canary or {}),
    }
    return RolloutSpec.model_validate(
        {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {"containers": [{"name": "app", "image": "shop"}]},
            },
            "strategy": {"canary": strategy},
            **more,
        }
    )


@dataclass
class Pods:
    """A ReplicaSet and how its pods behave."""

    name: str
    hash: str
    revision: int
    created_at: datetime
    wanted: int
    since: datetime
    scale_down_at: datetime | None = None
    troubles: tuple[PodTrouble, ...] = ()
    restarts: int = 0

    before: int = 0
    """How many were ready before it was last resized."""


@dataclass
class Selector:
    """A Service: whom it names, and since when things stand as they do."""

    name: str
    hash: str | None = None
    since: datetime = START
    ready: tuple[tuple[str, int], ...] = ()
    meddled: bool = False
    """Whether the last change was somebody else's."""


@dataclass
class World:
    """One Rollout and all that belongs to it."""

    spec: RolloutSpec | None
    now: datetime = START
    status: RolloutStatus = field(default_factory=RolloutStatus)
    wanted: Wanted | None = None
    replicas: int = 4
    generation: int = 1
    problems: tuple[Problem, ...] = ()
    pods: dict[str, Pods] = field(default_factory=dict)
    stable: Selector = field(default_factory=lambda: Selector(STABLE))
    canary: Selector = field(default_factory=lambda: Selector(CANARY))
    weight: int | None = 0
    meddled: bool = False
    """Whether the weight is somebody else's."""
    accepted: bool | None = True
    runs: dict[str, Run] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    source: SourceStatus | None = None
    recovered: tuple[RefusedAttempt, ...] | None = None
    judge: Callable[[World], Evidence] = lambda world: NO_EVIDENCE
    ready_after: timedelta = timedelta(seconds=3)
    working: dict[str, int] = field(default_factory=dict)
    """How many pods of a revision ever get ready, where not all do."""
    deny: Callable[[Action], bool] = lambda action: False
    """Which writes fail just now."""
    events: list[Announce] = field(default_factory=list)
    writes: list[Action] = field(default_factory=list)
    wake: datetime | None = None
    evidence: Evidence = NO_EVIDENCE
    """What the judge said in this turn."""
    missing: set[str] = field(default_factory=set)
    """What somebody deleted of `route` and the Services."""
    finalized: bool = False
    deleted_at: datetime | None = None
    gone: bool = False
    """Deleted, and nothing held it any more."""
    least: int = 0
    """Pods that have to be there since traffic was first split (D5)."""
    least_until: datetime | None = None
    acted: list[tuple[str, str, datetime]] = field(default_factory=list)
    """Intents that were acted on."""
    condemned: set[str] = field(default_factory=set)
    """Attempts that were rolled back, and that nobody asked for again."""
    lineage: list[str] = field(default_factory=list)
    """Versions that became stable one after another, without those that were left for one before them."""
    discredited: set[str] = field(default_factory=set)
    """Versions that were refused, and did not become stable since."""
    last_traffic: dict[str, datetime] = field(default_factory=dict)
    """When a revision last had a share of the traffic."""

    # What a person or Git does

    def push(self, revision: str, **changes: Any) -> None:
        """Git brings a template; the attempt's key follows it and the rest of the spec."""
        self.spec = changes.get("spec", self.spec)
        self.wanted = Wanted(revision, changes.get("attempt", f"{revision}-attempt"), (f"shop:{revision}",))
        self.generation += 1
        self.source = SourceStatus(git_source="shop", commit=f"commit-{revision}-{self.generation}")

    def annotate(self, key: str, value: str = "because", at: datetime | None = None) -> None:
        """`kubectl annotate`; managedFields tell whole seconds."""
        when = (at or self.now).replace(microsecond=0)
        if (key, value, when) in self.acted:
            when += timedelta(seconds=1)  # the same second would be the same intent
        self.intents[key] = Intent(IntentKey(key), value, when, "kubectl-annotate")

    def scale(self, count: int) -> None:
        """`kubectl scale`."""
        self.replicas = count
        self.generation += 1

    def meddle(self, weight: int) -> None:
        """Somebody else writes the route, if it is there."""
        if "route" in self.missing:
            return
        self.weight, self.meddled = weight, True
        self._remember_traffic()

    def meddle_selector(self, service: Selector, revision: str | None) -> None:
        """Somebody else writes a Service, if it is there."""
        if service.name in self.missing:
            return
        service.hash, service.since, service.meddled = revision, self.now, True

    def evict(self, revision: str, count: int) -> None:
        """So many pods leave (a drain, an eviction); others come for them."""
        if found := self.pods.get(f"shop-{revision}"):
            found.before, found.since = max(self._ready(found) - count, 0), self.now

    def lose(self, what: str) -> None:
        """`route` or a Service is deleted."""
        self.missing.add(what)
        if what == "route":
            self.weight = 0

    def restore(self) -> None:
        """What was deleted is created anew, as Git has it."""
        missing, self.missing = self.missing, set()
        for service in (self.stable, self.canary):
            if service.name in missing:
                self.meddle_selector(service, None)
        if "route" in missing:
            self.meddle(0)

    def there(self, service: Selector) -> Selector | None:
        return None if service.name in self.missing else service

    def delete(self) -> None:
        """`kubectl delete`; the finalizer holds it."""
        self.deleted_at = self.deleted_at or self.now
        self.gone = not self.finalized

    def share(self, revision: str) -> int:
        """Percent of the traffic that Services, as we wrote them, and routes send to `revision`."""
        weight = self.weight or 0
        return sum(
            share
            for service, share in ((self.stable, 100 - weight), (self.canary, weight))
            if service.hash == revision and not service.meddled
        )

    @property
    def needed(self) -> int:
        """Pods wanted in all: what is asked for, and no fewer than when traffic was first split."""
        stands = self.least and (self.least_until is None or self.now < self.least_until)
        return max(self.replicas, self.least) if stands else self.replicas

    def remember_stable(self, revision: str) -> None:
        """A version became stable."""
        if revision in self.lineage:
            del self.lineage[self.lineage.index(revision) :]
        self.lineage.append(revision)
        self.discredited.discard(revision)

    def _remember_traffic(self) -> None:
        self.last_traffic |= {each.hash: self.now for each in self.pods.values() if self.share(each.hash)}

    # What the planner sees

    def observed(self) -> Observed:
        """The snapshot of this moment."""
        self._settle()
        return Observed(
            namespace="shop",
            name="shop",
            uid="uid",
            generation=self.generation,
            resource_version="1",
            status=self.status,
            spec=self.spec,
            problems=(
                *self.problems,
                *(Problem("spec", f"{each} is missing") for each in sorted(self.missing)),
            ),
            wanted=self.wanted,
            traffic=Traffic(STABLE, CANARY),
            replicas=self.replicas,
            intents=tuple(self.intents[key] for key in IntentKey if key in self.intents),
            replica_sets=tuple(self._replica_set(each) for each in self.pods.values()),
            stable_service=self._service(self.stable) if self.there(self.stable) else None,
            canary_service=self._service(self.canary) if self.there(self.canary) else None,
            routes=()
            if "route" in self.missing
            else (Route("HTTPRoute", "shop", "0", "1", self.weight, accepted=self.accepted),),
            runs=tuple(self.runs.values()),
            source=self.source,
            recovered=self.recovered,
            finalized=self.finalized,
            deleted_at=self.deleted_at,
        )

    def _replica_set(self, each: Pods) -> ReplicaSet:
        ready = self._ready(each)
        return ReplicaSet(
            name=each.name,
            hash=each.hash,
            uid=each.name,
            resource_version="1",
            revision=each.revision,
            created_at=each.created_at,
            wanted=each.wanted,
            created=each.wanted,
            ready=ready,
            available=ready,
            scale_down_at=each.scale_down_at,
            images=(f"shop:{each.hash}",),
            troubles=each.troubles,
            restarts=each.restarts,
        )

    def _ready(self, each: Pods) -> int:
        working = min(each.wanted, self.working.get(each.hash, each.wanted))
        return working if self.now >= each.since + self.ready_after else min(each.before, working)

    def _endpoints(self, service: Selector) -> tuple[tuple[str, int], ...]:
        reached = [each for each in self.pods.values() if service.hash in (None, each.hash)]
        return tuple((each.hash, self._ready(each)) for each in reached if self._ready(each))

    def _settle(self) -> None:
        for service in (self.stable, self.canary):
            found = self._endpoints(service)
            if found != service.ready:
                service.ready, service.since = found, self.now

    def _service(self, service: Selector) -> Service:
        settled = self.now >= service.since + schedule.MIN_SETTLE
        return Service(service.name, "1", service.hash, service.ready, settled)

    # Turns

    def turn(self, dies_after: int | None = None) -> list[Action]:
        """One turn: observe, judge, plan, execute; the shell may die after so many of its actions."""
        if self.gone:
            return []
        self._remember_traffic()
        observed = self.observed()
        self.evidence = self.judge(self)
        actions = plan(observed, self.evidence, self.now)
        invariants.turned(self, observed, actions)
        self.wake = next((action.when for action in actions if isinstance(action, WakeAt)), None)
        for count, action in enumerate(actions):
            if count == dies_after or self.deny(action):
                return actions
            self._do(action, observed)
        return actions

    def run(self, until: Callable[[World], bool], limit: int = 600) -> World:
        """Turns, each when it is asked for and at least every second, until something holds."""
        for _ in range(limit):
            self.turn()
            if until(self):
                return self
            self._pass(1.0)
        raise AssertionError(f"never came: {self}")

    def _pass(self, seconds: float) -> None:
        """Time passes: to the next look, or so many seconds if that is sooner; never nothing."""
        soonest = self.now + timedelta(seconds=seconds)
        wake = max(self.wake or soonest, self.now + timedelta(milliseconds=10))
        self.now = min(wake, soonest)

    def wait(self, seconds: float) -> World:
        """Turns for so many seconds."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.turn()
            self._pass(min(1.0, (end - self.now).total_seconds()))
        self.turn()
        return self

    def quiet(self) -> World:
        """Turns until nothing is done any more, timed waits included."""
        for _ in range(600):
            actions = self.turn()
            idle = all(isinstance(action, WakeAt) for action in actions)
            if idle and (self.wake is None or self.wake >= self.now + schedule.SLOW_LOOK):
                return self
            self._pass(5.0)
        raise AssertionError(f"never quiet: {self}")

    # What the planner's actions do

    def _do(self, action: Action, observed: Observed) -> None:
        invariants.hold(self, action, observed)
        if not isinstance(action, Announce | WakeAt):
            self.writes.append(action)
        match action:
            case RecordStatus(status):
                self.status = RolloutStatus.model_validate(status.manifest())
                assert self.status == status, "the status does not survive being written and read"
                rests = status.stage in {Stage.STABLE, Stage.REFUSED}
                if self.least and self.least_until is None and rests:
                    self.least_until = self.now + timedelta(minutes=5)
            case EnsureWeights(percent):
                self._split(percent)
                self.weight, self.meddled = percent, False
                self._remember_traffic()
            case EnsureSelector(name, revision):
                service = self.stable if name == STABLE else self.canary
                service.hash, service.since, service.meddled = revision, self.now, False
            case EnsureFinalizer(held):
                self.finalized = held
                self.gone = self.deleted_at is not None and not held
            case EnsureReplicaSet() | EnsureReplicas() | RemoveReplicaSet():
                self._do_pods(action)
            case EnsureRun() | FinishRun():
                self._do_run(action)
            case ClearIntent(annotation, value):
                key = annotation.rpartition("/")[2]
                if key in self.intents and self.intents[key].value == value:
                    del self.intents[key]
            case Announce():
                self.events.append(action)

    def _do_pods(self, action: EnsureReplicaSet | EnsureReplicas | RemoveReplicaSet) -> None:
        match action:
            case EnsureReplicaSet(revision, number, count):
                self._ensure_replica_set(revision, number, count)
            case EnsureReplicas(name, count, scale_down_at):
                self._resize(self.pods[name], count)
                self.pods[name].scale_down_at = scale_down_at
            case RemoveReplicaSet(name):
                del self.pods[name]

    def _split(self, percent: int) -> None:
        """Traffic is split from the first weight on, until some minutes after a stage of rest."""
        resting = self.least_until is not None or not self.least
        if percent and resting:
            self.least, self.least_until = self.needed, None

    def _do_run(self, action: EnsureRun | FinishRun) -> None:
        match action:
            case EnsureRun(name, role, attempt):
                assert name not in self.runs, f"{name} is begun twice"
                self.runs[name] = Run(name, name, "1", "Running", attempt=attempt, role=role)
            case FinishRun(name, phase, message):
                assert self.runs[name].phase == "Running", f"{name} is ended twice"
                self.runs[name] = replace(self.runs[name], phase=phase, message=message)

    def _ensure_replica_set(self, revision: str, number: int, count: int) -> None:
        name = f"shop-{revision}"
        found = self.pods.get(name)
        if found is None:
            self.pods[name] = Pods(name, revision, number, self.now, count, self.now)
        else:
            found.revision, found.scale_down_at = number, None
            self._resize(found, count)

    def _resize(self, found: Pods, count: int) -> None:
        if count != found.wanted:
            found.before = min(self._ready(found), count)
            found.wanted, found.since = count, self.now

    # What a story reads

    @property
    def phase(self) -> Phase | None:
        return self.status.phase

    @property
    def stage(self) -> Stage:
        return self.status.stage

    def count(self, revision: str) -> int:
        """Pods asked for."""
        found = self.pods.get(f"shop-{revision}")
        return found.wanted if found else 0

    def condition(self, kind: str) -> str:
        return next(each.status for each in self.status.conditions if each.type == kind)

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events]

    def __str__(self) -> str:
        pods = {
            each.hash: (each.wanted, self._ready(each), each.scale_down_at) for each in self.pods.values()
        }
        return (
            f"{self.now:%H:%M:%S} {self.status.stage} step {self.status.current_step_index} "
            f"{self.status.phase} weight {self.weight} of {self.status.canary.desired_weight} "
            f"stable->{self.stable.hash} canary->{self.canary.hash} pods {pods}: {self.status.message}"
        )


def steady(asked: RolloutSpec, revision: str = "v1", **more: Any) -> World:
    """A world in which `revision` was deployed and is Healthy."""
    world = World(asked, replicas=asked.replicas or 1, **more)
    world.push(revision)
    world.run(lambda world: world.phase is Phase.HEALTHY)
    world.quiet()
    return world


def says(outcome: Outcome, reason: str = "because the test says so") -> Callable[[World], Evidence]:
    """A judge that always says the same of the step under way, once there is a run to say it in."""

    def judge(world: World) -> Evidence:
        begun = any(run.attempt == world.status.attempt for run in world.runs.values())
        if world.spec is None or world.status.step_effect_since is None or not begun:
            return Evidence(Outcome.UNDECIDED)
        key = schedule.evidence_key(world.spec.strategy.canary.steps, world.status.current_step_index)
        return Evidence(outcome, reason, key)

    return judge

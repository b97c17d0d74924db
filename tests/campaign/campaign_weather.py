"""The weather of one schedule: what befalls which call, who works when, and what others do meanwhile."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import manifests
from manifests import CANARY, STABLE

from rollout.kube.errors import Asked
from rollout.sandbox.apiserver.resource import PODS, SERVICES
from rollout.sandbox.kubelet.scripted import Act

from . import holding
from .campaign_repository import READS, gits, killed, left_alone
from .cluster import ROUTES, Cluster
from .faults import CALLS, FREEZES, STATEMENTS, Fault, Kind
from .incarnation import Incarnation
from .scene import Scene
from .statements import Killed, Statements
from .wire import Wire

WRITES = {"create", "update", "patch", "delete"}
STORM_SHARE = 0.3
STORMS = (
    Kind.CONFLICT,
    Kind.EXPIRED,
    Kind.BUSY,
    Kind.BROKEN,
    Kind.UNAVAILABLE,
    Kind.CUT_BEFORE,
    Kind.CUT_AFTER,
    Kind.HANG_BEFORE,
    Kind.HANG_AFTER,
    Kind.DELAY,
)
FOREIGN = {Kind.FOREIGN_WEIGHT, Kind.FOREIGN_SELECTOR}
LOSES_S = 3.0
"""How long an operator that was frozen goes on before it ends, where another has taken over."""
LATE_S = 2.0
READY_S = 1.0
"""How long a pod takes to be ready."""


class Weather:
    """Faults, and the operators that have to live with them."""

    def __init__(
        self, cluster: Cluster, scene: Scene, faults: tuple[Fault, ...], seed: int, *, lease: bool
    ) -> None:
        self._lease = lease
        self._cluster = cluster
        self._scene = scene
        self._faults = faults
        self._dice = random.Random(seed)
        self._left: list[Fault] = []
        self._storms = 0
        self._late = 0.0
        self._down_until = 0.0
        self._over = False
        self._born = 0
        self._working: list[Incarnation] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.failures: list[str] = []
        """Ends of operators that nothing here caused."""
        self.requests = 0
        self.written: list[str] = []
        """The call site of each write."""
        self.sites: Counter[str] = Counter()
        self.struck: list[str] = []
        self.statements = Statements(self._at_statement)
        self._disk: Path | None = None
        """What is left to the next operator."""
        self._disks: dict[str, Path] = {}
        self._child: subprocess.Popen[bytes] | None = None
        """The git that was started last."""
        cluster.scripts.set(Act.READY, after_s=READY_S)
        self.calls: list[str] | None = None
        """Every call, where somebody wants to know."""

    # The faults

    def begin(self, *, every: bool = False) -> None:
        """From now on calls are counted, and things go wrong; `every` statement is counted only if asked."""
        self._left = [each for each in self._faults if each.kind in CALLS]
        self.requests = 0
        self.written.clear()
        self.sites.clear()
        self.statements.watch([each for each in self._faults if each.kind in STATEMENTS], every=every)
        for fault in self._faults:
            if fault.kind not in CALLS and fault.kind not in STATEMENTS:
                self._spawn(self._befall(fault))

    def clear(self) -> None:
        """From now on it is fine."""
        self._left.clear()

    def ails(self, wire: Wire, asked: Asked) -> tuple[Kind, float] | None:
        """What befalls a call."""
        site = f"{asked.verb} {asked.resource}"
        writes = asked.verb in WRITES
        self.requests += 1
        self.written += [site] if writes else []
        self.sites[site] += 1
        if self.calls is not None:
            self.calls.append(f"{asyncio.get_running_loop().time():9.3f} {wire.name}: {asked}")
        for fault in self._left:
            at_write = writes and fault.write == len(self.written)
            at_site = fault.site == site and fault.nth == self.sites[site]
            if at_write or at_site or fault.request == self.requests:
                self._left.remove(fault)
                self.struck.append(f"{fault}: {asked}")
                return self._on_call(fault, wire)
        if self._storms and self._dice.random() < STORM_SHARE:
            return self._dice.choice(STORMS), self._dice.uniform(0.1, 5.0)
        return None

    def _on_call(self, fault: Fault, wire: Wire) -> tuple[Kind, float]:
        if fault.kind in (Kind.KILL_BEFORE, Kind.KILL_AFTER):
            self._nobody_for(fault.seconds)
        if fault.kind in FREEZES:
            self._freeze(fault.seconds, wire)
        return fault.kind, fault.seconds

    def _git_started(self, words: str, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        self.statements.reached(words)

    def _at_statement(self, fault: Fault, wire: Wire) -> None:
        """An operator is about to run a statement, or has just started a git."""
        assert self._scene.repository is not None
        home, server = self._scene.repository.home, self._scene.repository.bare
        disk = home / self._disks[wire.name]
        if fault.kind is Kind.GIT_KILLED:
            self.struck.append(str(fault))
            assert self._child is not None
            time.sleep(fault.seconds)  # its own time, not the operators'
            if self._child.poll() is None:
                os.killpg(self._child.pid, signal.SIGKILL)
            strikes = self._child.wait() == -signal.SIGKILL  # it may have ended just then
            killed(home, server, disk, locks=strikes and fault.site not in READS)
            return
        self.struck.append(f"{fault}: {', '.join(_words(each) for each in gits(home).values()) or 'no git'}")
        left_alone(home) if fault.kind is Kind.LEFT_GIT else killed(home, server, disk)
        if fault.kind is not Kind.LOST_DISK and disk.exists():
            self._disk = home / f"what {wire.name} left"
            shutil.copytree(disk, self._disk, symlinks=True)
        self._nobody_for(fault.seconds)
        wire.kill()
        raise Killed

    def _freeze(self, seconds: float, wire: Wire) -> None:
        """Another one takes over: at once, or when the Lease has run out, where it is lost by then."""
        if wire.tenure is None:
            self.work()
        elif (ends := self._lost(seconds, wire.tenure)) is not None:
            self._down_until = max(self._down_until, ends)
            asyncio.get_running_loop().call_at(ends, self._lead)
        else:
            return
        self._spawn(self._after(seconds + LOSES_S, lambda: self._dismiss(wire)))

    @staticmethod
    def _lost(seconds: float, tenure: holding.Tenure) -> float | None:
        """When the Lease of who is frozen for so long ends; None where it may go on with it."""
        late = asyncio.get_running_loop().time() + seconds - tenure.renewed_at
        return holding.ends(tenure) if late >= tenure.terms.deadline else None

    def _lead(self) -> None:
        """Somebody leads."""
        leading = [each for each in self._working if each.wire.tenure and each.wire.tenure.stands]
        if not leading and not self._over:
            self.work()

    async def _befall(self, fault: Fault) -> None:
        await asyncio.sleep(fault.time)
        if fault.kind in FOREIGN and self._scene.rollout is None:
            return  # nobody has to undo it any more
        self.struck.append(str(fault))
        befalls: dict[Kind, Callable[[Fault], Coroutine[Any, Any, None]]] = {
            Kind.STORM: self._storm,
            Kind.WATCHES_CUT: self._cut_watches,
            Kind.WATCHES_GONE: self._cut_watches,
            Kind.WATCHES_LATE: self._listen_late,
            Kind.SECOND: self._two,
            Kind.KILLED: self._nobody,
            Kind.METRICS: self._ail_metrics,
            Kind.GIT_GONE: self._ail_git,
            Kind.GIT_HANGS: self._ail_git,
            Kind.GIT_FORCED: self._ail_git,
            Kind.RESETS: self._reset_counters,
            Kind.SLOW_PODS: self._slow_pods,
            Kind.CANARY_UNREADY: self._unready,
            Kind.STABLE_UNREADY: self._unready,
            Kind.FLIPPING: self._flip,
            Kind.POD_GONE: self._delete_pods,
            Kind.CANARY_GONE: self._delete_pods,
            Kind.STABLE_GONE: self._delete_pods,
            Kind.FOREIGN_WEIGHT: self._meddle_with_weight,
            Kind.FOREIGN_SELECTOR: self._meddle_with_selector,
        }
        await befalls[fault.kind](fault)

    # To the API server

    async def _storm(self, fault: Fault) -> None:
        self._storms += 1
        await asyncio.sleep(fault.seconds)
        self._storms -= 1

    async def _cut_watches(self, fault: Fault) -> None:
        for each in self._working:
            each.wire.cut_watches(gone=fault.kind is Kind.WATCHES_GONE)

    async def _listen_late(self, fault: Fault) -> None:
        self._late = LATE_S
        for each in self._working:
            each.wire.late_s = self._late
        await asyncio.sleep(fault.seconds)
        self._late = 0.0
        for each in self._working:
            each.wire.late_s = 0.0

    # To Git

    async def _ail_git(self, fault: Fault) -> None:
        repository = self._scene.repository
        if repository is None:
            return
        match fault.kind:
            case Kind.GIT_GONE:
                repository.hide()
                await asyncio.sleep(fault.seconds)
                repository.show()
            case Kind.GIT_HANGS:
                repository.hangs = True
                await asyncio.sleep(fault.seconds)
                repository.hangs = False
            case _:
                repository.rewrite()

    # To operators

    async def _two(self, fault: Fault) -> None:
        first = tuple(self._working)
        self.work()
        await asyncio.sleep(fault.seconds)
        for each in first:
            self._dismiss(each.wire)

    async def _nobody(self, fault: Fault) -> None:
        self._nobody_for(fault.seconds)
        for each in tuple(self._working):
            self._dismiss(each.wire)

    # To the world

    async def _ail_metrics(self, fault: Fault) -> None:
        prometheus = self._scene.prometheus
        prometheus.mode = fault.mode
        await asyncio.sleep(fault.seconds)
        prometheus.mode = None

    async def _reset_counters(self, _: Fault) -> None:
        self._scene.prometheus.reset()

    async def _slow_pods(self, fault: Fault) -> None:
        self._cluster.scripts.set(Act.READY, after_s=fault.seconds)
        await asyncio.sleep(3 * fault.seconds)
        self._cluster.scripts.set(Act.READY, after_s=READY_S)

    async def _unready(self, fault: Fault) -> None:
        service = CANARY if fault.kind is Kind.CANARY_UNREADY else STABLE
        image = self._scene.revisions().get(self._scene.selects(service), "")
        if image:
            self._cluster.scripts.set(Act.UNREADY, image=image)
            await asyncio.sleep(fault.seconds)
            self._cluster.scripts.set(Act.READY, image=image, after_s=READY_S)

    async def _flip(self, fault: Fault) -> None:
        self._cluster.scripts.set(Act.FLIP)
        await asyncio.sleep(fault.seconds)
        self._cluster.scripts.set(Act.READY, after_s=READY_S)

    async def _delete_pods(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.CANARY_GONE:
                doomed = self._scene.pods(CANARY)
            case Kind.STABLE_GONE:
                doomed = self._scene.pods(STABLE)
            case _:
                pods = self._scene.pods()
                doomed = self._dice.sample(pods, min(len(pods), 1))
        for name in doomed:
            await self._scene.delete(PODS, name)

    async def _meddle_with_weight(self, _: Fault) -> None:
        canary = self._dice.choice((0, 10, 50, 100))
        path = "/spec/rules/0/backendRefs"
        refs = self._scene.objects[ROUTES.plural, manifests.NAME]["spec"]["rules"][0]["backendRefs"]
        weights = {STABLE: 100 - canary, CANARY: canary}
        value = [{**ref, "weight": weights.get(ref["name"], 1)} for ref in refs]
        await self._scene.patch(ROUTES, manifests.NAME, [{"op": "replace", "path": path, "value": value}])

    async def _meddle_with_selector(self, _: Fault) -> None:
        service = self._dice.choice((STABLE, CANARY))
        value = dict(manifests.LABELS)
        operation = {"op": "replace", "path": "/spec/selector", "value": value}
        await self._scene.patch(SERVICES, service, [operation])

    # The operators

    def work(self) -> None:
        """One more operator begins."""
        self._born += 1
        self.statements.go_on()
        wire = Wire(self._cluster, f"operator {self._born}", self.ails)
        wire.late_s = self._late
        wire.tenure = holding.begun() if self._lease else None
        self._disks[wire.name] = self._disk or Path(f"mirrors of {wire.name}")
        self._disk = None
        mirrors = self._scene.mirrors(self._disks[wire.name], self._git_started)
        operator = Incarnation(wire, self._scene.prometheus, mirrors)
        self._working.append(operator)
        task = operator.start()
        task.add_done_callback(lambda ended: self._ended(operator, ended))
        self._tasks.append(task)

    def _nobody_for(self, seconds: float) -> None:
        """Where the last one ends, it takes so long until the next one begins."""
        self._down_until = max(self._down_until, asyncio.get_running_loop().time() + seconds)

    def _ensure_one(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._down_until:
            loop.call_at(self._down_until, self._ensure_one)
        elif not self._working and not self._over:
            self.work()

    def _dismiss(self, wire: Wire) -> None:
        if not wire.dead:
            wire.kill()

    def _ended(self, operator: Incarnation, task: "asyncio.Task[None]") -> None:
        self._working.remove(operator)
        if not task.cancelled() and task.exception() is not None:
            self.failures.append(f"{operator.wire.name} ended: {task.exception()!r}")
        self._ensure_one()

    def end(self) -> None:
        """Nobody begins any more."""
        self._over = True
        self.statements.end()

    async def _after(self, seconds: float, do: Callable[[], object]) -> None:
        await asyncio.sleep(seconds)
        do()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))


def _words(command: bytes) -> str:
    """`git push`, of a command line."""
    words = command.decode(errors="replace").split("\0")
    return " ".join(words[:2]) if words[0] != "env" else "git that begins"

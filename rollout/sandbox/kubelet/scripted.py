"""Pods without processes: their status follows a script, for tests that need no traffic.

What a pod does is, in this order: its annotation `sandbox.progressive.delivery/act`, a rule on `Scripts` for
the pod, one for its image, what its image's tag says (`crash`, `never-ready`, `missing`); else it is ready.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rollout.sandbox.apiserver.local import LocalClient
from rollout.sandbox.apiserver.resource import PODS, Object
from rollout.sandbox.controllers.informers import key_of
from rollout.sandbox.controllers.ownership import deleting
from rollout.sandbox.kubelet.addresses import Addresses
from rollout.sandbox.kubelet.containers import FIRST_BACKOFF_S, now
from rollout.sandbox.kubelet.processes import remove
from rollout.sandbox.kubelet.status import Running, State, Terminated, View, Waiting, pod_status

ANNOTATION = "sandbox.progressive.delivery/act"
FLIP_S = 1.0


class Act(StrEnum):
    """What a scripted pod does."""

    READY = "ready"
    UNREADY = "unready"
    FLIP = "flip"  # ready and unready in turn, a second each
    CRASH = "crash"
    PULL_FAILURE = "pull-failure"
    SUCCEED = "succeed"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Rule:
    """An act, begun `after_s` seconds after the pod was seen."""

    act: Act
    after_s: float = 0.0


class Scripts:
    """The rules of one cluster; may be called from any thread."""

    def __init__(self) -> None:
        self.termination_s = 0.0
        """How long a pod takes to go once it is being deleted."""
        self._rules: dict[str, Rule] = {}
        self._changed: Callable[[], object] = lambda: None

    def set(self, act: Act | str, *, image: str = "", pod: str = "", after_s: float = 0.0) -> None:
        """Make pods of an image, a pod of a name, or (where both are empty) all others do `act`.

        `after_s` seconds after a pod appeared; until then it is not ready.
        """
        self._rules[f"pod/{pod}" if pod else f"image/{image}"] = Rule(Act(act), after_s)
        self._changed()

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()
        self._changed()

    def on_change(self, call: Callable[[], object]) -> None:
        """Call when a rule changes."""
        self._changed = call

    def rule(self, pod: Object) -> Rule:
        """The rule that a pod follows now."""
        meta, image = pod["metadata"], pod["spec"]["containers"][0].get("image", "")
        said = (meta.get("annotations") or {}).get(ANNOTATION)
        if said in set(Act):
            return Rule(Act(said))
        for key in (f"pod/{meta['name']}", f"image/{image}", "image/"):
            if key in self._rules:
                return self._rules[key]
        return Rule(of_image(image))


def of_image(image: str) -> Act:
    """What an image's tag says."""
    tag = image.rpartition(":")[2]
    if "missing" in tag:
        return Act.PULL_FAILURE
    if "crash" in tag:
        return Act.CRASH
    return Act.UNREADY if "never-ready" in tag else Act.READY


class ScriptedPods:
    """All pods of the node."""

    def __init__(self, client: LocalClient, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts
        self._addresses = Addresses()
        self._seen: dict[str, tuple[float, str, str]] = {}  # uid: monotonic, the API's time, address
        self._leaving: dict[str, float] = {}  # uid: monotonic

    async def turn(self, pod: Object) -> float | None:
        """Bring one pod's status in line; seconds until it changes by itself."""
        uid = pod["metadata"]["uid"]
        if uid not in self._seen:
            self._seen[uid] = (_monotonic(), now(), self._addresses.take())
        if deleting(pod):
            return await self._leave(pod)
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return None
        seen, started, ip = self._seen[uid]
        states, again = play(self._scripts.rule(pod), _monotonic() - seen, started, now())
        views = [
            View(c["name"], c.get("image", ""), states.state, states.last, states.restarts, states.ready)
            for c in pod["spec"]["containers"]
        ]
        wanted = pod_status(pod, views, ip, now())
        if not wanted.items() <= pod.get("status", {}).items():
            patch = {"metadata": {"uid": uid}, "status": wanted}
            await self._client.patch(PODS, *key_of(pod), patch, subresource="status")
        return again

    async def _leave(self, pod: Object) -> float | None:
        since = self._leaving.setdefault(pod["metadata"]["uid"], _monotonic())
        left = self._scripts.termination_s - (_monotonic() - since)
        if left > 0:
            return left
        await remove(self._client, pod)
        return None

    def gone(self, pod: Object) -> None:
        """Forget a pod."""
        self._leaving.pop(pod["metadata"]["uid"], None)
        if (held := self._seen.pop(pod["metadata"]["uid"], None)) is not None:
            self._addresses.release(held[2])

    async def stop(self) -> None:
        """Let the addresses go."""
        self._addresses.close()


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Playing:
    """How all containers of a scripted pod stand."""

    state: State
    ready: bool = False
    last: Terminated | None = None
    restarts: int = 0


def play(rule: Rule, age_s: float, started: str, at: str) -> tuple[Playing, float | None]:
    """How a pod of a rule stands at an age, and in how many seconds that changes (None: never)."""
    running = Running(started)
    if age_s < rule.after_s:
        return Playing(running), rule.after_s - age_s
    match rule.act:
        case Act.READY:
            return Playing(running, ready=True), None
        case Act.UNREADY:
            return Playing(running), None
        case Act.FLIP:
            turn = int((age_s - rule.after_s) / FLIP_S)
            return Playing(running, ready=turn % 2 == 0), (turn + 1) * FLIP_S + rule.after_s - age_s
        case Act.CRASH:
            return crash_loop(age_s - rule.after_s, started, at)
        case Act.PULL_FAILURE:
            return Playing(Waiting("ErrImagePull" if age_s < 1 else "ImagePullBackOff", "not found")), (
                1.0 - age_s if age_s < 1 else None
            )
        case Act.SUCCEED | Act.FAIL:
            return Playing(Terminated(int(rule.act is Act.FAIL), started, at)), None


def crash_loop(age_s: float, started: str, at: str) -> tuple[Playing, float]:
    """The n-th restart is due when back-offs of 0.5, 1, 2, ... seconds have passed."""
    restarts = int(math.log2(age_s / FIRST_BACKOFF_S + 1)) + 1
    due = FIRST_BACKOFF_S * (2**restarts - 1) - age_s
    backoff = FIRST_BACKOFF_S * 2 ** (restarts - 1)
    waiting = Waiting("CrashLoopBackOff", f"back-off {backoff:g}s restarting failed container")
    return Playing(waiting, last=Terminated(1, started, started), restarts=restarts), max(due, 0.05)

"""What stands in, in one namespace, for controllers that a cluster does not have.

Each looks at what is there and writes what is lacking; a write that fails is left for the next look.
"""

import itertools
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from conformance import api
from conformance.api import Object, Refused, Unreachable, conditions
from conformance.manifests import version
from conformance.mirror import Mirror, at

CONTROLLER = "progressive.delivery/conformance"
_addresses = itertools.count(1)
Writes = Iterable[Coroutine[Any, Any, Any]]
Part = Callable[[], Writes]


class Act(StrEnum):
    """What a scripted pod does."""

    READY = "ready"
    UNREADY = "unready"
    CRASH = "crash"


async def run(mirror: Mirror, parts: Iterable[Part]) -> None:
    """Let parts work until cancelled."""
    parts = tuple(parts)
    while True:
        seen = mirror.changes
        for part in parts:
            for write in part():
                with suppress(Refused, Unreachable):
                    await write
        await mirror.change(seen)


@dataclass(slots=True)
class Routes:
    """A Gateway controller: says of every route that it is accepted."""

    mirror: Mirror

    def __call__(self) -> Writes:
        """Statuses that lack."""
        for route in self.mirror.every(api.ROUTES):
            generation = route["metadata"]["generation"]
            said = at(route, "status", "parents", 0, "conditions", 0, "observedGeneration")
            if said != generation:
                status = {"parents": [_accepted(ref, generation) for ref in route["spec"]["parentRefs"]]}
                yield write_status(self.mirror, api.ROUTES, route, status)


def _accepted(parent: Object, generation: int) -> Object:
    said = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "lastTransitionTime": _now(),
            "observedGeneration": generation,
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    return {"parentRef": parent, "controllerName": CONTROLLER, "conditions": said}


@dataclass(slots=True)
class Pods:
    """A kubelet: what a pod of a version does is what `acts` says, else it is ready."""

    mirror: Mirror
    acts: dict[str, Act] = field(default_factory=dict)

    def __call__(self) -> Writes:
        """Statuses that lack."""
        for pod in self.mirror.every(api.PODS):
            act = self.acts.get(version(pod), Act.READY)
            wanted = {Act.READY: "True"}.get(act, "False")
            crashed = at(pod, "status", "containerStatuses", 0, "restartCount") or 0
            if pod["metadata"].get("deletionTimestamp"):
                continue
            if conditions(pod).get("Ready") != wanted or (act is Act.CRASH and not crashed):
                yield write_status(self.mirror, api.PODS, pod, _pod_status(pod, act))


def _pod_status(pod: Object, act: Act) -> Object:
    ready = "True" if act is Act.READY else "False"
    address = at(pod, "status", "podIP") or "10.{}.{}.{}".format(*_split(next(_addresses)))
    ended = {"exitCode": 1, "reason": "Error", "startedAt": _now(), "finishedAt": _now()}
    crash = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
    container = pod["spec"]["containers"][0]
    view = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": act is Act.READY,
        "started": act is not Act.CRASH,
        "restartCount": 3 if act is Act.CRASH else 0,
        "state": crash if act is Act.CRASH else {"running": {"startedAt": _now()}},
        **({"lastState": {"terminated": ended}} if act is Act.CRASH else {}),
    }
    kinds = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": ready, "Ready": ready}
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": at(pod, "status", "startTime") or _now(),
        "conditions": [
            {"type": kind, "status": status, "lastTransitionTime": _now()} for kind, status in kinds.items()
        ],
        "containerStatuses": [view],
    }


def _split(number: int) -> tuple[int, int, int]:
    """Three bytes of a private address, none of them 0 or 255."""
    return 64 + number // 64_000 % 64, 1 + number // 250 % 250, 1 + number % 250


def write_status(
    mirror: Mirror, kind: api.Resource, found: Object, status: Object
) -> Coroutine[Any, Any, Object]:
    """Patch the status of an object."""
    name = found["metadata"]["name"]
    return mirror.api.patch(kind, mirror.namespace, name, {"status": status}, "status")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

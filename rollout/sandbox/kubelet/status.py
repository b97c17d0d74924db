"""A pod's status, composed from what its containers do. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.controllers.pods import condition

HOST_IP = "127.0.0.1"
_OURS = ("PodScheduled", "Initialized", "ContainersReady", "Ready")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that does not run yet, or not again yet."""

    reason: str = "ContainerCreating"
    message: str = ""

    def as_json(self) -> Object:
        """The entry of `containerStatuses[].state`."""
        return {"waiting": {"reason": self.reason} | ({"message": self.message} if self.message else {})}


@dataclass(frozen=True, slots=True)
class Running:
    """A container that runs."""

    started: str

    def as_json(self) -> Object:
        """The entry of `containerStatuses[].state`."""
        return {"running": {"startedAt": self.started}}


@dataclass(frozen=True, slots=True)
class Terminated:
    """A container that ended."""

    code: int
    started: str
    finished: str

    def as_json(self) -> Object:
        """The entry of `containerStatuses[].state`."""
        reason = "Completed" if self.code == 0 else "Error"
        times = {"startedAt": self.started, "finishedAt": self.finished}
        return {"terminated": {"exitCode": self.code, "reason": reason, **times}}


State = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one container."""

    name: str
    image: str
    state: State = Waiting()
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False

    def as_json(self) -> Object:
        """The entry of `containerStatuses`."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "" if isinstance(self.state, Waiting) and not self.restarts else self.image,
            "ready": self.ready,
            "started": isinstance(self.state, Running),
            "restartCount": self.restarts,
            "state": self.state.as_json(),
            "lastState": self.last.as_json() if self.last else {},
        }


def phase(views: Sequence[View], restart_policy: str) -> str:
    """The pod's phase; a container that will be restarted counts as running."""
    if any(isinstance(v.state, Waiting) and not v.restarts for v in views):
        return "Pending"
    ended = [v.state for v in views if isinstance(v.state, Terminated)]
    if len(ended) < len(views) or restart_policy == "Always":
        return "Running"
    if all(state.code == 0 for state in ended):
        return "Succeeded"
    return "Running" if restart_policy == "OnFailure" else "Failed"


def pod_status(pod: Object, views: Sequence[View], ip: str, now: str) -> Object:
    """The whole status; a condition that does not change keeps its time (`now` is RFC 3339, seconds)."""
    held = pod.get("status", {})
    unready = " ".join(v.name for v in views if not v.ready)
    verdict = ("False", "ContainersNotReady", f"containers with unready status: [{unready}]")
    ready = ("True", "", "") if not unready else verdict
    said = [("PodScheduled", "True", "", ""), ("Initialized", "True", "", "")]
    said += [("ContainersReady", *ready), ("Ready", *ready)]
    foreign = [c for c in held.get("conditions") or () if c["type"] not in _OURS]
    return {
        "phase": phase(views, pod["spec"].get("restartPolicy", "Always")),
        "conditions": [*foreign, *(_condition(pod, *words, now) for words in said)],
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": held.get("startTime") or now,
        "containerStatuses": [v.as_json() for v in views],
    }


def _condition(pod: Object, kind: str, status: str, reason: str, message: str, now: str) -> Object:
    held = condition(pod, kind)
    since = held["lastTransitionTime"] if held is not None and held["status"] == status else now
    said = {"type": kind, "status": status, "lastTransitionTime": since}
    return said | {k: v for k, v in (("reason", reason), ("message", message)) if v}

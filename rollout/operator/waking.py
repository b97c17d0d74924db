"""What wakes whom: events of kopf and changes of the caches become keys in the queue, nothing else."""

from collections.abc import Awaitable, Callable
from typing import Any

import kopf
from kubernetes.aio.client import Configuration

from rollout.api.base import Manifest
from rollout.gitops.notes import Notebook
from rollout.kube.reflector import Change
from rollout.observe.memory import Memory
from rollout.operator.queue import Key, Queue

ROLLOUT = "Rollout"
GIT_SOURCE = "GitSource"
_OF_A_REVISION = {"ReplicaSet": 1, "Pod": 2}
"""How many parts of its name follow the Rollout's: `checkout-6c9f7d` and `checkout-6c9f7d-x2x4z`."""

_OUTSIDE_STATUS = ("uid", "generation", "labels", "annotations", "finalizers", "deletionTimestamp")
"""Of the metadata; the generation stands for the spec."""
_SET_OUTSIDE = ("abort", "promoteFull", "controllerPause", "pauseConditions")
"""Of the status: what Argo's tools write there (D7)."""

BACKOFFS = (0.5, 1.0, 1.0, 2.0)
"""Seconds between tries: whoever waits longer hears of an abort so much later."""


IsOurs = Callable[[Key], bool]
Hear = Callable[[Manifest], None]


class Waker:
    """Puts keys into the queue; `hear` is told of the Rollouts that are not ours."""

    def __init__(self, queue: Queue, memory: Memory, notebook: Notebook, is_ours: IsOurs, hear: Hear) -> None:
        self._queue = queue
        self._is_ours = is_ours
        self._hear = hear
        self._memory = memory
        self._notebook = notebook
        self._turns: dict[Key, tuple[object, int]] = {}

    def changed(self, change: Change[Any]) -> None:
        """Something that a Rollout may look at has changed."""
        kind = change.resource.kind
        if kind in _OF_A_REVISION:
            self._rollout(change.namespace, change.name.rsplit("-", _OF_A_REVISION[kind])[0])
        elif kind == "EndpointSlice":
            told = change.after or change.before
            self._users(change.namespace, "Service", told.service if told else "")
        elif kind != "AnalysisRun":
            self._users(change.namespace, kind, change.name)

    def rollout_event(self, event: Any, body: Any) -> None:
        """A Rollout was added, changed or deleted."""
        rollout = _plain(body)
        namespace, name = rollout["metadata"]["namespace"], rollout["metadata"]["name"]
        key = Key(ROLLOUT, namespace, name)
        if event.get("type") == "DELETED":
            self._turns.pop(key, None)
            self._notebook.forget(namespace, name)
            if not self._is_ours(key):
                self._memory.forget((namespace, name))
                self._queue.forget(key)
                return
        else:
            if not self._is_ours(key):
                self._hear(rollout)
            for source in self._notebook.hear(rollout):
                self._queue.wake(Key(GIT_SOURCE, *source))
            if self._is_echo(key, rollout):
                return
        self._queue.wake(key)

    def _is_echo(self, key: Key, rollout: Manifest) -> bool:
        """Whether nothing changed but the status, and that by a turn: whoever took it waits for nothing here.

        A status that somebody else wrote leaves the turn as it was.
        """
        metadata, status = rollout["metadata"], rollout.get("status") or {}
        turn = status.get("turn")
        told = hash(
            str(
                [metadata.get(name) for name in _OUTSIDE_STATUS] + [status.get(name) for name in _SET_OUTSIDE]
            )
        )
        before = self._turns.get(key)
        self._turns[key] = (turn, told)
        return before is not None and before[1] == told and before[0] != turn

    def source_event(self, body: Any) -> None:
        """A GitSource was added, changed or deleted."""
        metadata = body["metadata"]
        self._queue.wake(Key(GIT_SOURCE, metadata["namespace"], metadata["name"]))

    def _rollout(self, namespace: str, name: str) -> None:
        self._queue.wake(Key(ROLLOUT, namespace, name))

    def _users(self, namespace: str, kind: str, name: str) -> None:
        for user in self._memory.users(namespace, kind, name):
            self._rollout(*user)


Login = Callable[[], Awaitable[kopf.ConnectionInfo]]


Post = Callable[..., object]
"""Calls something soon in the loop of the queue."""


def registry(waker: Waker, login: Login, post: Post) -> kopf.OperatorRegistry:
    """kopf's handlers: they wake and do nothing else, so kopf writes nothing to any object."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def _login(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    @kopf.on.event("progressive.delivery", "v1alpha1", "rollouts", registry=handlers)
    async def _rollout(event: Any, body: Any, **_: Any) -> None:
        post(waker.rollout_event, event, body)

    @kopf.on.event("progressive.delivery", "v1alpha1", "gitsources", registry=handlers)
    async def _source(body: Any, **_: Any) -> None:
        post(waker.source_event, body)

    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf as a watch stream: no Events of its own, no scan for what is not ours."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.watching.server_timeout = 300
    chosen.networking.error_backoffs = BACKOFFS
    return chosen


def _plain(body: Any) -> Manifest:
    plain: Manifest = dict(body)
    return plain


def connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """The official client's credentials in kopf's words."""
    bearer = str((configuration.api_key or {}).get("BearerToken") or "")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        token=bearer.removeprefix("Bearer ") or None,
    )

"""What wakes whom: changes of the caches become keys in the queue, nothing else."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest
from rollout.gitops.notes import Notebook
from rollout.kube.reflector import Change
from rollout.observe.memory import Memory
from rollout.operator.queue import Key, Queue

ROLLOUT = "Rollout"
GIT_SOURCE = "GitSource"
GIT_DRIFT = "GitDrift"
"""A look at what a GitSource applied, for which Git need not be asked."""
_OF_A_REVISION = {"ReplicaSet": 1, "Pod": 2}
"""How many parts of its name follow the Rollout's: `checkout-6c9f7d` and `checkout-6c9f7d-x2x4z`."""

LOOKED_BY_S = 2.0
"""How long a Rollout's turn waits for a look at its new spec, at most."""

_OUTSIDE_STATUS = ("uid", "generation", "labels", "annotations", "finalizers", "deletionTimestamp")
"""Of the metadata; the generation stands for the spec."""
_SET_OUTSIDE = ("abort", "promoteFull", "controllerPause", "pauseConditions")
"""Of the status: what Argo's tools write there (D7)."""

IsOurs = Callable[[Key], bool]
Suspect = Callable[[str, str, str], Iterable[tuple[str, str]]]
"""Told of an object (namespace, kind, name) that has changed; the GitSources that look at it for that."""
Hear = Callable[[Manifest], None]


@dataclass(frozen=True, slots=True)
class Sight:
    """What tells one state of a Rollout from another: enough to know who waits for it."""

    version: str
    turn: int | None
    rest: int
    """A hash of all but what turns write."""
    generation: int = 0
    """Of the spec."""


def sight(rollout: Manifest) -> Sight:
    """Of a Rollout as the server has it."""
    metadata, status = rollout["metadata"], rollout.get("status") or {}
    outside = [metadata.get(name) for name in _OUTSIDE_STATUS] + [status.get(name) for name in _SET_OUTSIDE]
    generation = int(metadata.get("generation", 0))
    return Sight(metadata.get("resourceVersion", ""), status.get("turn"), hash(str(outside)), generation)


def version(manifest: Manifest) -> str:
    """All that is kept of what is read anew by each turn."""
    return str(manifest["metadata"].get("resourceVersion", ""))


class Waker:
    """Puts keys into the queue; `hear` is told of the Rollouts that are not ours."""

    def __init__(
        self,
        queue: Queue,
        memory: Memory,
        notebook: Notebook,
        is_ours: IsOurs,
        hear: Hear,
        suspect: Suspect = lambda _namespace, _kind, _name: (),
    ) -> None:
        self._suspect = suspect
        self._waiting: dict[Key, set[Key]] = {}
        self._queue = queue
        self._is_ours = is_ours
        self._hear = hear
        self._memory = memory
        self._notebook = notebook

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
            self._guards(change)

    def rollout_there(self, rollout: Manifest) -> None:
        """A Rollout as the server has it, seen before what changed of it is told."""
        metadata = rollout["metadata"]
        if not self._is_ours(Key(ROLLOUT, metadata["namespace"], metadata["name"])):
            self._hear(rollout)
        for source in self._notebook.hear(rollout):
            self._queue.wake(Key(GIT_SOURCE, *source))

    def rollout_changed(self, change: Change[Sight]) -> None:
        """A Rollout was added, changed or deleted."""
        key = Key(ROLLOUT, change.namespace, change.name)
        if change.after is not None:
            if not _is_echo(change.before, change.after):
                self._changed(key, change)
            return
        self._guards(change)
        self._notebook.forget(change.namespace, change.name)
        if self._is_ours(key):
            self._queue.wake(key)
        else:
            self._memory.forget((change.namespace, change.name))
            self._queue.forget(key)

    def source_changed(self, change: Change[str]) -> None:
        """A GitSource was added, changed or deleted."""
        self._queue.wake(Key(GIT_SOURCE, change.namespace, change.name))

    def looked(self, look: Key) -> None:
        """Somebody has looked whether what a GitSource applied is as Git says: who waited for it goes on."""
        for key in self._waiting.pop(look, ()):
            self._queue.wake(key)

    def _changed(self, key: Key, change: Change[Sight]) -> None:
        """A Rollout's turn waits until it is known that its new spec is Git's: else a version that somebody
        typed in would become a canary for the moment until it is put back, and a verdict on the commit.
        """
        guards = self._guards(change)
        before, after = change.before, change.after
        if not guards or before is None or after is None or before.generation == after.generation:
            self._queue.wake(key)
            return
        for guard in guards:
            self._waiting.setdefault(guard, set()).add(key)
        self._queue.wake_in(key, LOOKED_BY_S)

    def _guards(self, change: Change[Any]) -> list[Key]:
        """Whoever applied an object looks whether it still is what Git says."""
        found = self._suspect(change.namespace, change.resource.kind, change.name)
        guards = [key for source in found if self._is_ours(key := Key(GIT_DRIFT, *source))]
        for guard in guards:
            self._queue.wake(guard)
        return guards

    def _rollout(self, namespace: str, name: str) -> None:
        self._queue.wake(Key(ROLLOUT, namespace, name))

    def _users(self, namespace: str, kind: str, name: str) -> None:
        for user in self._memory.users(namespace, kind, name):
            self._rollout(*user)


def _is_echo(before: Sight | None, after: Sight) -> bool:
    """Whether nothing changed but the status, and that by a turn: whoever took it waits for nothing here.

    A status that somebody else wrote leaves the turn as it was.
    """
    return before is not None and before.rest == after.rest and before.turn != after.turn

"""A cluster in memory: the embedded API server without HTTP, its controllers and scripted pods.

It is made once a process, and set back to how it was then for each schedule.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from rollout.api.crd import all_crds
from rollout.demo.operator_process import SERVICE_ACCOUNT, rights
from rollout.sandbox import dataplane, manifests
from rollout.sandbox.apiserver import metadata
from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.http import Handler
from rollout.sandbox.apiserver.local import LocalClient
from rollout.sandbox.apiserver.resource import PODS, REPLICA_SETS, Object, Resource
from rollout.sandbox.apiserver.store import Event, Storage, Stored, Watcher
from rollout.sandbox.apiserver.tokens import service_account
from rollout.sandbox.controllers.all import Controllers
from rollout.sandbox.controllers.endpoints import Endpoints
from rollout.sandbox.controllers.garbage import Garbage
from rollout.sandbox.controllers.replicaset import ReplicaSets
from rollout.sandbox.controllers.routes import Routes
from rollout.sandbox.kubelet.node import Kubelet
from rollout.sandbox.kubelet.scripted import ScriptedPods, Scripts

NAMESPACE = "shop"
GROUP = "progressive.delivery"
ROLLOUTS = Resource(GROUP, "v1alpha1", "rollouts")
GIT_SOURCES = Resource(GROUP, "v1alpha1", "gitsources")
RUNS = Resource(GROUP, "v1alpha1", "analysisruns")
ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
OPERATOR = service_account(*SERVICE_ACCOUNT)
_OWNED = {ROLLOUTS, RUNS, REPLICA_SETS, PODS}
NODES: Storage = ("", "nodes")
OLD_S = 3600.0
_GATEWAY = {"httproutes.gateway.networking.k8s.io"}


@dataclass(frozen=True, slots=True)
class Kept:
    """All objects at one time of the virtual clock."""

    objects: dict[Storage, dict[Any, Stored]]
    version: int
    at_s: float


class _FewKinds(LocalClient):
    """For the garbage collector: it follows every kind there is, and only these are ever owned here."""

    def served(self) -> list[Object]:
        """The kinds that own or are owned."""
        return [each for each in super().served() if each["resource"] in _OWNED]


class _Addresses:
    """Addresses that nobody listens on need no socket to hold them."""

    def take(self) -> str:
        return "10.0.0.1"

    def release(self, address: str) -> None:
        pass

    def close(self) -> None:
        pass


class Cluster:
    """The API server and everything that runs on it but the operator."""

    def __init__(self) -> None:
        self.api = Api()
        self.handler = Handler(self.api)
        self.scripts = Scripts()
        self.writer = ""
        """Which operator writes just now; empty for everybody else."""

    @classmethod
    async def made(cls) -> "Cluster":
        """With the kinds and the rights that the operator needs."""
        cluster = cls()
        gateway = [each for each in dataplane.crds() if each["metadata"]["name"] in _GATEWAY]
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await manifests.apply(cluster.client(), [*gateway, *all_crds().values(), *rights(), namespace])
        store = cluster.api.store
        store.version = store.first = 10**13  # the same each time, and above all that was given out
        return cluster

    def kept(self, at_s: float = 0.0) -> "Kept":
        """What stands now, at a time of the virtual clock: `reset` comes back to it."""
        store = self.api.store
        held = {storage: dict(each) for storage, each in store.objects.items() if storage != NODES}
        return Kept(held, store.version, at_s)  # the kubelet registers its node each time

    def client(self, manager: str = "somebody") -> LocalClient:
        """The API as an administrator."""
        return LocalClient(self.api, manager=manager)

    def reset(self, kept: "Kept") -> None:
        """As it was when it was kept; nothing that was done since is left."""
        store = self.api.store
        store.objects = {storage: dict(held) for storage, held in kept.objects.items()}
        store.history, store.dropped, store.watchers = {}, {}, {}
        store.version = kept.version
        self.scripts = Scripts()

    def forget_history(self) -> None:
        """Watches from before now must list again: the API server has compacted its history."""
        store = self.api.store
        for storage, kept in store.history.items():
            if kept:
                store.dropped[storage] = kept[-1].version
                store.history[storage] = deque()

    def listen(self, storages: set[Storage], hear: Any) -> None:
        """Call `hear(storage, event)` within every write, before anybody else learns of it."""
        loop = asyncio.get_running_loop()
        for storage in storages:

            def accepts(event: Event, storage: Storage = storage) -> None:
                hear(storage, event)

            self.api.store.subscribe(storage, Watcher(accepts, loop))

    def run(self) -> Controllers:
        """Start the controllers and the kubelet in the running loop."""
        manager = self.client("kube-controller-manager")
        controllers = Controllers(manager)
        informers = controllers.informers
        garbage = Garbage(_FewKinds(self.api, manager="kube-controller-manager"), informers)
        parts = (ReplicaSets(manager, informers), Endpoints(manager, informers), Routes(manager, informers))
        for part in (*parts, garbage):
            controllers.spawn(part.queue.run(), part.queue.name)
        client = self.client("kubelet")
        pods = ScriptedPods(client, self.scripts)
        pods._addresses.close()
        pods._addresses = _Addresses()  # type: ignore[assignment]
        for stored in self.api.store.objects.get(("", "pods"), {}).values():
            # It ran before: a kubelet that begins anew must not find it young.
            at, status = stored.obj["metadata"], stored.obj["status"]
            long_ago = asyncio.get_running_loop().time() - OLD_S
            pods._seen[at["uid"]] = (long_ago, status["startTime"], status["podIP"])
        kubelet = Kubelet(client, informers, pods)
        self.scripts.on_change(kubelet.wake_all)
        controllers.spawn(kubelet.run(), "kubelet")
        return controllers


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Names, uids and jitter that are the same each time."""
    dice = random.Random(seed)
    before = metadata.secrets, metadata.uuid
    metadata.secrets = dice  # type: ignore[assignment]
    metadata.uuid = SimpleNamespace(uuid4=lambda: UUID(int=dice.getrandbits(128), version=4))  # type: ignore[assignment]
    random.seed(seed)
    try:
        yield
    finally:
        metadata.secrets, metadata.uuid = before

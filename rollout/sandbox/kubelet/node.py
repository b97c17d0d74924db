"""The node: registers itself, schedules what is unscheduled, and hands pods to what runs them."""

import asyncio
from typing import Protocol

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import NODES, PODS, Object
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.ownership import deleting
from rollout.sandbox.controllers.queue import Queue
from rollout.sandbox.kubelet.containers import now

NODE = "sandbox"
SCHEDULER = "default-scheduler"


class Pods(Protocol):
    """Runs pods: as processes, or by a script."""

    async def turn(self, pod: Object) -> float | None:
        """Bring one pod in line; seconds until it wants another turn."""

    def gone(self, pod: Object) -> None:
        """Told that a pod's object was removed."""

    async def stop(self) -> None:
        """End everything at once."""


class Kubelet:
    """The kubelet of the one node, and the scheduler."""

    def __init__(self, client: LocalClient, informers: Informers, pods: Pods) -> None:
        self.client = client
        self.pods = pods
        self.queue: Queue[Key] = Queue("kubelet", self.turn)
        self._known: set[Key] = set()
        informers.on(PODS, self._on_pod)
        informers.on(NODES, self._on_node)

    def wake_all(self) -> None:
        """Give every pod a turn."""
        for key in self._known:
            self.queue.add(key)

    def _on_node(self, before: Object | None, after: Object | None) -> None:
        """Schedule what waited while the node was cordoned."""
        if before is not None and after is not None and _cordoned(before) and not _cordoned(after):
            self.wake_all()

    def _on_pod(self, before: Object | None, after: Object | None) -> None:
        if before is not None and (after is None or after["metadata"]["uid"] != before["metadata"]["uid"]):
            self._known.discard(key_of(before))
            self.pods.gone(before)
        if after is not None:
            self._known.add(key_of(after))
            self.queue.add(key_of(after))

    async def run(self) -> None:
        """Register the node and take turns until cancelled."""
        await self._register()
        try:
            await self.queue.run()
        finally:
            await asyncio.shield(self.pods.stop())

    async def turn(self, key: Key) -> float | None:
        """Bring one pod in line."""
        try:
            pod = await self.client.get(PODS, *key)
            if not pod["spec"].get("nodeName") and not deleting(pod) and _ours(pod):
                if _cordoned(await self.client.get(NODES, None, NODE)):
                    return None
                target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
                binding = {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": key[1]},
                    "target": target,
                }
                await self.client.create(PODS, key[0], binding, subresource="binding", name=key[1])
                pod = await self.client.get(PODS, *key)
            if pod["spec"].get("nodeName") != NODE:
                return None
            return await self.pods.turn(pod)
        except ApiError as refused:
            if refused.status == 404:
                return None
            raise

    async def _register(self) -> None:
        meta = {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}}
        await self.client.create(NODES, None, {"apiVersion": "v1", "kind": "Node", "metadata": meta})
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "the sandbox is ready",
            "lastHeartbeatTime": now(),
            "lastTransitionTime": now(),
        }
        capacity = {"cpu": "2", "memory": "4Gi", "pods": "250"}
        status = {
            "conditions": [ready],
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        }
        await self.client.patch(NODES, None, NODE, {"status": status}, subresource="status")


def _cordoned(node: Object) -> bool:
    return bool((node.get("spec") or {}).get("unschedulable"))


def _ours(pod: Object) -> bool:
    """Whether its spec leaves it to us to place it."""
    return bool(pod["spec"].get("schedulerName", SCHEDULER) == SCHEDULER)

"""Pods as real processes: restarts with back-off, readiness probes, and an end that loses no request."""

import asyncio
import contextlib
from pathlib import Path

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import PODS, Object
from rollout.sandbox.controllers.informers import key_of
from rollout.sandbox.controllers.ownership import deleting
from rollout.sandbox.kubelet.addresses import Addresses
from rollout.sandbox.kubelet.containers import Container, now
from rollout.sandbox.kubelet.status import pod_status

DRAIN_S = 1.0
"""Between leaving the slices and SIGTERM: so long a proxy may still send (0.25 s on a quiet machine)."""
FORCED_GRACE_S = 2.0
"""What a pod whose object was removed by force is given."""


class ProcessPods:
    """All pods of the node."""

    def __init__(self, client: LocalClient, logs: Path) -> None:
        self._client = client
        self._logs = logs
        self._addresses = Addresses()
        self._pods: dict[str, RunningPod] = {}  # by uid

    async def turn(self, pod: Object) -> float | None:
        """Start a pod that is new; end one that is being deleted."""
        uid = pod["metadata"]["uid"]
        held = self._pods.get(uid)
        if held is not None:
            held.pod = pod
            if deleting(pod):
                held.end(pod["metadata"].get("deletionGracePeriodSeconds", 30))
        elif deleting(pod):
            await remove(self._client, pod)
        elif pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._pods[uid] = held = RunningPod(self._client, pod, self._addresses.take(), self._logs)
            held.work.add_done_callback(lambda _: self._forget(uid))
        return None

    def gone(self, pod: Object) -> None:
        """End a pod whose object was removed."""
        if (held := self._pods.get(pod["metadata"]["uid"])) is not None:
            held.end(FORCED_GRACE_S)

    def _forget(self, uid: str) -> None:
        self._addresses.release(self._pods.pop(uid).ip)

    async def stop(self) -> None:
        """Kill everything at once."""
        await asyncio.gather(*(pod.kill() for pod in list(self._pods.values())))
        self._addresses.close()


class RunningPod:
    """One pod: its containers, and its status as they change."""

    def __init__(self, client: LocalClient, pod: Object, ip: str, logs: Path) -> None:
        self.pod = pod
        self.ip = ip
        self._client = client
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._grace_s = 0.0
        folder = logs / pod["metadata"]["namespace"]
        folder.mkdir(parents=True, exist_ok=True)
        self.containers = [
            Container(
                pod, spec, ip, folder / f"{pod['metadata']['name']}-{spec['name']}.log", self._changed.set
            )
            for spec in pod["spec"]["containers"]
        ]
        self.work = asyncio.create_task(self._run(), name=f"pod {pod['metadata']['name']}")

    def end(self, grace_s: float) -> None:
        """Begin the end, or shorten the grace of one that has begun."""
        self._grace_s = min(grace_s, self._grace_s) if self._ending.is_set() else grace_s
        self._ending.set()

    async def kill(self) -> None:
        """End without any courtesy."""
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)
        await asyncio.gather(*(c.stop(0.0) for c in self.containers))

    async def _run(self) -> None:
        writing = asyncio.create_task(self._write_changes())
        keeping = [asyncio.create_task(c.keep()) for c in self.containers]
        try:
            await self._ending.wait()
            if any(c.view.ready for c in self.containers):
                await asyncio.sleep(DRAIN_S)
            await asyncio.gather(*(c.stop(self._grace_s) for c in self.containers))
        finally:
            for task in (*keeping, writing):
                task.cancel()
        await self._write()
        await remove(self._client, self.pod)

    async def _write_changes(self) -> None:
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write()

    async def _write(self) -> None:
        """Write the status where it changed; a pod that is gone needs none."""
        wanted = pod_status(self.pod, [c.view for c in self.containers], self.ip, now())
        held = self.pod.get("status", {})
        if wanted.items() <= held.items():
            return
        patch = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": wanted}
        with contextlib.suppress(ApiError):
            self.pod = await self._client.patch(PODS, *key_of(self.pod), patch, subresource="status")


async def remove(client: LocalClient, pod: Object) -> None:
    """Let the object of an ended pod go."""
    try:
        await client.delete(PODS, *key_of(pod), uid=pod["metadata"]["uid"], grace_seconds=0)
    except ApiError as refused:
        if refused.status not in (404, 409):
            raise

"""Deployments: a ReplicaSet a template, rolled over within maxSurge and maxUnavailable."""

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Any

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.metadata import ALPHABET
from rollout.sandbox.apiserver.resource import DEPLOYMENTS, REPLICA_SETS, Object
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.ownership import controller_of, controller_ref, deleting
from rollout.sandbox.controllers.pods import condition
from rollout.sandbox.controllers.queue import Queue

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"


class Deployments:
    """The controller."""

    def __init__(self, client: LocalClient, informers: Informers) -> None:
        self.client = client
        self.queue: Queue[Key] = Queue("deployment", self.turn)
        informers.on(DEPLOYMENTS, self._on_deployment)
        informers.on(REPLICA_SETS, self._on_set)

    def _on_deployment(self, before: Object | None, after: Object | None) -> None:
        del before
        if after is not None:
            self.queue.add(key_of(after))

    def _on_set(self, before: Object | None, after: Object | None) -> None:
        for replica_set in (before, after):
            owner = controller_of(replica_set) if replica_set else None
            if replica_set and owner and owner["kind"] == "Deployment":
                self.queue.add((replica_set["metadata"]["namespace"], owner["name"]))

    async def turn(self, key: Key) -> float | None:
        """Bring one Deployment in line."""
        try:
            owner = await self.client.get(DEPLOYMENTS, *key)
        except ApiError as refused:
            if refused.status == 404:
                return None
            raise
        if deleting(owner):
            return None
        found, _ = await self.client.list(REPLICA_SETS, key[0])
        sets = [s for s in found if (controller_of(s) or {}).get("uid") == owner["metadata"]["uid"]]
        new = next((s for s in sets if same_template(s, owner)), None)
        if not owner["spec"].get("paused"):
            new = await self._current(owner, sets, new)
            old = [s for s in sets if s["metadata"]["uid"] != new["metadata"]["uid"]]
            sets = [new, *old]
            await self._roll(owner, new, old)
            await self._forget(owner, old)
        await self._report(owner, new, sets)
        return None

    async def _current(self, owner: Object, sets: list[Object], new: Object | None) -> Object:
        """The ReplicaSet of the present template, with its revision."""
        highest = max((revision(s) for s in sets if s is not new), default=0)
        number = str(max(highest + 1, revision(new) if new else 0))
        notes = self._notes(owner) | {REVISION: number}
        if new is None:
            new = await self._create(owner, notes)
        elif revision(new) != int(number):
            patch = {"metadata": {"annotations": notes}}
            new = await self.client.patch(REPLICA_SETS, *key_of(new), patch)
        if (owner["metadata"].get("annotations") or {}).get(REVISION) != number:
            patch = {"metadata": {"annotations": {REVISION: number}}}
            owner["metadata"] = (await self.client.patch(DEPLOYMENTS, *key_of(owner), patch))["metadata"]
        return new

    def _notes(self, owner: Object) -> dict[str, str]:
        desired = owner["spec"]["replicas"]
        return {DESIRED: str(desired), MOST: str(desired + limits(owner)[0])}

    async def _create(self, owner: Object, notes: dict[str, str]) -> Object:
        template, meta = owner["spec"]["template"], owner["metadata"]
        name_hash = template_hash(template)
        label = {HASH: name_hash}
        labels = (template["metadata"].get("labels") or {}) | label
        selector = owner["spec"]["selector"]
        spec = {
            "replicas": await self._first_size(owner),
            "selector": selector | {"matchLabels": (selector.get("matchLabels") or {}) | label},
            "template": template | {"metadata": template["metadata"] | {"labels": labels}},
            "minReadySeconds": owner["spec"].get("minReadySeconds", 0),
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{meta['name']}-{name_hash}",
                "labels": labels,
                "annotations": notes,
                "ownerReferences": [controller_ref(owner, "apps/v1", "Deployment")],
            },
            "spec": spec,
        }
        return await self.client.create(REPLICA_SETS, meta["namespace"], body)

    async def _first_size(self, owner: Object) -> int:
        """How many pods a new ReplicaSet may begin with."""
        if owner["spec"]["strategy"].get("type") == "Recreate":
            return 0 if await self._running(owner) else int(owner["spec"]["replicas"])
        room = owner["spec"]["replicas"] + limits(owner)[0] - await self._running(owner)
        return max(0, min(int(owner["spec"]["replicas"]), int(room)))

    async def _running(self, owner: Object) -> int:
        found, _ = await self.client.list(REPLICA_SETS, owner["metadata"]["namespace"])
        ours = [s for s in found if (controller_of(s) or {}).get("uid") == owner["metadata"]["uid"]]
        return sum(max(s["spec"]["replicas"], s.get("status", {}).get("replicas", 0)) for s in ours)

    async def _roll(self, owner: Object, new: Object, old: list[Object]) -> None:
        desired = owner["spec"]["replicas"]
        surge, unavailable = limits(owner)
        running = sum(s["spec"]["replicas"] for s in old)
        if owner["spec"]["strategy"].get("type") == "Recreate":
            for replica_set in old:
                await self._size(owner, replica_set, 0)
            if not any(s.get("status", {}).get("replicas") for s in old):
                await self._size(owner, new, desired)
            return
        room = desired + surge - running
        await self._size(owner, new, max(min(desired, room), min(new["spec"]["replicas"], desired)))
        await self._shrink(owner, new, old, desired - unavailable)

    async def _shrink(self, owner: Object, new: Object, old: list[Object], least: int) -> None:
        """Shrink old sets as far as `least` pods stay available.

        By what the sets were told as well as by what they report, which is late.
        """
        told = sum(s["spec"]["replicas"] for s in [new, *old])
        removable = told - least - max(0, new["spec"]["replicas"] - _available(new))
        spare = min(sum(map(_available, [new, *old])), told) - least
        for replica_set in sorted(old, key=lambda s: str(s["metadata"]["creationTimestamp"])):
            size = replica_set["spec"]["replicas"]
            unready = max(0, size - _available(replica_set))
            cut = max(0, min(size, unready + max(0, spare), removable))
            removable -= cut
            spare -= max(0, cut - unready)
            await self._size(owner, replica_set, size - cut)

    async def _size(self, owner: Object, replica_set: Object, size: int) -> None:
        notes = self._notes(owner)
        held = replica_set["metadata"].get("annotations") or {}
        if replica_set["spec"]["replicas"] == size and notes.items() <= held.items():
            return
        patch = {"spec": {"replicas": size}, "metadata": {"annotations": notes}}
        replica_set.update(await self.client.patch(REPLICA_SETS, *key_of(replica_set), patch))

    async def _forget(self, owner: Object, old: list[Object]) -> None:
        empty = [s for s in old if not s["spec"]["replicas"] and not s.get("status", {}).get("replicas")]
        keep = owner["spec"].get("revisionHistoryLimit", 10)
        for replica_set in sorted(empty, key=revision)[: max(0, len(empty) - keep)]:
            await self.client.delete(REPLICA_SETS, *key_of(replica_set), propagation="Background")

    async def _report(self, owner: Object, new: Object | None, sets: list[Object]) -> None:
        def total(name: str, of: list[Object]) -> int:
            return sum(s.get("status", {}).get(name, 0) for s in of)

        available = total("availableReplicas", sets)
        counts = {
            "replicas": total("replicas", sets),
            "updatedReplicas": total("replicas", [new] if new else []),
            "readyReplicas": total("readyReplicas", sets),
            "availableReplicas": available,
            "unavailableReplicas": max(0, total("replicas", sets) - available),
        }
        counts["unavailableReplicas"] = max(0, sum(s["spec"]["replicas"] for s in sets) - available)
        status: Object = {k: n for k, n in counts.items() if n}
        status |= {
            "observedGeneration": owner["metadata"]["generation"],
            "terminatingReplicas": total("terminatingReplicas", sets),
        }
        if conditions := self._conditions(owner, new, sets, counts):
            status["conditions"] = conditions
        if status != owner.get("status"):
            body = {**owner, "status": status}
            await self.client.replace(DEPLOYMENTS, *key_of(owner), body, subresource="status")

    def _conditions(
        self, owner: Object, new: Object | None, sets: list[Object], counts: dict[str, int]
    ) -> list[Object]:
        desired = owner["spec"]["replicas"]
        enough = counts["availableReplicas"] >= desired - limits(owner)[1]
        available = (
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
            if enough
            else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        )
        found = [_condition(owner, "Available", *available)]
        if new is not None:
            name = new["metadata"]["name"]
            done = counts["updatedReplicas"] == counts["availableReplicas"] == counts["replicas"] == desired
            progress = (
                ("NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
                if done and not any(s["spec"]["replicas"] for s in sets if s is not new)
                else ("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
            )
            found.append(_condition(owner, "Progressing", "True", *progress))
        return found


def _available(replica_set: Object) -> int:
    return int(replica_set.get("status", {}).get("availableReplicas", 0))


def _condition(owner: Object, kind: str, status: str, reason: str, message: str) -> Object:
    """A condition that keeps its times while nothing changes."""
    held = condition(owner, kind)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    if held is not None and said.items() <= held.items():
        return held
    since = held["lastTransitionTime"] if held is not None and held["status"] == status else now
    return said | {"lastUpdateTime": now, "lastTransitionTime": since}


def limits(owner: Object) -> tuple[int, int]:
    """MaxSurge and maxUnavailable in pods: percentages round up and down; both 0 becomes one unavailable."""
    rolling = owner["spec"]["strategy"].get("rollingUpdate") or {}
    desired = owner["spec"]["replicas"]
    surge = _portion(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = _portion(rolling.get("maxUnavailable", 0), desired, up=False)
    return surge, unavailable if surge or unavailable else 1


def _portion(value: Any, of: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = int(str(value).removesuffix("%")) * of / 100
    return math.ceil(share) if up else math.floor(share)


def revision(replica_set: Object) -> int:
    """The revision that a ReplicaSet carries; 0 without one."""
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def template_hash(template: Object) -> str:
    """Ten letters that stand for a template."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:10])


def same_template(replica_set: Object, owner: Object) -> bool:
    """Whether a ReplicaSet was made of the Deployment's present template."""
    template = replica_set["spec"]["template"]
    meta = template.get("metadata") or {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != HASH}
    wanted = owner["spec"]["template"]
    return bool(template | {"metadata": meta | {"labels": labels}} == wanted)

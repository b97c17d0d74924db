"""ReplicaSets: as many pods as asked for, adopted, made or removed, and counted."""

import contextlib

from rollout.sandbox import clock
from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import PODS, REPLICA_SETS, Object
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.ownership import as_query, controller_of, controller_ref, deleting, matches
from rollout.sandbox.controllers.pods import available_in, deletion_rank, is_active, is_ready
from rollout.sandbox.controllers.queue import Queue

SOON_S = 0.05
"""How much later than the second itself a pod's availability is looked at again."""


class ReplicaSets:
    """The controller."""

    def __init__(self, client: LocalClient, informers: Informers) -> None:
        self.client = client
        self.queue: Queue[Key] = Queue("replicaset", self.turn)
        self._selectors: dict[Key, Object] = {}
        self._strays: dict[Key, set[str]] = {}
        """Pods seen with a set's reference but without its labels."""
        informers.on(REPLICA_SETS, self._on_set)
        informers.on(PODS, self._on_pod)

    def _on_set(self, before: Object | None, after: Object | None) -> None:
        if after is None:
            if before is not None:
                self._selectors.pop(key_of(before), None)
            return
        self._selectors[key_of(after)] = after["spec"]["selector"]
        self.queue.add(key_of(after))

    def _on_pod(self, before: Object | None, after: Object | None) -> None:
        for pod in (before, after):
            if pod is None:
                continue
            owner, namespace = controller_of(pod), pod["metadata"]["namespace"]
            if owner is not None and owner["kind"] == "ReplicaSet":
                key = (namespace, owner["name"])
                if not matches(self._selectors.get(key), pod["metadata"].get("labels")):
                    self._strays.setdefault(key, set()).add(pod["metadata"]["name"])
                self.queue.add(key)
            elif owner is None:
                labels = pod["metadata"].get("labels")
                for key in [
                    k for k, s in self._selectors.items() if k[0] == namespace and matches(s, labels)
                ]:
                    self.queue.add(key)

    async def turn(self, key: Key) -> float | None:
        """Bring one ReplicaSet in line."""
        namespace, name = key
        try:
            owner = await self.client.get(REPLICA_SETS, namespace, name)
        except ApiError as refused:
            if refused.status == 404:
                return None
            raise
        pods = await self._claim(owner)
        if not deleting(owner):
            pods = await self._scale(owner, pods)
        return await self._report(owner, pods)

    async def _claim(self, owner: Object) -> list[Object]:
        """The pods that are the set's, after adopting orphans and releasing strangers."""
        meta, ours = owner["metadata"], []
        for pod in await self._candidates(owner):
            ref = controller_of(pod)
            fits = matches(owner["spec"]["selector"], pod["metadata"].get("labels"))
            if ref is not None and ref["uid"] == meta["uid"]:
                if fits:
                    ours.append(pod)
                elif not deleting(owner):
                    await self._own(pod, [r for r in pod["metadata"]["ownerReferences"] if r is not ref])
            elif ref is None and fits and is_active(pod) and not deleting(owner):
                held = pod["metadata"].get("ownerReferences") or []
                ours.append(await self._own(pod, [*held, controller_ref(owner, "apps/v1", "ReplicaSet")]))
        return ours

    async def _candidates(self, owner: Object) -> list[Object]:
        """The pods that match, and those the set owns though they no longer do."""
        namespace, key = owner["metadata"]["namespace"], key_of(owner)
        wanted = owner["spec"]["selector"].get("matchLabels")
        pods, _ = await self.client.list(PODS, namespace, label_selector=as_query(wanted))
        for name in self._strays.pop(key, set()) - {pod["metadata"]["name"] for pod in pods}:
            with contextlib.suppress(ApiError):
                pods.append(await self.client.get(PODS, namespace, name))
        return pods

    async def _own(self, pod: Object, references: list[Object]) -> Object:
        meta = {"uid": pod["metadata"]["uid"], "ownerReferences": references or None}
        return await self.client.patch(PODS, *key_of(pod), {"metadata": meta})

    async def _scale(self, owner: Object, pods: list[Object]) -> list[Object]:
        """Make or remove pods; the pods that the set then has."""
        active = [pod for pod in pods if is_active(pod)]
        surplus = len(active) - owner["spec"].get("replicas", 1)
        for pod in sorted(active, key=deletion_rank)[: max(surplus, 0)]:
            await self.client.delete(PODS, *key_of(pod), uid=pod["metadata"]["uid"])
        made = [await self._make(owner) for _ in range(-surplus)]
        if surplus <= 0:
            return [*pods, *made]
        return await self._claim(owner)

    async def _make(self, owner: Object) -> Object:
        template = owner["spec"]["template"]
        given = template.get("metadata") or {}
        meta = {k: given[k] for k in ("labels", "annotations", "finalizers") if given.get(k)}
        meta |= {
            "generateName": owner["metadata"]["name"] + "-",
            "ownerReferences": [controller_ref(owner, "apps/v1", "ReplicaSet")],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        return await self.client.create(PODS, owner["metadata"]["namespace"], body)

    async def _report(self, owner: Object, pods: list[Object]) -> float | None:
        """Write the status where it changed; seconds until the next pod becomes available."""
        wait = owner["spec"].get("minReadySeconds", 0)
        now = clock.now()
        active = [pod for pod in pods if is_active(pod)]
        left = [s for pod in active if (s := available_in(pod, wait, now)) is not None]
        labels = owner["spec"]["template"].get("metadata", {}).get("labels")
        counts = {
            "fullyLabeledReplicas": sum(
                matches({"matchLabels": labels}, pod["metadata"].get("labels")) for pod in active
            ),
            "readyReplicas": sum(map(is_ready, active)),
            "availableReplicas": sum(seconds == 0 for seconds in left),
        }
        status: Object = {
            "replicas": len(active),
            "terminatingReplicas": sum(map(deleting, pods)),
            "observedGeneration": owner["metadata"]["generation"],
            **{name: count for name, count in counts.items() if count},
        }
        kept = {k: v for k, v in owner.get("status", {}).items() if k == "conditions"}
        if status | kept != owner.get("status"):
            body = {**owner, "status": status | kept}
            await self.client.replace(REPLICA_SETS, *key_of(owner), body, subresource="status")
        later = [seconds for seconds in left if seconds > 0]
        return min(later) + SOON_S if later else None

"""The garbage collector: what an owner leaves behind goes in the background, before it, or is set free."""

from dataclasses import dataclass

from rollout.sandbox.apiserver.local import ApiError, LocalClient, Propagation
from rollout.sandbox.apiserver.resource import CUSTOM_RESOURCE_DEFINITIONS, Object, Resource
from rollout.sandbox.controllers.informers import Informers
from rollout.sandbox.controllers.ownership import deleting
from rollout.sandbox.controllers.queue import Queue

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
SETTLE_S = 0.03
"""Before an owner's dependents are looked up: they come by other watches than the owner."""
LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the graph: where it is, and whose it is."""

    resource: Resource
    namespace: str | None
    name: str
    owners: frozenset[str]  # uids


class Garbage:
    """The controller: a graph of owners by uid, kept up by watching every kind there is."""

    def __init__(self, client: LocalClient, informers: Informers) -> None:
        self.client = client
        self.queue: Queue[str] = Queue("garbage", self.turn)
        self._informers = informers
        self._followed: set[Resource] = set()
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}
        self._follow_all()
        informers.on(CUSTOM_RESOURCE_DEFINITIONS, lambda before, after: self._follow_all())

    def _follow_all(self) -> None:
        served = {entry["resource"] for entry in self.client.served()}
        self._followed &= served
        for resource in served - self._followed:
            if resource.plural != "events":
                self._followed.add(resource)
                self._follow(resource)

    def _follow(self, resource: Resource) -> None:
        self._informers.on(resource, lambda before, after: self._on_change(resource, before, after))

    def _on_change(self, resource: Resource, before: Object | None, after: Object | None) -> None:
        obj = after or before
        assert obj is not None
        meta = obj["metadata"]
        uid = meta["uid"]
        old = self._nodes.get(uid)
        if before is not None and before["metadata"]["uid"] != uid:
            self._gone(before["metadata"]["uid"])  # replaced by one of the same name while we were not told
        if after is None:
            self._gone(uid)
            return
        owners = frozenset(ref["uid"] for ref in meta.get("ownerReferences") or ())
        if old is None or old.owners != owners:
            self._unlink(uid)
            self._nodes[uid] = Node(resource, meta.get("namespace"), meta["name"], owners)
            for owner in owners:
                self._dependents.setdefault(owner, set()).add(uid)
            if owners:
                self.queue.add_after(uid, SETTLE_S)
        if deleting(after):
            self.queue.add_after(uid, SETTLE_S)

    def _unlink(self, uid: str) -> Node | None:
        node = self._nodes.pop(uid, None)
        for owner in node.owners if node else ():
            self._dependents[owner].discard(uid)
        return node

    def _gone(self, uid: str) -> None:
        node = self._unlink(uid)
        for other in (self._dependents.get(uid) or set()) | (node.owners if node else frozenset()):
            self.queue.add(other)
        if not self._dependents.get(uid):
            self._dependents.pop(uid, None)

    async def turn(self, uid: str) -> float | None:
        """Look at one object: whether it is garbage, and what its deletion waits for."""
        obj = await self._read(uid)
        if obj is None:
            return None
        finalizers = obj["metadata"].get("finalizers") or []
        if deleting(obj) and ORPHAN in finalizers:
            await self._orphan(uid)
            await self._finalized(uid, obj, ORPHAN)
        elif deleting(obj) and FOREGROUND in finalizers:
            if await self._blocked(uid):
                return LOOK_AGAIN_S
            await self._finalized(uid, obj, FOREGROUND)
        elif not deleting(obj):
            await self._collect(uid, obj)
        return None

    async def _read(self, uid: str) -> Object | None:
        """The live object, or None where it is gone."""
        node = self._nodes.get(uid)
        if node is None:
            return None
        try:
            obj = await self.client.get(node.resource, node.namespace, node.name)
        except ApiError as refused:
            if refused.status == 404:
                return None
            raise
        return obj if obj["metadata"]["uid"] == uid else None

    async def _collect(self, uid: str, obj: Object) -> None:
        """Delete an object whose owners are all gone; take off the references to those that are."""
        refs = obj["metadata"].get("ownerReferences") or []
        there = [ref for ref in refs if await self._exists(ref, obj["metadata"].get("namespace"))]
        if not refs or len(there) == len(refs):
            return
        node = self._nodes[uid]
        if there:
            meta = {"uid": uid, "ownerReferences": there}
            await self.client.patch(node.resource, node.namespace, node.name, {"metadata": meta})
        else:
            await self._delete(uid, "Background")

    async def _exists(self, ref: Object, namespace: str | None) -> bool:
        """Whether an owner exists; one of a kind that isn't served counts as there."""
        if ref["uid"] in self._nodes:
            return True
        resource = self.client.kind_resource(ref["apiVersion"], ref["kind"])
        if resource is None:
            return True
        within = namespace if self.client.namespaced(resource) else None
        try:
            owner = await self.client.get(resource, within, ref["name"])
        except ApiError as refused:
            if refused.status == 404:
                return False
            raise
        return bool(owner["metadata"]["uid"] == ref["uid"])

    async def _orphan(self, owner: str) -> None:
        for uid in tuple(self._dependents.get(owner) or ()):
            if obj := await self._read(uid):
                node = self._nodes[uid]
                rest = [ref for ref in obj["metadata"].get("ownerReferences") or [] if ref["uid"] != owner]
                meta = {"uid": uid, "ownerReferences": rest or None}
                await self.client.patch(node.resource, node.namespace, node.name, {"metadata": meta})

    async def _blocked(self, owner: str) -> bool:
        """Delete the dependents; whether one is left that the owner must wait for."""
        waits = False
        for uid in tuple(self._dependents.get(owner) or ()):
            obj = await self._read(uid)
            if obj is None:
                continue
            refs = obj["metadata"].get("ownerReferences") or ()
            waits |= any(ref["uid"] == owner and ref.get("blockOwnerDeletion") for ref in refs)
            if not deleting(obj):
                await self._delete(uid, "Foreground" if self._dependents.get(uid) else "Background")
        return waits

    async def _finalized(self, uid: str, obj: Object, finalizer: str) -> None:
        node = self._nodes[uid]
        rest = [name for name in obj["metadata"]["finalizers"] if name != finalizer]
        meta = {"uid": uid, "finalizers": rest or None}
        await self.client.patch(node.resource, node.namespace, node.name, {"metadata": meta})

    async def _delete(self, uid: str, policy: Propagation) -> None:
        node = self._nodes[uid]
        try:
            await self.client.delete(node.resource, node.namespace, node.name, propagation=policy, uid=uid)
        except ApiError as refused:
            if refused.status != 404:
                raise

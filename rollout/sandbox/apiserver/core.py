"""The API in one process: store, kinds, writes, reads and who may do what."""

import threading

from rollout.sandbox.apiserver import applying, bodies, rbac, reviews
from rollout.sandbox.apiserver.admission import Admission
from rollout.sandbox.apiserver.crd import Definitions
from rollout.sandbox.apiserver.errors import path_not_found
from rollout.sandbox.apiserver.registry import Registry
from rollout.sandbox.apiserver.resource import Object, Resource
from rollout.sandbox.apiserver.served import Caller, Served, Write
from rollout.sandbox.apiserver.store import Store, Stored
from rollout.sandbox.apiserver.target import Target
from rollout.sandbox.apiserver.tokens import Tokens
from rollout.sandbox.apiserver.writes import Writer

ADMIN = Caller("system:admin", ("system:masters", "system:authenticated"))
EVENTS = ("", "events")
MOST_EVENTS = 5000
FIRST_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class Api:
    """Everything behind the transport."""

    def __init__(self) -> None:
        self.store = Store()
        self.registry = Registry()
        self.admission = Admission(self.store)
        self.writer = Writer(self.store, self.admission)
        self.definitions = Definitions(self.store, self.registry, self.writer)
        self.access = rbac.Access(self.store)
        self.tokens = Tokens()
        self.writer.hooks[EVENTS] = self._forget_old_events
        self._first_objects()

    def _forget_old_events(self, before: Stored | None, after: Stored) -> None:
        """Keep the newest Events: a real server forgets them after an hour."""
        del after
        held = self.store.objects.get(EVENTS, {})
        if before is None and len(held) > MOST_EVENTS:
            for key in list(held)[: MOST_EVENTS // 10]:
                self.store.remove(EVENTS, key, held[key].obj)

    @property
    def lock(self) -> threading.RLock:
        """Held through every verb, so that threads may call in."""
        return self.store.lock

    def served(self, resource: Resource) -> Served:
        """The kind of a resource; raises 404."""
        found = self.registry.get(resource)
        if found is None:
            raise path_not_found()
        return found

    def _first_objects(self) -> None:
        namespaces = self.served(Resource("", "v1", "namespaces"))
        for name in FIRST_NAMESPACES:
            body: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.writer.create(namespaces, None, body, Write(ADMIN, "kube-apiserver"))
        for plural, body in rbac.first_objects():
            served = self.served(Resource(rbac.GROUP, "v1", plural))
            self.writer.create(served, None, body, Write(ADMIN, "kube-apiserver"))

    def authorize(self, caller: Caller, verb: str, target: Target) -> None:
        """Raise 403 unless the caller may."""
        if caller.all_powerful:
            return
        ask = rbac.Ask(
            verb, target.served.group, target.served.plural, target.subresource, target.namespace, target.name
        )
        if target.served.kind == "Namespace" and not target.served.group and target.name:
            ask = rbac.Ask(verb, "", "namespaces", target.subresource, target.name, target.name)
        if not self.access.allows(caller, ask):
            raise rbac.refusal(caller, ask)

    def authorize_path(self, caller: Caller, verb: str, path: str) -> None:
        """Raise 403 unless the caller may read a path that is no resource."""
        ask = rbac.Ask("get" if verb == "head" else verb, path=path)
        if not self.access.allows(caller, ask):
            raise rbac.refusal(caller, ask)

    def create(self, served: Served, namespace: str | None, body: Object, write: Write) -> Object:
        """POST; reviews are answered, not stored."""
        if served.kind in reviews.KINDS:
            return reviews.answer(self, bodies.from_body(served, body, write), write.caller)
        return self.writer.create(served, namespace, body, write)

    def apply(self, target: Target, config: Object, write: Write) -> tuple[Object, bool]:
        """Server-side apply; who may patch but not create may not make a new object by it."""
        if self.store.get(target.served.storage, target.key) is None and not target.subresource:
            self.authorize(write.caller, "create", target)
        return applying.apply(self.writer, target, config, write)

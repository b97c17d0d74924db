"""The API without sockets: what the sandbox's controllers and tests use in-process.

It runs the very verbs that HTTP runs (validation, defaulting, managed fields, finalizers, and RBAC for a
named
user), so a controller written against it would work over the wire. What comes back are copies: change them
freely.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from rollout.sandbox.apiserver import deletes, reads, subresources, watches
from rollout.sandbox.apiserver.core import ADMIN, Api
from rollout.sandbox.apiserver.errors import ApiError, gone
from rollout.sandbox.apiserver.resource import Object, Resource, copied
from rollout.sandbox.apiserver.served import Caller, Served, Write
from rollout.sandbox.apiserver.target import Target

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

Propagation = Literal["Background", "Foreground", "Orphan"]
Objects = list[Object]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: `ADDED`, `MODIFIED`, `DELETED`, and the whole object."""

    type: str
    object: Object


def _locked(verb: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Hold the API's lock through a verb (no verb awaits anything)."""

    @functools.wraps(verb)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        client = args[0]
        assert isinstance(client, LocalClient)
        with client.api.lock:
            return await verb(*args, **kwargs)

    return run


class LocalClient:
    """The API's verbs as coroutines, acting as one user (one of `system:masters` where none is named).

    Every method raises `ApiError` (`errors.py`) with the HTTP `status` and `reason` that the wire would
    carry:
    404 NotFound, 409 Conflict or AlreadyExists, 422 Invalid, 410 Expired (watch only), 403 Forbidden.
    """

    def __init__(self, api: Api, caller: Caller = ADMIN, manager: str = "local") -> None:
        self.api = api
        self.caller = caller
        self.manager = manager

    def _target(self, resource: Resource, namespace: str | None, name: str, subresource: str = "") -> Target:
        served = self.api.served(resource)
        return Target(served, namespace if served.name.namespaced else None, name, subresource)

    def _allow(self, verb: str, target: Target) -> None:
        self.api.authorize(self.caller, verb, target)

    def _write(self, field_manager: str, *, force: bool = False) -> Write:
        return Write(self.caller, field_manager or self.manager, force=force)

    @_locked
    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, subresource: str = ""
    ) -> Object:
        """One object; `namespace` is None for cluster-scoped kinds. `subresource`: `scale` gives a Scale."""
        target = self._target(resource, namespace, name, subresource)
        self._allow("get", target)
        if subresource not in {"", "status"}:
            return copied(subresources.read(self.api, target))
        return copied(self.api.writer.current(target).obj)

    @_locked
    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[Objects, str]:
        """The objects (of all namespaces where `namespace` is None) and the list's resourceVersion."""
        selection = self._select("list", resource, namespace, label_selector, field_selector)
        page = reads.list_page(self.api.store, selection, {})
        items = [copied(selection.served.outward(stored.obj)) for stored in page.items]
        return items, str(page.version)

    def _select(
        self, verb: str, resource: Resource, namespace: str | None, labels: str, fields: str
    ) -> reads.Selection:
        self._allow(verb, self._target(resource, namespace, ""))
        return reads.select(self.api.served(resource), namespace, labels, fields)

    @_locked
    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Object,
        *,
        field_manager: str = "",
        subresource: str = "",
        name: str = "",
    ) -> Object:
        """Create from `body`; `metadata.name` or `metadata.generateName` names it.

        With `subresource` (`eviction`, `token`, `binding`), `name` names the parent.
        """
        target = self._target(resource, namespace, name, subresource)
        self._allow("create", target)
        write = self._write(field_manager)
        if subresource:
            return copied(subresources.create(self.api, target, body, write))
        return copied(self.api.create(target.served, target.namespace, copied(body), write))

    @_locked
    async def replace(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Object,
        *,
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """PUT; with `metadata.resourceVersion` in the body, 409 where it is stale.

        `subresource`: `status`, `scale`, or `finalize` (namespaces).
        """
        target = self._target(resource, namespace, name, subresource)
        self._allow("update", target)
        write = self._write(field_manager)
        return copied(subresources.update(self.api, target, copied(body), write))

    @_locked
    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Any,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """PATCH with one of the four content types; `body` is a mapping, or a list for a JSON patch."""
        target = self._target(resource, namespace, name, subresource)
        self._allow("patch", target)
        write = self._write(field_manager, force=force)
        obj, _ = subresources.patch(self.api, target, copied(body), content_type, write)
        return copied(obj)

    @_locked
    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        propagation: Propagation | None = None,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
    ) -> Object:
        """DELETE: sets deletionTimestamp where finalizers or a pod's grace period hold the object, else
        removes it.

        `uid` and `resource_version` are preconditions (409). Foreground and Orphan set the finalizers
        `foregroundDeletion` and `orphan`, which the garbage collector takes off. A pod that runs on a node
        stays
        with its deletionTimestamp until it is deleted with `grace_seconds=0`, as a kubelet does.
        """
        target = self._target(resource, namespace, name)
        self._allow("delete", target)
        options = deletes.DeleteOptions(grace_seconds, propagation, None, uid, resource_version)
        obj, _ = deletes.delete(self.api.writer, target, options)
        return copied(obj)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        since: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Events after the resourceVersion `since`; without one, ADDED for each present object first.

        Ends by cancellation or when the server stops. Raises `ApiError` 410 where `since` is no longer
        kept: list
        again.
        """
        with self.api.lock:
            selection = self._select("watch", resource, namespace, label_selector, field_selector)
            watch = watches.open_watch(self.api.store, selection, {"resourceVersion": since})
        try:
            changes = watch.initial
            while True:
                for change in changes:
                    obj = selection.served.outward(change.stored.obj)
                    yield WatchEvent(change.type, copied(obj))
                if watch.watcher.closed and not watch.watcher.queue:
                    break
                changes = await watch.watcher.take(None)
            if watch.watcher.overrun:
                raise gone("the watch fell too far behind")
        finally:
            self.api.store.unsubscribe(selection.served.storage, watch.watcher)

    def served(self) -> Objects:
        """Every listable, deletable resource, one of its versions each, those of custom kinds included.

        Each is `{"resource": Resource, "kind": str, "namespaced": bool}`.
        """
        found: dict[tuple[str, str], Served] = {}
        for served in self.api.registry:
            if {"list", "delete"} <= set(served.name.verbs):
                found.setdefault(served.storage, served)
        return [
            {"resource": s.name.resource, "kind": s.kind, "namespaced": s.name.namespaced}
            for s in found.values()
        ]

    def namespaced(self, resource: Resource) -> bool:
        """Whether its objects lie in namespaces; raises 404 where it isn't served."""
        return self.api.served(resource).name.namespaced

    def kind_resource(self, api_version: str, kind: str) -> Resource | None:
        """The resource that an owner reference's apiVersion and kind name, if it is served."""
        served = self.api.registry.of_kind(api_version, kind)
        return served.name.resource if served else None


__all__ = ["ApiError", "LocalClient", "WatchEvent"]

"""Watches shared by all controllers: one a resource, kept up over cut watches and 410."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import Object, Resource

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""
RETRY_S = 0.05


class Notice(Protocol):
    """Told of each change: the object before it (None: new) and after it (None: gone)."""

    def __call__(self, before: Object | None, after: Object | None) -> None:
        """Take note; it must not wait."""


def key_of(obj: Object) -> Key:
    """The namespace and name of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class Informers:
    """One list and watch for each resource that somebody asks for."""

    def __init__(self, client: LocalClient, spawn: Callable[..., object]) -> None:
        self._client = client
        self._spawn = spawn
        self._listeners: dict[Resource, list[Notice]] = {}
        self._seen: dict[Resource, dict[Key, Object]] = {}

    def on(self, resource: Resource, notice: Notice) -> None:
        """Call `notice` for every object there is, and for each change from now on."""
        for obj in self._seen.get(resource, {}).values():
            notice(None, obj)
        self._listeners.setdefault(resource, []).append(notice)
        if resource not in self._seen:
            self._seen[resource] = {}
            self._spawn(self._follow(resource), f"informer {resource.qualified}")

    def has(self, resource: Resource) -> bool:
        """Whether a resource is followed already."""
        return resource in self._seen

    async def _follow(self, resource: Resource) -> None:
        while True:
            try:
                await self._relist_and_watch(resource)
            except ApiError as refused:
                if refused.status == 404:  # the kind is no longer served
                    self._replace(resource, {})
                    del self._seen[resource], self._listeners[resource]
                    return
            await asyncio.sleep(RETRY_S)

    async def _relist_and_watch(self, resource: Resource) -> None:
        items, version = await self._client.list(resource)
        self._replace(resource, {key_of(item): item for item in items})
        async for event in self._client.watch(resource, since=version):
            self._change(resource, key_of(event.object), None if event.type == "DELETED" else event.object)

    def _replace(self, resource: Resource, present: dict[Key, Object]) -> None:
        for key in set(self._seen[resource]) - set(present):
            self._change(resource, key, None)
        for key, obj in present.items():
            self._change(resource, key, obj)

    def _change(self, resource: Resource, key: Key, after: Object | None) -> None:
        held = self._seen[resource]
        before = held.pop(key, None)
        if after is not None:
            held[key] = after
        if before is None and after is None:
            return
        for notice in self._listeners[resource]:
            notice(before, after)

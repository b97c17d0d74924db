"""Calls to the API server: one request each, bounded in time, refused by remedy.

Nothing is retried here, but that aiohttp sends a GET, PUT or DELETE again on a connection that turns out to
be closed. So a PUT carries its resourceVersion and a DELETE its uid; a PATCH or POST is sent once.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

from kubernetes.aio.client import Configuration

from rollout.api.base import Manifest
from rollout.kube.acting import As
from rollout.kube.errors import Asked, NotFound, Unavailable, refusal
from rollout.kube.events import event
from rollout.kube.kinds import EVENTS, Resource
from rollout.kube.transport import Guard, OnRequest, Request, Transport, Wire, decoded

MANAGER = "rollout"
"""Our field manager, wherever no other is named."""
PAGE = 500
"""Objects a page of a list."""

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

Object = dict[str, Any]
"""A Kubernetes object as the server's JSON says it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects, each with apiVersion and kind, and the resourceVersion that the list is of."""

    items: tuple[Object, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


class Kube:
    """An API server, seen as one user; an async context manager.

    Every call raises the errors of `rollout.kube.errors` and takes at most `seconds`. A body that carries
    `metadata.resourceVersion` is written only over that version (`Conflict` otherwise). Where there is a
    `guard`, it is asked before every write, and again as the write goes out (`NotLeading`).
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        seconds: float = 10.0,
        on_request: OnRequest | None = None,
        guard: Guard | None = None,
        identity: str = "",
    ) -> None:
        self._transport: Wire = Transport(configuration, seconds, on_request, guard, identity)

    @classmethod
    def over(cls, wire: Wire) -> Self:
        """An API server that is reached another way than by HTTP."""
        kube = cls.__new__(cls)
        kube._transport = wire
        return kube

    def acting_as(self, user: str) -> Self:
        """The same API server as another user sees it, by impersonation; raises `NotActing` with each call
        that this is not allowed for.
        """
        return self.over(As(self._transport, user))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """One object, as the server has it now.

        Raises:
            NotFound: there is none.
        """
        asked = Asked("get", str(resource), namespace or "", name)
        return await self._call(asked, Request("GET", resource.path(namespace, name)))

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """One object, as the server has it now, or None where there is none."""
        try:
            return await self.get(resource, namespace, name)
        except NotFound:
            return None

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> Listing:
        """All objects of a kind; of all namespaces where `namespace` is None.

        Raises:
            Gone: the list grew too old between two pages.
        """
        items: list[Object] = []
        version = ""
        async for page in self.pages(resource, namespace, labels=labels, fields=fields):
            items += page.items
            version = page.resource_version
        return Listing(tuple(items), version)

    async def pages(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Listing]:
        """The same, page by page."""
        asked = Asked("list", str(resource), namespace or "")
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields}
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        while True:
            answer = await self._call(asked, Request("GET", resource.path(namespace), query))
            metadata = answer.get("metadata", {})
            items = tuple({**head, **item} for item in answer.get("items") or ())
            yield Listing(items, metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def create(
        self, resource: Resource, body: Manifest, *, dry_run: bool = False, manager: str = MANAGER
    ) -> Object:
        """Create an object, with strict field validation; the answer is what the server made of it.

        Raises:
            AlreadyExists: something by that name exists.
            Invalid: with a problem for each field that the server refuses.
        """
        metadata = body["metadata"]
        asked = Asked("create", str(resource), metadata.get("namespace", ""), metadata.get("name", ""))
        path = resource.path(metadata.get("namespace"))
        return await self._call(asked, Request("POST", path, _writing(manager, dry_run=dry_run), body))

    async def replace_status(
        self, resource: Resource, body: Manifest, *, dry_run: bool = False, manager: str = MANAGER
    ) -> Object:
        """PUT the status of `body`, over the resourceVersion that it carries.

        Fields that the CRD does not know are dropped, not refused: a rollback must not fail for one. The
        answer tells which.

        Raises:
            Conflict: the object has another resourceVersion by now.
        """
        metadata = body["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        asked = Asked("update", f"{resource}/status", namespace or "", name)
        lenient = _writing(manager, dry_run=dry_run) | {"fieldValidation": "Ignore"}
        return await self._call(
            asked, Request("PUT", resource.path(namespace, name, "status"), lenient, body)
        )

    async def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        manager: str = MANAGER,
    ) -> Object:
        """Patch by operations (RFC 6902).

        Raises:
            Conflict: one of its tests failed.
        """
        body = [dict(operation) for operation in operations]  # the official client takes a list only
        request = Request("PATCH", resource.path(namespace, name), _writing(manager), body, JSON_PATCH)
        return await self._call(Asked("patch", str(resource), namespace or "", name), request)

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Manifest,
        *,
        manager: str = MANAGER,
    ) -> Object:
        """Patch by a merge (RFC 7386); None removes."""
        request = Request("PATCH", resource.path(namespace, name), _writing(manager), body, MERGE_PATCH)
        return await self._call(Asked("patch", str(resource), namespace or "", name), request)

    async def apply(
        self, resource: Resource, body: Manifest, *, manager: str, force: bool = True, dry_run: bool = False
    ) -> Object:
        """Server-side apply as `manager`, with strict field validation; creates what is not there.

        Raises:
            Owned: without `force`, where others own what it would change.
            Invalid: with a problem for each field that the server refuses.
        """
        metadata = body["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        query = _writing(manager, dry_run=dry_run) | {"force": "true" if force else "false"}
        request = Request("PATCH", resource.path(namespace, name), query, body, APPLY_PATCH)
        return await self._call(Asked("patch", str(resource), namespace or "", name), request)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> None:
        """Delete an object; only the one with that uid and resourceVersion, where they are given.

        Raises:
            NotFound: there is none.
            Conflict: it is another one by now.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        wanted = {"uid": uid, "resourceVersion": resource_version}
        if preconditions := {key: value for key, value in wanted.items() if value}:
            body["preconditions"] = preconditions
        asked = Asked("delete", str(resource), namespace or "", name)
        await self._call(asked, Request("DELETE", resource.path(namespace, name), body=body))

    async def event(self, about: Manifest, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell people, by an Event about an object (its apiVersion, kind and metadata); `reason` is
        CamelCase.
        """
        await self.create(EVENTS, event(about, reason, message, datetime.now(UTC), warning=warning))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None,
        since: str,
        *,
        labels: str = "",
        seconds: int = 300,
        silence: float = 90.0,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after the resourceVersion `since`, until the server ends it after about `seconds`.

        Bookmarks come about every minute, so a connection silent for `silence` seconds is taken for dead.

        Raises:
            Gone: `since` is too old; list again.
            Unavailable: the connection was cut, or is dead.
        """
        asked = Asked("watch", str(resource), namespace or "")
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "labelSelector": labels,
            "timeoutSeconds": str(seconds),
        }
        request = Request("GET", resource.path(namespace), query)
        async with aclosing(self._transport.lines(asked, request, silence)) as lines:
            async for line in lines:
                yield _watch_event(asked, decoded(line))

    async def raw(self, path: str) -> Any:
        """The JSON (or text) at a path that belongs to no kind: `/version`, `/apis/apps/v1`."""
        return await self._transport.call(Asked("get", path), Request("GET", path))

    async def _call(self, asked: Asked, request: Request) -> Object:
        answer = await self._transport.call(asked, request)
        if not isinstance(answer, dict):
            raise Unavailable(f"{asked}: an answer that is no object: {str(answer)[:100]!r}")
        return answer


def _writing(manager: str, *, dry_run: bool = False) -> dict[str, str]:
    """Query of a write: who writes, that nothing unknown may be dropped silently, and whether to only
    pretend.
    """
    return {"fieldManager": manager, "fieldValidation": "Strict", "dryRun": "All" if dry_run else ""}


def _watch_event(asked: Asked, told: Any) -> WatchEvent:
    """One line of a watch; an ERROR is raised as what it says."""
    if not isinstance(told, Mapping):
        raise Unavailable(f"{asked}: an answer that is no event: {str(told)[:100]!r}")
    if told["type"] == "ERROR":
        status = told["object"]
        raise refusal(asked, int(status.get("code") or 500), status, {}, datetime.now(UTC))
    return WatchEvent(told["type"], told["object"])

"""The API without sockets: what the sandbox's controllers and tests use in-process.

It runs the very verbs that HTTP runs (validation, defaulting, managed fields, finalizers, RBAC for a named user), so
a controller written against it would work over the wire. Objects that come back are copies: change them freely.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from rollout.sandbox.apiserver.resource import Object, Resource

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`, and the whole object."""

    type: str
    object: Object


class LocalClient:
    """The API's verbs as coroutines, acting as one user (`system:masters` where none is named).

    Every method raises `ApiError` (`errors.py`) with the HTTP `status` and `reason` that the wire would carry:
    404 NotFound, 409 Conflict or AlreadyExists, 422 Invalid, 410 Expired (watch only), 403 Forbidden.
    """

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """One object; `namespace` is None for cluster-scoped kinds."""
        raise NotImplementedError

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[list[Object], str]:
        """The objects (of all namespaces where `namespace` is None) and the list's resourceVersion."""
        raise NotImplementedError

    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Object,
        *,
        field_manager: str = "",
        subresource: str = "",
    ) -> Object:
        """Create from `body`; `metadata.name` or `metadata.generateName` names it.

        With `subresource` (`eviction`, `token`), `metadata.name` of the body names the parent.
        """
        raise NotImplementedError

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
        """PUT; with `metadata.resourceVersion` in the body, 409 where it is stale. `subresource`: `status`, `scale`."""
        raise NotImplementedError

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
        raise NotImplementedError

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
        """DELETE: sets deletionTimestamp where finalizers (or a pod's grace period) hold the object, else removes it.

        `uid` and `resource_version` are preconditions (409). Foreground and Orphan set the finalizers
        `foregroundDeletion` and `orphan`, which the garbage collector takes off. A pod that runs on a node stays with
        its deletionTimestamp until it is deleted with `grace_seconds=0`, as a kubelet does.
        """
        raise NotImplementedError

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        since: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Events after the resourceVersion `since`; without one, ADDED for each present object first.

        Ends only by cancellation or when the server stops. Raises `ApiError` 410 where `since` is no longer kept:
        list again.
        """
        raise NotImplementedError

    async def finalize_namespace(self, name: str, body: Object) -> Object:
        """PUT namespaces/NAME/finalize: sets `spec.finalizers`; the namespace goes when none is left."""
        raise NotImplementedError

    def served(self) -> list[Resource]:
        """Every listable, deletable resource, those of CustomResourceDefinitions included (preferred versions)."""
        raise NotImplementedError

    def namespaced(self, resource: Resource) -> bool:
        """Whether its objects lie in namespaces."""
        raise NotImplementedError

    def kind_resource(self, api_version: str, kind: str) -> Resource | None:
        """The resource that an owner reference's apiVersion and kind name, if it is served."""
        raise NotImplementedError

"""The API server as any client sees it: one request each, JSON in, JSON out."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

Object = dict[str, Any]
"""An object as the server's JSON says it."""

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
MANAGER = "conformance"
CALL_S = 30.0
SILENCE_S = 120.0
"""A watch without a byte for so long is dead: bookmarks come about every minute."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind, and where it is served."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def argument(self) -> str:
        """As kubectl takes it where short names may mean another group's."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """Of one object, or of the collection."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = ("namespaces", namespace) if namespace and self.namespaced else ()
        return "/".join((root, *(part for part in (*within, self.plural, name, subresource) if part)))


OURS = "progressive.delivery"
ROLLOUTS = Resource(OURS, "v1alpha1", "rollouts", "Rollout")
RUNS = Resource(OURS, "v1alpha1", "analysisruns", "AnalysisRun")
TEMPLATES = Resource(OURS, "v1alpha1", "analysistemplates", "AnalysisTemplate")
GATEWAY = "gateway.networking.k8s.io"
ROUTES = Resource(GATEWAY, "v1", "httproutes", "HTTPRoute")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
EVENTS = Resource("", "v1", "events", "Event")
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
_RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
KINDS = {
    each.kind: each
    for each in (
        *(ROLLOUTS, RUNS, TEMPLATES, ROUTES, REPLICA_SETS, PODS, SERVICES, ACCOUNTS, NAMESPACES, DEFINITIONS),
        *(CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS, LEASES),
    )
}


class Unreachable(Exception):  # noqa: N818 -- it reads as what it says
    """No answer of the API server, or no credentials for one."""


class Refused(Exception):  # noqa: N818 -- likewise
    """The API server said no: `status` is HTTP's, the text is its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """An API server, as one user; an async context manager. Every call raises Refused and Unreachable."""

    def __init__(self, configuration: Configuration) -> None:
        self._client = ApiClient(configuration)

    @classmethod
    async def of(cls, kubeconfig: Path) -> Self:
        """As whom a kubeconfig says. Raises Unreachable where it can't be used."""
        configuration = Configuration()
        configuration.connection_pool_maxsize = 0  # each watch holds a connection
        # From Python 3.13 on its default would refuse authorities that Kubernetes itself makes and accepts.
        configuration.disable_strict_ssl_verification = True
        try:
            await config.load_kube_config(
                config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
            )
        except (config.ConfigException, OSError, LookupError, TypeError, ValueError) as error:
            raise Unreachable(f"{kubeconfig}: {error}") from error
        return cls(configuration)

    @property
    def server(self) -> str:
        """Its URL."""
        return str(self._client.configuration.host)

    @property
    def configuration(self) -> Configuration:
        """How it is reached."""
        return self._client.configuration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """One object."""
        found: Object = await self.call("GET", resource.path(namespace, name))
        return found

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """One object, or None where there is none, or no such kind."""
        try:
            return await self.get(resource, namespace, name)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str | None = None, *, limit: int = 0
    ) -> tuple[list[Object], str]:
        """All objects (or the first `limit`), and the resourceVersion of the list."""
        query = {"limit": str(limit)} if limit else {}
        answer = await self.call("GET", resource.path(namespace), query)
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [{**head, **item} for item in answer["items"]], answer["metadata"]["resourceVersion"]

    async def create(self, resource: Resource, body: Object, subresource: str = "") -> Object:
        """POST."""
        meta = body.get("metadata", {})
        name = meta.get("name", "") if subresource else ""
        path = resource.path(meta.get("namespace"), name, subresource)
        found: Object = await self.call("POST", path, {"fieldManager": MANAGER}, body)
        return found

    async def apply(self, resource: Resource, body: Object) -> Object:
        """Server-side apply; what others own is taken."""
        meta = body["metadata"]
        query = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
        path = resource.path(meta.get("namespace"), meta["name"])
        found: Object = await self.call("PATCH", path, query, body, APPLY_PATCH)
        return found

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, body: Any, subresource: str = ""
    ) -> Object:
        """A merge patch, or a JSON patch where `body` is a list."""
        form = JSON_PATCH if isinstance(body, list) else MERGE_PATCH
        path = resource.path(namespace, name, subresource)
        found: Object = await self.call("PATCH", path, {"fieldManager": MANAGER}, body, form)
        return found

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> None:
        """Delete in the background; nothing happens where there is none."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self.call("DELETE", resource.path(namespace, name), body=body)
        except Refused as refused:
            if refused.status != 404:
                raise

    async def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether we may do something in all namespaces; `resource` may hold a subresource."""
        name, _, subresource = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": name, "subresource": subresource}
        review = {
            "apiVersion": ACCESS_REVIEWS.api_version,
            "kind": ACCESS_REVIEWS.kind,
            "spec": {"resourceAttributes": asked},
        }
        answer = await self.create(ACCESS_REVIEWS, review)
        return bool(answer["status"]["allowed"])

    async def watch(self, resource: Resource, namespace: str, since: str) -> AsyncIterator[Object]:
        """Events after `since`, until the server ends it."""
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": since}
        patience = aiohttp.ClientTimeout(total=None, sock_connect=CALL_S, sock_read=SILENCE_S)
        async with self._exchange("GET", resource.path(namespace), query, None, JSON, patience) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield _event(json.loads(line))

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Any:
        """The decoded answer."""
        patience = aiohttp.ClientTimeout(total=CALL_S)
        async with self._exchange(method, path, query or {}, body, content_type, patience) as response:
            return _decoded(await response.read())

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        content_type: str,
        patience: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        headers = {"Accept": JSON, "Content-Type": content_type}
        asked = await self._client.param_serialize(
            method, target, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            answer = await self._client.call_api(*asked[:4], _request_timeout=patience)
            async with answer.response as response:
                if response.status >= 400:
                    raise _refusal(response.status, _decoded(await response.read()))
                yield response
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            raise Unreachable(f"{method} {path}: {type(error).__name__}: {error}") from error


def _event(told: Object) -> Object:
    if told["type"] == "ERROR":
        raise _refusal(int(told["object"].get("code") or 500), told["object"])
    return told


def _refusal(status: int, told: Any) -> Refused:
    return Refused(status, str(told.get("message", told) if isinstance(told, dict) else told))


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return answer.decode(errors="replace")


def conditions(found: Object) -> dict[str, str]:
    """Status by type."""
    listed: Iterable[Object] = (found.get("status") or {}).get("conditions") or ()
    return {each["type"]: each["status"] for each in listed}

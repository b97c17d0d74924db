"""Namespaces: what each has from the start, and emptying those that are being deleted."""

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, Object, Resource
from rollout.sandbox.controllers.informers import Informers
from rollout.sandbox.controllers.ownership import deleting
from rollout.sandbox.controllers.queue import Queue

ROOT_CA = "kube-root-ca.crt"
LOOK_AGAIN_S = 0.1
"""While something still holds a namespace; its objects' kinds are not all watched."""


class Namespaces:
    """The controller."""

    def __init__(self, client: LocalClient, informers: Informers, ca_pem: str) -> None:
        self.client = client
        self.ca_pem = ca_pem
        self.queue: Queue[str] = Queue("namespace", self.turn)
        informers.on(NAMESPACES, self._on_namespace)
        informers.on(SERVICE_ACCOUNTS, self._on_default)
        informers.on(CONFIG_MAPS, self._on_default)

    def _on_namespace(self, before: Object | None, after: Object | None) -> None:
        del before
        if after is not None:
            self.queue.add(after["metadata"]["name"])

    def _on_default(self, before: Object | None, after: Object | None) -> None:
        if after is None and before is not None and before["metadata"]["name"] in ("default", ROOT_CA):
            self.queue.add(before["metadata"]["namespace"])

    async def turn(self, name: str) -> float | None:
        """Bring one namespace in line."""
        try:
            namespace = await self.client.get(NAMESPACES, None, name)
        except ApiError as refused:
            if refused.status == 404:
                return None
            raise
        if not deleting(namespace):
            await self._ensure(
                SERVICE_ACCOUNTS, name, {"metadata": {"name": "default"}}, "v1", "ServiceAccount"
            )
            certificate = {"metadata": {"name": ROOT_CA}, "data": {"ca.crt": self.ca_pem}}
            await self._ensure(CONFIG_MAPS, name, certificate, "v1", "ConfigMap")
            return None
        if await self._empty(name):
            body = {**namespace, "spec": {"finalizers": []}}
            await self.client.replace(NAMESPACES, None, name, body, subresource="finalize")
            return None
        return LOOK_AGAIN_S

    async def _ensure(
        self, resource: Resource, namespace: str, body: Object, api_version: str, kind: str
    ) -> None:
        try:
            await self.client.get(resource, namespace, body["metadata"]["name"])
        except ApiError as refused:
            if refused.status != 404:
                raise
            await self.client.create(resource, namespace, {"apiVersion": api_version, "kind": kind, **body})

    async def _empty(self, namespace: str) -> bool:
        """Delete everything in the namespace; whether nothing is left."""
        left = 0
        for entry in self.client.served():
            if not entry["namespaced"]:
                continue
            resource: Resource = entry["resource"]
            objects, _ = await self.client.list(resource, namespace)
            left += len(objects)
            for obj in objects:
                if not deleting(obj):
                    await self._delete(resource, obj)
        return left == 0

    async def _delete(self, resource: Resource, obj: Object) -> None:
        meta = obj["metadata"]
        try:
            await self.client.delete(resource, meta["namespace"], meta["name"], propagation="Background")
        except ApiError as refused:
            if refused.status not in (404, 405):
                raise

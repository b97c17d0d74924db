"""Endpoints and EndpointSlices: the addresses behind each Service that selects pods."""

from typing import Any

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    NODES,
    PODS,
    SERVICES,
    Object,
    Resource,
)
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.ownership import as_query, controller_ref, deleting, matches
from rollout.sandbox.controllers.pods import is_ready
from rollout.sandbox.controllers.queue import Queue

SERVICE = "kubernetes.io/service-name"
MANAGED = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"


class Endpoints:
    """The controller of both kinds."""

    def __init__(self, client: LocalClient, informers: Informers) -> None:
        self.client = client
        self.queue: Queue[Key] = Queue("endpoints", self.turn)
        self._selectors: dict[Key, Object] = {}
        self._zones: dict[str, str | None] = {}
        informers.on(NODES, self._on_node)
        informers.on(SERVICES, self._on_service)
        informers.on(PODS, self._on_pod)

    def _on_node(self, before: Object | None, after: Object | None) -> None:
        del before
        if after is not None:
            labels = after["metadata"].get("labels") or {}
            self._zones[after["metadata"]["name"]] = labels.get(ZONE)

    def _on_service(self, before: Object | None, after: Object | None) -> None:
        service = after or before
        assert service is not None
        selector = (after or {}).get("spec", {}).get("selector")
        self._selectors.pop(key_of(service), None)
        if selector:
            self._selectors[key_of(service)] = selector
        self.queue.add(key_of(service))

    def _on_pod(self, before: Object | None, after: Object | None) -> None:
        for pod in (before, after):
            if pod is not None:
                labels, namespace = pod["metadata"].get("labels"), pod["metadata"]["namespace"]
                for key, selector in self._selectors.items():
                    if key[0] == namespace and matches({"matchLabels": selector}, labels):
                        self.queue.add(key)

    async def turn(self, key: Key) -> float | None:
        """Bring one Service's endpoints in line."""
        namespace, name = key
        try:
            service = await self.client.get(SERVICES, namespace, name)
        except ApiError as refused:
            if refused.status != 404:
                raise
            await self._remove(ENDPOINTS, key)
            return None  # the slices go with their owner
        if not service["spec"].get("selector") or deleting(service):
            return None
        pods, _ = await self.client.list(
            PODS, namespace, label_selector=as_query(service["spec"]["selector"])
        )
        chosen = [p for p in pods if _serves(p, service)]
        chosen.sort(key=lambda p: str(p["metadata"]["name"]))
        await self._slices(service, chosen)
        await self._endpoints(service, [p for p in chosen if not deleting(p)])
        return None

    async def _slices(self, service: Object, pods: list[Object]) -> None:
        """One slice for each set of port numbers that the pods resolve the Service's ports to."""
        groups: dict[str, tuple[list[Object], list[Object]]] = {}
        for pod in pods:
            ports = resolve(service, pod)
            groups.setdefault(repr(ports), (ports, []))[1].append(self._endpoint(service, pod))
        wanted = list(groups.values()) or [([], [])]
        name = service["metadata"]["name"]
        selector = f"{SERVICE}={name},{MANAGED}={MANAGER}"
        held, _ = await self.client.list(
            ENDPOINT_SLICES, service["metadata"]["namespace"], label_selector=selector
        )
        held = [s for s in held if not deleting(s)]
        for ports, endpoints in wanted:
            match = next((s for s in held if (s.get("ports") or []) == ports), None)
            if match is None:  # reuse a slice of other ports rather than add one
                match = next(
                    (s for s in held if not any((s.get("ports") or []) == p for p, _ in wanted)), None
                )
            if match is not None:
                held.remove(match)
            await self._put_slice(service, match, ports, endpoints)
        for surplus in held:
            await self.client.delete(ENDPOINT_SLICES, *key_of(surplus))

    def _endpoint(self, service: Object, pod: Object) -> Object:
        serving, leaving = is_ready(pod), deleting(pod)
        early = bool(service["spec"].get("publishNotReadyAddresses"))
        conditions = {"ready": early or (serving and not leaving), "serving": serving, "terminating": leaving}
        endpoint: Object = {
            "addresses": [pod["status"]["podIP"]],
            "conditions": conditions,
            "targetRef": _reference(pod),
        }
        if node := pod["spec"].get("nodeName"):
            endpoint["nodeName"] = node
            if zone := self._zones.get(node):
                endpoint["zone"] = zone
        return endpoint

    async def _put_slice(
        self, service: Object, held: Object | None, ports: list[Object], endpoints: list[Object]
    ) -> None:
        meta = service["metadata"]
        labels = (meta.get("labels") or {}) | {MANAGED: MANAGER, SERVICE: meta["name"]}
        if service["spec"].get("clusterIP") == "None":
            labels[HEADLESS] = ""
        if held is None:
            body: Object = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": meta["name"] + "-",
                    "labels": labels,
                    "ownerReferences": [controller_ref(service, "v1", "Service")],
                },
                "addressType": "IPv4",
                "endpoints": endpoints or None,
                "ports": ports or None,
            }
            await self.client.create(ENDPOINT_SLICES, meta["namespace"], body)
            return
        changed = held | {"endpoints": endpoints or None, "ports": ports or None}
        changed["metadata"] = held["metadata"] | {"labels": labels}
        if changed != held:
            await self.client.replace(ENDPOINT_SLICES, *key_of(held), changed)

    async def _endpoints(self, service: Object, pods: list[Object]) -> None:
        meta = service["metadata"]
        body: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": meta["name"]}}
        if meta.get("labels"):
            body["metadata"]["labels"] = meta["labels"]
        if subsets := _subsets(service, pods):
            body["subsets"] = subsets
        try:
            held = await self.client.get(ENDPOINTS, meta["namespace"], meta["name"])
        except ApiError as refused:
            if refused.status != 404:
                raise
            await self.client.create(ENDPOINTS, meta["namespace"], body)
            return
        if (held.get("subsets") or []) != subsets:
            await self.client.replace(
                ENDPOINTS, meta["namespace"], meta["name"], held | {"subsets": subsets or None}
            )

    async def _remove(self, resource: Resource, key: Key) -> None:
        try:
            await self.client.delete(resource, *key)
        except ApiError as refused:
            if refused.status != 404:
                raise


def _serves(pod: Object, service: Object) -> bool:
    """Whether a pod is behind a Service: selected, with an address, and not finished."""
    status = pod.get("status", {})
    if not matches({"matchLabels": service["spec"]["selector"]}, pod["metadata"].get("labels")):
        return False
    return bool(status.get("podIP")) and status.get("phase") not in ("Succeeded", "Failed")


def resolve(service: Object, pod: Object) -> list[Object]:
    """The Service's ports as this pod has them; a port name that the pod lacks is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = _number(port.get("targetPort", port["port"]), pod)
        if number is not None:
            resolved: Object = {
                "name": port.get("name", ""),
                "port": number,
                "protocol": port.get("protocol", "TCP"),
            }
            if port.get("appProtocol"):
                resolved["appProtocol"] = port["appProtocol"]
            found.append(resolved)
    return found


def _number(target: Any, pod: Object) -> int | None:
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == target:
                return int(port["containerPort"])
    return None


def _reference(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}


def _subsets(service: Object, pods: list[Object]) -> list[Object]:
    groups: dict[str, Object] = {}
    for pod in pods:
        ports = [
            p if p["name"] else {k: v for k, v in p.items() if k != "name"} for p in resolve(service, pod)
        ]
        subset = groups.setdefault(repr(ports), {"ports": ports} if ports else {})
        address: Object = {"ip": pod["status"]["podIP"], "targetRef": _reference(pod)}
        if node := pod["spec"].get("nodeName"):
            address["nodeName"] = node
        ready = is_ready(pod) or service["spec"].get("publishNotReadyAddresses")
        subset.setdefault("addresses" if ready else "notReadyAddresses", []).append(address)
    return list(groups.values())

"""Manifests and waiting for the sandbox's stories."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import PODS, Object, Resource

HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
HASH = "rollouts-pod-template-hash"


async def eventually(look: Callable[[], Awaitable[Any]], timeout_s: float = 20.0) -> Any:
    """Look until the answer is true; the answer. A 404 counts as not yet."""
    last: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    last = await look()
                except ApiError as refused:
                    if refused.status != 404:
                        raise
                    last = None
                if last:
                    return last
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never came true; last seen: {last!r}") from None


def template(name: str = "shop", image: str = "shop:v1", **labels: str) -> Object:
    container = {
        "name": "shop",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 5}
    return {"metadata": {"labels": {"app": name, **labels}}, "spec": spec}


def replica_set(
    name: str, replicas: int = 1, image: str = "shop:v1", pod_hash: str = "", **more: Any
) -> Object:
    labels = {HASH: pod_hash} if pod_hash else {}
    made = template(name, image, **labels)
    selector = {"matchLabels": made["metadata"]["labels"]}
    spec = {"replicas": replicas, "selector": selector, "template": made, **more}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}


def service(name: str, **selector: str) -> Object:
    spec = {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def route(name: str, **weights: int) -> Object:
    refs = [{"name": backend, "port": 80, "weight": weight} for backend, weight in weights.items()]
    spec = {
        "parentRefs": [{"name": "sandbox", "namespace": "gateway"}],
        "hostnames": [f"{name}.local"],
        "rules": [{"backendRefs": refs}],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": spec,
    }


async def pods_of(client: LocalClient, app: str, namespace: str = "default") -> list[Object]:
    return (await client.list(PODS, namespace, label_selector=f"app={app}"))[0]


async def names_of(client: LocalClient, app: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in await pods_of(client, app)}

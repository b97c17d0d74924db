"""Manifests for the embedded cluster: read from files, applied by server-side apply."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import yaml

from rollout.sandbox.apiserver.local import APPLY_PATCH, ApiError, LocalClient
from rollout.sandbox.apiserver.resource import CUSTOM_RESOURCE_DEFINITIONS, Object
from rollout.sandbox.controllers.pods import condition

MANAGER = "sandbox"
_FIRST = {"CustomResourceDefinition": 0, "Namespace": 1}
ESTABLISHED_S = 5.0


def read(paths: Iterable[Path]) -> list[Object]:
    """The objects of YAML files, and of folders of them (kustomizations are left out)."""
    found: list[Object] = []
    for path in paths:
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            for document in yaml.load_all(file.read_text(), yaml.CSafeLoader):
                found += _objects(document)
    return found


def _objects(document: Object | None) -> list[Object]:
    if not document or document.get("kind") in ("Kustomization", "Component"):
        return []
    return list(document["items"]) if document.get("kind") == "List" else [document]


async def apply(client: LocalClient, objects: list[Object]) -> list[Object]:
    """Apply objects, definitions first; what the server holds then. Raises ApiError."""
    ordered = sorted(objects, key=lambda o: _FIRST.get(o["kind"], 2))
    return [await _apply(client, obj) for obj in ordered]


async def _apply(client: LocalClient, obj: Object) -> Object:
    resource = client.kind_resource(obj["apiVersion"], obj["kind"])
    if resource is None:
        raise ApiError(404, "NotFound", f"no kind {obj['kind']} is served in {obj['apiVersion']}")
    meta = obj["metadata"]
    namespace = meta.get("namespace", "default") if client.namespaced(resource) else None
    applied = await client.patch(
        resource,
        namespace,
        meta["name"],
        obj,
        content_type=APPLY_PATCH,
        field_manager=MANAGER,
        force=True,
    )
    if resource == CUSTOM_RESOURCE_DEFINITIONS:
        await _established(client, meta["name"])
    return applied


async def _established(client: LocalClient, name: str) -> None:
    async with asyncio.timeout(ESTABLISHED_S):
        while True:
            definition = await client.get(CUSTOM_RESOURCE_DEFINITIONS, None, name)
            if (condition(definition, "Established") or {}).get("status") == "True":
                return
            await asyncio.sleep(0.01)

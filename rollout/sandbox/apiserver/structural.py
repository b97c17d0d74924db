"""Structural schemas of custom resources: pruning and defaulting."""

from typing import Any

from rollout.sandbox.apiserver.decode import Findings, decode_metadata
from rollout.sandbox.apiserver.parsing import DecodeError
from rollout.sandbox.apiserver.resource import Object, copied
from rollout.sandbox.apiserver.shape import Schema

TYPE_META = {"apiVersion", "kind", "metadata"}


def prune(obj: Object, schema: Schema, found: Findings) -> None:
    """Drop what the schema does not know, noting it; in place."""
    _prune_object(obj, schema, "", found, root=True)


def _prune_object(value: Object, schema: Schema, path: str, found: Findings, *, root: bool = False) -> None:
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    keep = schema.get("x-kubernetes-preserve-unknown-fields", False)
    embedded = schema.get("x-kubernetes-embedded-resource", False)
    for key in sorted(value):
        below = f"{path}.{key}" if path else key
        if (root or embedded) and key in TYPE_META:
            if embedded and key == "metadata":
                _embedded_metadata(value, below, found)
            continue
        if key in properties:
            _prune(value[key], properties[key], below, found)
        elif isinstance(extra, dict):
            _prune(value[key], extra, below, found)
        elif not keep and not extra:
            found.add(f'unknown field "{below}"')
            del value[key]


def _embedded_metadata(value: Object, path: str, found: Findings) -> None:
    local = Findings()
    try:
        value["metadata"] = decode_metadata(value["metadata"], local)
    except DecodeError as error:
        text = __import__("orjson").dumps(value["metadata"]).decode()
        raise DecodeError(f"{path}: Invalid value: {text}: {error}") from error
    for problem in local.problems:
        found.add(problem.replace('"metadata.', f'"{path}.'))


def _prune(value: Any, schema: Schema, path: str, found: Findings) -> None:
    if isinstance(value, dict):
        _prune_object(value, schema, path, found)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for at, item in enumerate(value):
            _prune(item, schema["items"], f"{path}[{at}]", found)


def default(value: Any, schema: Schema) -> None:
    """Fill in defaults, and drop nulls that may not stand where a default does; in place."""
    if isinstance(value, dict):
        for key, child in schema.get("properties", {}).items():
            if "default" in child and (
                key not in value or (value[key] is None and not child.get("nullable"))
            ):
                value[key] = copied(child["default"])
            if key in value:
                default(value[key], child)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for key in value:
                if key not in schema.get("properties", {}):
                    if value[key] is None and "default" in extra and not extra.get("nullable"):
                        value[key] = copied(extra["default"])
                    default(value[key], extra)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for at, item in enumerate(value):
            if item is None and "default" in schema["items"] and not schema["items"].get("nullable"):
                value[at] = copied(schema["items"]["default"])
            default(value[at], schema["items"])


def drop_nulls(value: Any, schema: Schema) -> None:
    """Drop nulls of fields that are neither nullable nor defaulted; in place."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for key in list(value):
            child = properties.get(key, extra if isinstance(extra, dict) else None)
            if child is None:
                continue
            if value[key] is None and not child.get("nullable") and key in properties:
                if not child.get("x-kubernetes-preserve-unknown-fields") or child.get("type"):
                    del value[key]
            else:
                drop_nulls(value[key], child)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            drop_nulls(item, schema["items"])

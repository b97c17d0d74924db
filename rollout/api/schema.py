"""Structural schemas (as Kubernetes defines them) of our models: no `$ref`, no `anyOf`, closed objects.

A step, which is one of several models here, becomes one object with all their keys. Rules between fields are
added by `rollout.api.crd`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from rollout.api.base import Model

Schema = dict[str, Any]

_DROPPED = frozenset({"$defs", "title", "additionalProperties", "discriminator", "default", "const"})


class _Defaults(GenerateJsonSchema):
    """Writes a default as a manifest writes it: `10m`, `5%`."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        """The schema of a field with a default, the default through the field's own serializer."""
        written = super().default_schema(schema)
        serializer = _serializer(schema["schema"])
        if serializer and written.get("default") is not None:
            written["default"] = serializer(schema["default"])
        return written


def _serializer(schema: Mapping[str, Any]) -> Callable[[Any], str] | None:
    found = schema.get("serialization", {}).get("function")
    return found or (_serializer(schema["schema"]) if "schema" in schema else None)


@cache
def _json_schema(model: type[Model]) -> Mapping[str, Any]:
    return model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Defaults)


def structural(model: type[Model]) -> Schema:
    """The structural schema of `model`."""
    document = _json_schema(model)
    return _convert(document, document.get("$defs", {}))


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _convert(
            {**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions
        )
    choices = [choice for choice in node.get("anyOf", node.get("oneOf", ())) if choice.get("type") != "null"]
    if choices:
        return _choice(node, choices, definitions)
    schema = {key: value for key, value in node.items() if key not in _DROPPED}
    if "properties" in node:
        schema["properties"] = {
            key: _convert(value, definitions) for key, value in node["properties"].items()
        }
    if "items" in node:
        schema["items"] = _convert(node["items"], definitions)
    return _open_object(node, schema, definitions) | _default(node)


def _default(node: Mapping[str, Any]) -> Schema:
    """The default, where it is a plain value: an object's default would stand in for what a user left out."""
    value = node.get("default")
    return {"default": value} if isinstance(value, int | float) or (isinstance(value, str) and value) else {}


def _open_object(node: Mapping[str, Any], schema: Schema, definitions: Mapping[str, Any]) -> Schema:
    """A map of texts keeps its value's schema; a map of anything keeps whatever it holds."""
    extra = node.get("additionalProperties")
    if isinstance(extra, Mapping):
        schema["additionalProperties"] = _convert(extra, definitions)
    elif extra is True:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    return schema


def _choice(
    node: Mapping[str, Any], choices: list[Mapping[str, Any]], definitions: Mapping[str, Any]
) -> Schema:
    outer = {key: value for key, value in node.items() if key not in {"anyOf", "oneOf"}}
    options = [_convert(choice, definitions) for choice in choices]
    if len(options) == 1:
        return _convert({**choices[0], **outer}, definitions)
    if {option.get("type") for option in options} == {"integer", "string"}:
        kept = {key: value for key, value in outer.items() if key not in _DROPPED}
        return {**kept, "x-kubernetes-int-or-string": True}
    merged: dict[str, Any] = {}
    for option in options:
        merged |= option["properties"]
    return {"type": "object", "properties": merged}


def fields_at(schema: Mapping[str, Any], path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The names that an object at `path` may have."""
    for part in path:
        schema = (
            schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
        )
    return tuple(schema.get("properties", {}))

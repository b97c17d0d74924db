"""Shapes: schemas compiled for walking beside an object (decoding, pruning, strategic merge, field
ownership)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from rollout.sandbox.apiserver.resource import Object

Schema = dict[str, Any]


@dataclass(slots=True)
class Shape:
    """What may stand at one place of an object.

    `type` is an OpenAPI type, or empty where anything may stand. `free` means that unknown fields are kept.
    """

    type: str = ""
    name: str = ""
    format: str = ""
    properties: dict[str, Shape] = field(default_factory=dict)
    additional: Shape | None = None
    items: Shape | None = None
    required: frozenset[str] = frozenset()
    list_type: str = "atomic"
    map_keys: tuple[str, ...] = ()
    key_defaults: dict[str, Any] = field(default_factory=dict)
    atomic_map: bool = False
    merge_key: str = ""
    merge_strategy: frozenset[str] = frozenset()
    free: bool = False
    int_or_string: bool = False
    embedded: bool = False
    nullable: bool = False

    def child(self, key: str) -> Shape | None:
        """The shape of a field, or None where the schema has none."""
        found = self.properties.get(key)
        if found is not None:
            return found
        return self.additional

    @property
    def is_map(self) -> bool:
        """A map from free keys to values, rather than a structure."""
        return self.additional is not None


ANY = Shape(free=True)
STRING = Shape(type="string")
PREFIX = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META = PREFIX + "ObjectMeta"


@cache
def definitions() -> dict[str, Schema]:
    """The schemas of Kubernetes' own types, by definition name."""
    text = resources.files("rollout.sandbox.apiserver.kinds").joinpath("types.json").read_text()
    found: dict[str, Schema] = json.loads(text)
    return found


_compiled: dict[str, Shape] = {}


def definition(name: str) -> Shape:
    """The compiled shape of one of Kubernetes' own types; it may refer to itself."""
    if name not in _compiled:
        _compiled[name] = shape = Shape()
        _fill(shape, definitions()[name], _go_name(name))
    return _compiled[name]


@cache
def definition_names() -> dict[tuple[str, str, str], str]:
    """Definition names by (group, version, kind)."""
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in definitions().items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
        if not name.endswith("DeleteOptions")
    }


def kind_shape(group: str, version: str, kind: str) -> Shape:
    """The shape of a built-in kind; anything goes where it isn't described."""
    name = definition_names().get((group, version, kind))
    return definition(name) if name else ANY


def custom_shape(schema: Schema) -> Shape:
    """The shape of a custom kind from its structural schema."""
    shape = Shape()
    _fill(shape, schema, "")
    shape.type = "object"
    shape.properties = shape.properties | _type_meta()
    return shape


def _type_meta() -> dict[str, Shape]:
    return {"apiVersion": STRING, "kind": STRING, "metadata": definition(OBJECT_META)}


def _go_name(definition_name: str) -> str:
    return definition_name.rsplit(".", 1)[-1]


def _compile(schema: Schema) -> Shape:
    if isinstance(schema.get("$ref"), str):
        target = definition(schema["$ref"])
        own = {key for key in schema if key.startswith("x-")}
        if not own:
            return target
        _fill(copy := Shape(), definitions()[schema["$ref"]], target.name)
        return copy
    shape = Shape()
    _fill(shape, schema, "")
    return shape


SPECIAL: dict[str, str] = {
    "RawExtension": "object",
    "JSON": "",
    "JSONSchemaPropsOrBool": "",
    "JSONSchemaPropsOrArray": "",
}


def _fill(shape: Shape, schema: Schema, name: str) -> None:
    shape.name = name
    shape.type = SPECIAL[name] if name in SPECIAL else schema.get("type", "")
    shape.format = schema.get("format", "")
    shape.required = frozenset(schema.get("required", ()))
    shape.int_or_string = shape.format == "int-or-string" or schema.get("x-kubernetes-int-or-string", False)
    shape.embedded = schema.get("x-kubernetes-embedded-resource", False)
    shape.nullable = schema.get("nullable", False)
    shape.list_type = schema.get("x-kubernetes-list-type", "atomic")
    shape.map_keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    shape.atomic_map = schema.get("x-kubernetes-map-type") == "atomic"
    shape.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
    shape.merge_strategy = frozenset(schema.get("x-kubernetes-patch-strategy", "").split(",")) - {""}
    shape.properties = {key: _compile(value) for key, value in schema.get("properties", {}).items()}
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        shape.additional = _compile(extra)
    elif extra is True:
        shape.additional = ANY
    if isinstance(schema.get("items"), dict):
        shape.items = _compile(schema["items"])
    shape.free = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or (
        name in {"RawExtension", "FieldsV1", "JSON", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray"}
    )
    if shape.items is not None:
        item_schema = schema.get("items", {})
        shape.key_defaults = {
            key: item_schema["properties"][key]["default"]
            for key in shape.map_keys
            if "default" in item_schema.get("properties", {}).get(key, {})
        }
        if "$ref" in item_schema and "protocol" in shape.map_keys:
            shape.key_defaults["protocol"] = "TCP"  # of ports; the built-in types carry no defaults
        if "protocol" in shape.map_keys and "$ref" in item_schema:
            shape.key_defaults = {"protocol": "TCP"}
    if shape.embedded:
        shape.properties = _type_meta() | {k: v for k, v in shape.properties.items() if k != "metadata"}


def prunes(shape: Shape) -> bool:
    """Whether unknown fields at this place are dropped."""
    return (
        not shape.free
        and shape.additional is None
        and shape.type in {"object", ""}
        and not shape.int_or_string
    )


def is_empty(value: Any) -> bool:
    """An empty mapping or list."""
    return isinstance(value, (dict, list)) and not value


def object_name(obj: Object) -> str:
    """`metadata.name`, or empty."""
    meta = obj.get("metadata")
    name = meta.get("name", "") if isinstance(meta, dict) else ""
    return name if isinstance(name, str) else ""

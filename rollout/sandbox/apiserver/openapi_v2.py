"""The OpenAPI v2 document in the one form that kubectl asks for it: protobuf, to validate a `kind: List`.

Only what validation reads is written: types, fields, references and which kind a definition is of. Field
numbers are those of the published OpenAPIv2.proto.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from rollout.sandbox.apiserver import openapi
from rollout.sandbox.apiserver.registry import Registry
from rollout.sandbox.apiserver.shape import Schema

MEDIA = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PREFIX = "#/definitions/"
_GVK = "x-kubernetes-group-version-kind"


def document(registry: Registry) -> bytes:
    """The definitions of everything that is served."""
    found: dict[str, Schema] = {}
    for group, versions in registry.groups().items():
        for version in versions:
            described = openapi.document(registry, group, version)
            found |= described["components"]["schemas"] if described else {}
    info = _text(1, "Kubernetes") + _text(2, "v1.36.2")
    definitions = b"".join(_named(1, name, _schema(schema)) for name, schema in sorted(found.items()))
    return _text(1, "2.0") + _part(2, info) + _part(8, b"") + _part(9, definitions)


def _schema(schema: Schema) -> bytes:
    return b"".join(_members(schema))


def _members(schema: Schema) -> Iterator[bytes]:
    reference = _reference(schema)
    if reference:
        yield _text(1, PREFIX + reference)
        return
    if schema.get("format"):
        yield _text(2, schema["format"])
    yield from (_text(19, name) for name in schema.get("required") or ())
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        yield _part(21, _part(1, _schema(additional)))
    if schema.get("type") and not schema.get("x-kubernetes-int-or-string"):
        yield _part(22, _text(1, schema["type"]))
    if isinstance(schema.get("items"), dict):
        yield _part(23, _part(1, _schema(schema["items"])))
    properties = schema.get("properties") or {}
    if properties:
        fields = (_named(1, name, _schema(child)) for name, child in properties.items())
        yield _part(25, b"".join(fields))
    for mark in (_GVK, "x-kubernetes-preserve-unknown-fields"):
        if mark in schema:
            yield _part(31, _text(1, mark) + _part(2, _text(2, orjson.dumps(schema[mark]).decode())))


def _reference(schema: Schema) -> str:
    """What a schema refers to: `allOf` of one reference is how v3 writes it beside a description."""
    every: list[Schema] = schema.get("allOf") or []
    found: Any = schema.get("$ref") or (every[0].get("$ref") if len(every) == 1 else "")
    return str(found or "").removeprefix(openapi.PREFIX)


def _named(number: int, name: str, value: bytes) -> bytes:
    return _part(number, _text(1, name) + _part(2, value))


def _text(number: int, value: str) -> bytes:
    return _part(number, value.encode())


def _part(number: int, value: bytes) -> bytes:
    """A field that says its length."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))

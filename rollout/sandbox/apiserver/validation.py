"""Validation of custom resources by their structural schema, with the texts of the original and
ratcheting."""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

import orjson

from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.shape import Schema

NONE: Any = object()
"""Stands for "there is no old value"."""

TYPE_META = {"apiVersion": "string", "kind": "string", "metadata": "object"}


def go_text(value: Any) -> str:
    """A value as messages quote it."""
    return orjson.dumps(value).decode()


def type_name(value: Any) -> str:
    """The OpenAPI type of a value."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"


def invalid_value(path: str, value: Any, text: str) -> Cause:
    """A value that its schema refuses."""
    return Cause("FieldValueInvalid", f"Invalid value: {go_text(value)}: {text}", path)


def required(path: str) -> Cause:
    """A field that must be there."""
    return Cause("FieldValueRequired", "Required value", path)


def validate(value: Any, schema: Schema, path: str = "", old: Any = NONE) -> list[Cause]:
    """What the schema says against a value; values that did not change from `old` are not looked at
    (ratcheting)."""
    if old is not NONE and old == value:
        return []
    if value is None and schema.get("nullable"):
        return []
    if found := _check_type(value, schema, path):
        return [*found, *_check_enum(value, schema, path)]
    found = [*_check_enum(value, schema, path), *_check_combined(value, schema, path)]
    match value:
        case str():
            found += _check_string(value, schema, path)
        case bool():
            pass
        case int() | float():
            found += _check_number(value, schema, path)
        case list():
            found += _check_list(value, schema, path, old)
        case dict():
            found += _check_object(value, schema, path, old)
    return found


def _check_type(value: Any, schema: Schema, path: str) -> list[Cause]:
    actual = type_name(value)
    wanted = schema.get("type", "")
    if schema.get("x-kubernetes-int-or-string"):
        if actual in {"integer", "string"}:
            return []
        wanted = "integer,string"
    elif not wanted or actual == wanted or (wanted == "number" and actual == "integer"):
        return []
    if wanted == "integer" and actual == "number" and value == int(value):
        return []
    text = f'{path} in body must be of type {wanted}: "{actual}"'
    found = [Cause("FieldValueTypeInvalid", f'Invalid value: "{actual}": {text}', path)]
    if wanted == "integer" and actual == "number":
        text = f'Invalid value: "": Checked value must be of type integer (default format) in {path}'
        found.append(Cause("FieldValueInvalid", text, "<nil>"))
    return found


def _check_enum(value: Any, schema: Schema, path: str) -> list[Cause]:
    allowed = schema.get("enum")
    if not allowed or value in allowed:
        return []
    listed = ", ".join(go_text(item) for item in allowed)
    text = f"Unsupported value: {go_text(value)}: supported values: {listed}"
    return [Cause("FieldValueNotSupported", text, path)]


def _check_string(value: str, schema: Schema, path: str) -> list[Cause]:
    found = []
    if len(value) > schema.get("maxLength", len(value)):
        text = f"Too long: may not be more than {schema['maxLength']} bytes"
        found.append(Cause("FieldValueTooLong", text, path))
    if len(value) < schema.get("minLength", 0):
        text = f"{path} in body should be at least {schema['minLength']} chars long"
        found.append(invalid_value(path, value, text))
    if "pattern" in schema and not re.search(_go_pattern(schema["pattern"]), value):
        text = f"{path} in body should match '{schema['pattern']}'"
        found.append(invalid_value(path, value, text))
    if "format" in schema and not _fits_format(value, schema["format"]):
        text = f'{path} in body must be of type {schema["format"]}: "{value}"'
        found.append(Cause("FieldValueTypeInvalid", f"Invalid value: {go_text(value)}: {text}", path))
    return found


def _go_pattern(pattern: str) -> str:
    """RE2's `$` is the end of the text, Python's also stands before a last line break."""
    return re.sub(r"(?<!\\)\$$", r"\\Z", pattern)


UUID = r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
PATTERNS = {
    "date-time": r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)",
    "date": r"\d{4}-\d\d-\d\d",
    "uuid": UUID,
    "uuid3": UUID,
    "uuid4": UUID,
    "uuid5": UUID,
    "email": r"[^@\s]+@[^@\s]+",
    "byte": r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "duration": (
        r"[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+|0|(\d+ "
        r"*(ns|us|ms|s|m|h|d|w|[a-z]*(second|minute|hour|day|week)s?))"
    ),
    "hostname": r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*",
}


def _fits_format(value: str, name: str) -> bool:
    if name in PATTERNS:
        return re.fullmatch(PATTERNS[name], value) is not None
    if name in {"uri", "url"}:
        try:
            parts = urlsplit(value)
        except ValueError:
            return False
        return bool(parts.scheme) or value.startswith("/")
    if name in {"ipv4", "ipv6", "ip"}:
        try:
            version = ipaddress.ip_address(value).version
        except ValueError:
            return False
        return name == "ip" or version == int(name[-1])
    if name == "cidr":
        return "/" in value and _is_network(value)
    return True


def _is_network(value: str) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def _check_number(value: float, schema: Schema, path: str) -> list[Cause]:
    form = schema.get("format")
    limit = {"int32": 2**31, "int64": 2**63}.get(form or "")
    if limit and schema.get("type") == "integer" and not -limit <= value < limit:
        text = f'Invalid value: "": Checked value must be of type integer with format {form} in {path}'
        return [Cause("FieldValueInvalid", text, "<nil>")]
    found = []
    if "minimum" in schema:
        low = schema["minimum"]
        if schema.get("exclusiveMinimum") and value <= low:
            found.append(invalid_value(path, value, f"{path} in body should be greater than {low}"))
        elif value < low:
            found.append(
                invalid_value(path, value, f"{path} in body should be greater than or equal to {low}")
            )
    if "maximum" in schema:
        high = schema["maximum"]
        if schema.get("exclusiveMaximum") and value >= high:
            found.append(invalid_value(path, value, f"{path} in body should be less than {high}"))
        elif value > high:
            found.append(invalid_value(path, value, f"{path} in body should be less than or equal to {high}"))
    if "multipleOf" in schema and value % schema["multipleOf"]:
        found.append(
            invalid_value(path, value, f"{path} in body should be a multiple of {schema['multipleOf']}")
        )
    return found


def _too_many(path: str, count: int, most: int) -> Cause:
    items = "item" if most == 1 else "items"
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {most} {items}", path)


def item_key(schema: Schema, item: Any) -> tuple[Any, ...] | None:
    """What identifies an item of a list of type map."""
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(item, dict):
        return None
    return tuple(item.get(key) for key in schema.get("x-kubernetes-list-map-keys", ()))


def old_items(schema: Schema, old: Any) -> dict[Any, Any]:
    """The old items of a list of type map, by their keys."""
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return {}
    return {str(item_key(schema, item)): item for item in old}


def _check_list(value: list[Any], schema: Schema, path: str, old: Any) -> list[Cause]:
    found = []
    if len(value) > schema.get("maxItems", len(value)):
        found.append(_too_many(path, len(value), schema["maxItems"]))
    if len(value) < schema.get("minItems", 0):
        text = f"{path} in body should have at least {schema['minItems']} items"
        found.append(invalid_value(path, len(value), text))
    before = old_items(schema, old)
    for at, item in enumerate(value):
        same = before.get(str(item_key(schema, item)), NONE) if before else NONE
        found += validate(item, schema.get("items") or {}, f"{path}[{at}]", same)
    return [*found, *_check_unique(value, schema, path)]


def _check_unique(value: list[Any], schema: Schema, path: str) -> list[Cause]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in {"set", "map"}:
        return []
    seen, found = set(), []
    for at, item in enumerate(value):
        if kind == "map":
            keys = schema.get("x-kubernetes-list-map-keys", ())
            shown = {key: item.get(key) for key in sorted(keys)} if isinstance(item, dict) else item
        else:
            shown = item
        text = go_text(shown)
        if text in seen:
            found.append(Cause("FieldValueDuplicate", f"Duplicate value: {text}", f"{path}[{at}]"))
        seen.add(text)
    return found


def _check_object(value: dict[str, Any], schema: Schema, path: str, old: Any) -> list[Cause]:
    found = []
    if len(value) > schema.get("maxProperties", len(value)):
        found.append(_too_many(path, len(value), schema["maxProperties"]))
    if len(value) < schema.get("minProperties", 0):
        text = f"{path} in body should have at least {schema['minProperties']} properties"
        found.append(invalid_value(path, len(value), text))
    found += [required(_join(path, key)) for key in schema.get("required", ()) if key not in value]
    if schema.get("x-kubernetes-embedded-resource"):
        found += [required(_join(path, key)) for key in ("apiVersion", "kind") if not value.get(key)]
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for key, item in value.items():
        child = properties.get(key, extra if isinstance(extra, dict) else None)
        if child is None:
            continue
        before = old[key] if isinstance(old, dict) and key in old else NONE
        found += validate(item, child, _join(path, key), before)
    return found


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _check_combined(value: Any, schema: Schema, path: str) -> list[Cause]:
    found: list[Cause] = []
    for child in schema.get("allOf", ()):
        found += validate(value, child, path)
    if "anyOf" in schema and not schema.get("x-kubernetes-int-or-string"):
        failed = [validate(value, child, path) for child in schema["anyOf"]]
        if all(failed):
            text = f'Invalid value: "": "{path}" must validate at least one schema (anyOf)'
            found += [Cause("FieldValueInvalid", text, "<nil>"), *failed[0]]
    if "oneOf" in schema:
        failed = [validate(value, child, path) for child in schema["oneOf"]]
        good = sum(not item for item in failed)
        if good != 1:
            ending = "Found none valid" if not good else f"Found {good} valid alternatives"
            text = f'Invalid value: "": "{path}" must validate one and only one schema (oneOf). {ending}'
            found.append(Cause("FieldValueInvalid", text, "<nil>"))
            found += failed[0] if not good else []
    if "not" in schema and not validate(value, schema["not"], path):
        text = f'Invalid value: "": "{path}" must not validate the schema (not)'
        found.append(Cause("FieldValueInvalid", text, "<nil>"))
    return found

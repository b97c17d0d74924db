"""JSON and YAML bodies, and what the original says of those that are neither."""

import json
import re
from typing import Any

import orjson
import yaml


class DecodeError(ValueError):
    """A value that does not fit its type; the text is the decoder's."""


def parse_json(raw: bytes) -> Any:
    """JSON; raises `DecodeError` in the words of the original."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(_go_json_error(raw.decode("utf-8", "replace"))) from error


def _go_json_error(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "unexpected end of JSON input"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            return "unexpected end of JSON input"
        char = text[error.pos]
        where = (
            "looking for beginning of object key string"
            if "property name" in error.msg
            else (
                "looking for beginning of value"
                if "Expecting value" in error.msg
                else "after top-level value"
            )
        )
        return f"invalid character '{char}' {where}"
    return "unexpected end of JSON input"


class _StringKeys(yaml.CSafeLoader):  # type: ignore[misc, unused-ignore]
    """YAML whose timestamps stay text, as JSON has none."""


_StringKeys.yaml_implicit_resolvers = {
    key: [(tag, regexp) for tag, regexp in found if tag != "tag:yaml.org,2002:timestamp"]
    for key, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_StringKeys.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))
_StringKeys.add_constructor(
    "tag:yaml.org,2002:bool",
    lambda _, node: str(node.value).lower() in {"y", "yes", "true", "on"},
)


def parse_yaml(raw: bytes) -> Any:
    """YAML (or JSON); raises `DecodeError`."""
    try:
        return yaml.load(raw, Loader=_StringKeys)  # noqa: S506 a subclass of the safe loader
    except yaml.YAMLError as error:
        line = _yaml_line(error)
        problem = getattr(error, "problem", None) or str(error)
        raise DecodeError(f"error converting YAML to JSON: yaml: {line}{problem}") from error


def _yaml_line(error: yaml.YAMLError) -> str:
    """Where the parser gave up, counted as the original counts: the context's line, from 0 but for the
    scanner."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return ""
    lines = [mark.line for mark in (error.context_mark, error.problem_mark) if mark is not None and mark.line]
    if not lines:
        return ""
    return f"line {lines[0] + isinstance(error, yaml.scanner.ScannerError)}: "


def duplicates(raw: bytes) -> list[str]:
    """The paths of members that occur twice in JSON text."""
    found: list[str] = []

    class Members(list[tuple[str, Any]]):
        """An object's members as they stand."""

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Members):
            seen: set[str] = set()
            for key, item in value:
                below = f"{path}.{key}" if path else key
                if key in seen and below not in found:
                    found.append(below)
                seen.add(key)
                walk(item, below)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                walk(item, f"{path}[{at}]")

    try:
        walk(json.loads(raw, object_pairs_hook=Members), "")
    except ValueError:
        return []
    return found


def json_kind(value: Any) -> str:
    """The name of a JSON value's kind."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"

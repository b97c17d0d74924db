"""Tables: the columns that kubectl prints."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from rollout.sandbox.apiserver.ages import age
from rollout.sandbox.apiserver.kinds.columns import COLUMNS, GENERIC, describe
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Column, Served

NAME_COLUMN = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": describe("name"),
    "priority": 0,
}


def definitions(served: Served) -> list[Object]:
    """The column definitions of a kind."""
    if served.custom is not None:
        return [NAME_COLUMN, *(_definition(column) for column in served.custom.columns)]
    columns = COLUMNS.get((served.group, served.kind), GENERIC)
    return [NAME_COLUMN, *(column.definition() for column in columns)]


def _definition(column: Column) -> Object:
    text = column.description or f"Custom resource definition column (in JSONPath format): {column.path}"
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": text,
        "priority": column.priority,
    }


def cells(served: Served, obj: Object) -> list[Any]:
    """The cells of an object's row."""
    name = obj["metadata"]["name"]
    if served.custom is not None:
        return [name, *(custom_cell(column, obj) for column in served.custom.columns)]
    columns = COLUMNS.get((served.group, served.kind), GENERIC)
    return [name, *(column.cell(obj) for column in columns)]


def custom_cell(column: Column, obj: Object) -> Any:
    """A custom column's value, in the type it declares."""
    found = json_path(obj, column.path)
    if not found:
        return None
    value = found[0]
    if column.type == "date":
        return age(str(value)) if value is not None else "<unknown>"
    if value is None:
        return None
    match column.type:
        case "integer":
            return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case _:
            return text(value)


def text(value: Any) -> str:
    """A value as the printer writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    return str(value)


STEP = re.compile(
    r"\.([A-Za-z0-9_\-]+|\*)|\[(\*|-?\d+|'[^']*'|\"[^\"]*\"|\?\([^]]*\))\]|\.((?:[A-Za-z0-9_\-]|\\\.)+)"
)


def json_path(obj: Any, path: str) -> list[Any]:
    """The values at a JSONPath of the kind that printer columns use."""
    held = [obj]
    if "\\." in path:
        return _escaped(held, path)
    for matched in STEP.finditer(path):
        field, index = matched.group(1), matched.group(2)
        held = _step(held, field, index)
    return held


def _escaped(held: list[Any], path: str) -> list[Any]:
    for part in re.split(r"(?<!\\)\.", path.lstrip(".")):
        held = _step(held, part.replace("\\.", "."), None)
    return held


def _step(held: list[Any], field: str | None, index: str | None) -> list[Any]:
    if field is not None and field != "*":
        return [item[field] for item in held if isinstance(item, dict) and field in item]
    if field == "*" or index == "*":
        return [value for item in held for value in _values(item)]
    assert index is not None
    if index[0] in "'\"":
        return _step(held, index[1:-1], None)
    if index[0] == "?":
        accept = _condition(index)
        return [value for item in held for value in _values(item) if accept(value)]
    at = int(index)
    return [item[at] for item in held if isinstance(item, list) and -len(item) <= at < len(item)]


def _values(item: Any) -> Sequence[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _condition(text_: str) -> Callable[[Any], bool]:
    matched = re.fullmatch(r"\?\(\s*@\.([\w.\-]+)\s*(==|!=)\s*(\"[^\"]*\"|'[^']*'|\S+)\s*\)", text_)
    if matched is None:
        return lambda _: False
    path, operator, literal = matched.groups()
    wanted = literal[1:-1] if literal[0] in "'\"" else literal
    return lambda item: any((text(v) == wanted) is (operator == "==") for v in json_path(item, "." + path))


def row(served: Served, obj: Object, include: str) -> Object:
    """A table's row; `include` is `None`, `Metadata` or `Object`."""
    match include:
        case "None":
            shown: Any = None
        case "Object":
            shown = obj
        case _:
            shown = partial(obj)
    return {"cells": cells(served, obj), "object": shown}


def partial(obj: Object, version: str = "v1") -> Object:
    """An object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }


def table(served: Served, objects: list[Object], meta: Object, include: str) -> Object:
    """The Table of a list."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions(served),
        "rows": [row(served, obj, include) for obj in objects],
    }

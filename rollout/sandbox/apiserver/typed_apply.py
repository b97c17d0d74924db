"""What server-side apply checks of a configuration before it merges it."""

from typing import Any, Protocol

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.ownership import granular, list_step, readable
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served
from rollout.sandbox.apiserver.shape import ANY, Shape


class Named(Protocol):
    """Something with a namespace and a name."""

    @property
    def namespace(self) -> str | None:
        """Its namespace."""

    @property
    def name(self) -> str:
        """Its name."""


def owned_part(served: Served, config: Object, subresource: str) -> Object:
    """The part of a configuration that the path writes: all but status, or status alone."""
    if subresource == "status":
        meta = {
            k: v
            for k, v in config["metadata"].items()
            if k in {"name", "namespace", "uid", "resourceVersion"}
        }
        kept = {"apiVersion": config["apiVersion"], "kind": config["kind"], "metadata": meta}
        return kept | ({"status": config["status"]} if "status" in config else {})
    if served.has_status:
        return {key: value for key, value in config.items() if key != "status"}
    return config


def check(served: Served, config: Object, target: Named) -> None:
    """Raise 500, as the original does, where the configuration does not fit the schema."""
    problems: list[str] = []
    _check(config, served.shape, (), problems, builtin=served.custom is None)
    if not problems:
        return
    group, version = served.group, served.name.resource.version
    where = (
        f"({config['metadata'].get('namespace', '')}/{target.name}; {group}/{version}, Kind={served.kind})"
    )
    text = (
        problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {problem}" for problem in problems)
    )
    raise ApiError(500, "", f"failed to create typed patch object {where}: {text}")


def _check(value: Any, shape: Shape, path: tuple[str, ...], problems: list[str], *, builtin: bool) -> None:
    if value is None or shape.int_or_string:
        return
    at = readable(path)
    if isinstance(value, dict) and shape.type in {"object", ""}:
        for key, item in value.items():
            child = shape.child(key)
            if child is None:
                if not shape.free and (shape.properties or shape.type == "object"):
                    problems.append(f"{at}.{key}: field not declared in schema")
                continue
            _check(item, child, (*path, f"f:{key}"), problems, builtin=builtin)
        return
    if isinstance(value, list) and shape.type in {"array", ""}:
        _check_list(value, shape, path, problems, builtin=builtin)
        return
    wanted = {
        "object": "map",
        "array": "list",
        "integer": "numeric (int or float)",
        "number": "numeric (int or float)",
    }
    fits = {
        "string": isinstance(value, str) or shape.name in {"Quantity", "IntOrString"},
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, (int, float)) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
    }
    if shape.type and not fits.get(shape.type, True):
        problems.append(f"{at}: expected {wanted.get(shape.type, shape.type)}, got {_go_value(value, shape)}")


def _check_list(
    value: list[Any], shape: Shape, path: tuple[str, ...], problems: list[str], *, builtin: bool
) -> None:
    seen: set[str] = set()
    for index, item in enumerate(value):
        if granular(shape, value) and shape.list_type == "map" and isinstance(item, dict):
            missing = [key for key in shape.map_keys if key not in item and key not in shape.key_defaults]
            optional = {"protocol"} if builtin else set()
            if set(missing) - optional:
                keys = [key for key in missing if key not in optional]
                text = (
                    f'associative list with keys has an element that omits key field "{keys[0]}" '
                    "(and doesn't have default value)"
                )
                problems.append(f"{readable(path)}: element {index}: {text}")
                continue
        step = list_step(shape, item, index)
        if step in seen:
            problems.append(f"{readable(path)}: duplicate entries for key {readable((step,))}")
        seen.add(step)
        _check(item, shape.items or ANY, (*path, step), problems, builtin=builtin)


def _go_value(value: Any, shape: Shape) -> str:
    if shape.type in {"integer", "number"}:
        return {str: "string", bool: "boolean"}.get(type(value), "map" if isinstance(value, dict) else "list")
    if isinstance(value, (dict, list)):
        inner = " ".join(str(item) for item in value)
        return "&{[" + inner + "]}" if isinstance(value, list) else "map"
    shown = str(value).lower() if isinstance(value, bool) else value
    return "&value.valueUnstructured{Value:" + (f'"{shown}"' if isinstance(value, str) else str(shown)) + "}"

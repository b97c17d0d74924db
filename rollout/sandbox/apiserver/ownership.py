"""Field ownership: sets of paths, their `fieldsV1` form, and what differs between two objects.

A path is a tuple of steps as `fieldsV1` writes them: `f:name`, `k:{"name":"c"}`, `v:"x"`, `i:0`.
The rules are those of structured-merge-diff (sigs.k8s.io, v4 and later).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.shape import ANY, Shape

Path = tuple[str, ...]
Paths = frozenset[Path]


def to_fields_v1(paths: Iterable[Path]) -> Object:
    """The nested form; `.` marks a node that is itself owned and has owned children."""
    tree: Object = {}
    members: set[Path] = set(paths)
    for path in sorted(members):
        node = tree
        for depth, step in enumerate(path):
            if step not in node:
                node[step] = {}
                if path[: depth + 1] in members and depth + 1 < len(path):
                    node[step]["."] = {}
            elif depth + 1 < len(path) and path[: depth + 1] in members and "." not in node[step]:
                node[step]["."] = {}
            node = node[step]
    return tree


def from_fields_v1(tree: Object, prefix: Path = ()) -> set[Path]:
    """The paths of the nested form."""
    found: set[Path] = set()
    for step, node in tree.items():
        if step == ".":
            found.add(prefix)
            continue
        path = (*prefix, step)
        if not node:
            found.add(path)
        else:
            found |= from_fields_v1(node, path)
    return found


def list_step(shape: Shape, item: Any, index: int) -> str:
    """The step that names an item of a list that is not atomic."""
    if shape.list_type == "map" and isinstance(item, dict):
        keys = {key: item.get(key, shape.key_defaults.get(key)) for key in sorted(shape.map_keys)}
        present = {key: value for key, value in keys.items() if value is not None}
        return "k:" + orjson.dumps(present).decode()
    if shape.list_type == "set":
        return "v:" + orjson.dumps(item).decode()
    return f"i:{index}"


def granular(shape: Shape, value: Any) -> bool:
    """Whether ownership goes below this value."""
    if isinstance(value, dict):
        return (
            not shape.atomic_map
            and not shape.int_or_string
            and shape.name not in {"Time", "Quantity", "FieldsV1", "JSON"}
        )
    if isinstance(value, list):
        return shape.list_type in {"map", "set"}
    return False


def children(shape: Shape, value: Any) -> list[tuple[str, Any, Shape]]:
    """Step, value and shape of each child."""
    if isinstance(value, dict):
        return [(f"f:{key}", item, shape.child(key) or ANY) for key, item in value.items()]
    return [(list_step(shape, item, at), item, shape.items or ANY) for at, item in enumerate(value)]


def field_set(value: Any, shape: Shape, path: Path = (), found: set[Path] | None = None) -> set[Path]:
    """The leaves of an applied object: what its manager owns."""
    found = set() if found is None else found
    if not granular(shape, value) or value == {}:
        if path:
            found.add(path)
        return found
    for step, item, child in children(shape, value):
        below = (*path, step)
        if isinstance(value, list) or (isinstance(value, dict) and step[2:] not in shape.properties):
            found.add(below)
        field_set(item, child, below, found)
    return found


@dataclass(slots=True)
class Difference:
    """The paths that one object has and the other has not, or has otherwise."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


_ABSENT: Any = object()


def compare(old: Any, new: Any, shape: Shape) -> Difference:
    """What changed from `old` to `new`."""
    found = Difference()
    _compare(old, new, shape, (), found)
    return found


def _compare(old: Any, new: Any, shape: Shape, path: Path, found: Difference) -> None:
    if old is new or (old is not _ABSENT and new is not _ABSENT and old == new and type(old) is type(new)):
        return
    old_deep = old is not _ABSENT and granular(shape, old)
    new_deep = new is not _ABSENT and granular(shape, new)
    deep = (old_deep or old is _ABSENT or old is None) and (new_deep or new is _ABSENT or new is None)
    if deep and (old_deep or new_deep) and ((old_deep and old) or (new_deep and new)):
        _compare_children(old if old_deep else (), new if new_deep else (), shape, path, found)
        if old is _ABSENT:
            found.added.add(path)
        elif new is _ABSENT:
            found.removed.add(path)
        return
    if old is _ABSENT:
        found.added.add(path)
    elif new is _ABSENT:
        found.removed.add(path)
    else:
        found.modified.add(path)


def _compare_children(old: Any, new: Any, shape: Shape, path: Path, found: Difference) -> None:
    before = {step: (item, child) for step, item, child in children(shape, old)}
    after = {step: (item, child) for step, item, child in children(shape, new)}
    for step, (item, child) in after.items():
        _compare(before.get(step, (_ABSENT,))[0], item, child, (*path, step), found)
    for step, (item, child) in before.items():
        if step not in after:
            _compare(item, _ABSENT, child, (*path, step), found)


def readable(path: Path) -> str:
    """A path as messages write it: `.spec.containers[name="c"].image`."""
    parts = []
    for step in path:
        kind, rest = step[0], step[2:]
        if kind == "f":
            parts.append(f".{rest}")
        elif kind == "k":
            keys = orjson.loads(rest)
            parts.append(
                "[" + ",".join(f"{key}={orjson.dumps(keys[key]).decode()}" for key in sorted(keys)) + "]"
            )
        elif kind == "v":
            parts.append(f"[={rest}]")
        else:
            parts.append(f"[{rest}]")
    return "".join(parts)

"""`metadata.managedFields`: who owns what, by updates and by server-side apply."""

from dataclasses import dataclass, replace
from typing import Any

from rollout.sandbox.apiserver.errors import ApiError, Cause
from rollout.sandbox.apiserver.ownership import (
    Path,
    children,
    compare,
    field_set,
    from_fields_v1,
    granular,
    list_step,
    readable,
    to_fields_v1,
)
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.shape import ANY, Shape

STRIPPED: frozenset[Path] = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
    ]
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One manager's claim."""

    manager: str
    operation: str
    version: str
    subresource: str
    time: str | None
    paths: frozenset[Path]

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Claims of the same identity are one."""
        return (self.manager, self.operation, self.version, self.subresource)

    def as_json(self) -> Object:
        """The entry of `managedFields`."""
        found: Object = {"manager": self.manager, "operation": self.operation, "apiVersion": self.version}
        if self.time:
            found["time"] = self.time
        found |= {"fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(self.paths)}
        if self.subresource:
            found["subresource"] = self.subresource
        return found


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: a name, the version written in, the subresource written through, and when."""

    name: str
    version: str
    subresource: str
    now: str


def read(obj: Object) -> list[Entry]:
    """The claims of an object; those that can't be read are dropped."""
    found = []
    for item in (obj.get("metadata") or {}).get("managedFields") or ():
        paths = frozenset(from_fields_v1(item.get("fieldsV1") or {}))
        found.append(
            Entry(
                item.get("manager", ""),
                item.get("operation", "Update"),
                item.get("apiVersion", ""),
                item.get("subresource", ""),
                item.get("time"),
                paths,
            )
        )
    return found


def write(obj: Object, entries: list[Entry]) -> None:
    """Set the claims, applied ones first, then by time and name."""
    kept = [entry for entry in entries if entry.paths]
    kept.sort(key=lambda e: (e.operation != "Apply", e.time or "", e.manager))
    if kept:
        obj["metadata"]["managedFields"] = [entry.as_json() for entry in kept]
    else:
        obj["metadata"].pop("managedFields", None)


def same(one: Object, other: Object) -> bool:
    """Whether two objects differ at most in the times of their claims."""
    if one == other:
        return True
    return bare(one) == bare(other) and _untimed(one) == _untimed(other)


def _untimed(obj: Object) -> list[Object]:
    held = obj["metadata"].get("managedFields") or ()
    found = [{key: value for key, value in item.items() if key != "time"} for item in held]
    return sorted(found, key=lambda item: (item["manager"], item["operation"], item.get("subresource", "")))


def bare(obj: Object) -> Object:
    """The object without its claims."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _yield_fields(
    entries: list[Entry], mine: tuple[str, str, str, str], taken: set[Path], gone: set[Path]
) -> list[Entry]:
    lost = taken | gone
    return [
        replace(entry, paths=entry.paths - (gone if entry.identity == mine else lost)) if lost else entry
        for entry in entries
    ]


def updated(old: Object, new: Object, entries: list[Entry], shape: Shape, manager: Manager) -> list[Entry]:
    """The claims after an update (create, PUT or patch) from `old` to `new`."""
    found = compare(bare(old), bare(new), shape)
    changed = found.added | found.modified
    if not changed and not found.removed:
        return entries
    entries = _yield_fields(entries, ("", "", "", ""), changed, found.removed)
    own = frozenset(path for path in changed if path and path not in STRIPPED)
    if not own:
        return entries
    identity = (manager.name, "Update", manager.version, manager.subresource)
    held = next((entry for entry in entries if entry.identity == identity), None)
    mine = Entry(*identity, time=manager.now, paths=own | (held.paths if held else frozenset()))
    return [entry for entry in entries if entry.identity != identity] + [mine]


def merge(live: Any, config: Any, shape: Shape) -> Any:
    """`live` with what `config` says, by the list and map types of the shape."""
    if not granular(shape, config) or not isinstance(live, type(config)):
        return config
    if isinstance(config, dict):
        result = dict(live)
        for key, value in config.items():
            result[key] = merge(live[key], value, shape.child(key) or ANY) if key in live else value
        return result
    return _merge_list(live, config, shape)


def _merge_list(live: list[Any], config: list[Any], shape: Shape) -> list[Any]:
    """Applied items in their order; live items keep their place before the next applied one they preceded."""
    wanted = {list_step(shape, item, at): item for at, item in enumerate(config)}
    held = {list_step(shape, item, at): item for at, item in enumerate(live)}
    result: list[Any] = []
    pending = list(wanted)
    for step, item in held.items():
        if step not in wanted:
            result.append(item)
            continue
        while pending and step in pending:
            first = pending.pop(0)
            old = held.get(first)
            result.append(wanted[first] if old is None else merge(old, wanted[first], shape.items or ANY))
    result += [
        wanted[step] if step not in held else merge(held[step], wanted[step], shape.items or ANY)
        for step in pending
    ]
    return result


def prune(value: Any, shape: Shape, dropped: set[Path], kept: set[Path], path: Path = ()) -> Any:
    """`value` without the paths in `dropped` that nobody in `kept` still owns; `kept` holds every prefix
    too."""
    if not granular(shape, value):
        return value
    prefixes = {p[: len(path) + 1] for p in dropped if len(p) > len(path) and p[: len(path)] == path}
    if not prefixes:
        return value
    survivors = []
    for step, item, child in children(shape, value):
        below = (*path, step)
        if below not in prefixes:
            survivors.append((step, item))
            continue
        pruned = prune(item, child, dropped, kept, below)
        if below in kept or (
            granular(child, pruned)
            and pruned
            and isinstance(pruned, (dict, list))
            and not _only_keys(pruned, shape)
        ):
            survivors.append((step, pruned))
    if isinstance(value, dict):
        return {step[2:]: item for step, item in survivors}
    return [item for _, item in survivors]


def _only_keys(item: Any, shape: Shape) -> bool:
    return isinstance(item, dict) and shape.list_type == "map" and set(item) <= set(shape.map_keys)


def _prefixes(paths: set[Path]) -> set[Path]:
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


def applied(
    live: Object, config: Object, entries: list[Entry], shape: Shape, manager: Manager
) -> tuple[Object, list[Entry]]:
    """Merge `config` into `live`: the new object and the claims with the manager's own (see `settle`)."""
    identity = (manager.name, "Apply", manager.version, manager.subresource)
    own = frozenset(path for path in field_set(config, shape) if path not in STRIPPED)
    last = next((entry for entry in entries if entry.identity == identity), None)
    merged: Object = merge(live, config, shape)
    others = [entry for entry in entries if entry.identity != identity]
    if last is not None:
        dropped = set(last.paths - own)
        still = set(own).union(*(entry.paths for entry in others))
        merged = prune(merged, shape, dropped, _prefixes(still)) if dropped else merged
    return merged, [*others, Entry(*identity, time=last.time if last else None, paths=own)]


def settle(
    live: Object, new: Object, entries: list[Entry], shape: Shape, manager: Manager, *, force: bool
) -> list[Entry]:
    """The claims after an apply made `new` of `live`; raises 409 where another manager owns what changed."""
    identity = (manager.name, "Apply", manager.version, manager.subresource)
    found = compare(bare(live), bare(new), shape)
    changed = {path for path in found.added | found.modified if path}
    if not force:
        refuse_conflicts([entry for entry in entries if entry.identity != identity], changed)
    if not changed and not found.removed:
        return entries
    entries = _yield_fields(entries, identity, changed, found.removed)
    return [replace(entry, time=manager.now) if entry.identity == identity else entry for entry in entries]


def retold(entry: Entry, version: str, paths: set[Path]) -> Entry:
    """A claim as another version of the object would tell it."""
    return replace(entry, version=version, paths=frozenset(paths))


def without(entry: Entry, paths: set[Path]) -> Entry:
    """A claim less some paths."""
    return replace(entry, paths=entry.paths - paths)


def refuse_conflicts(entries: list[Entry], changed: set[Path]) -> None:
    """Raise 409 naming each manager and field."""
    conflicts = [
        (entry, sorted(entry.paths & changed, key=readable)) for entry in entries if entry.paths & changed
    ]
    if not conflicts:
        return
    conflicts.sort(key=lambda item: _who(item[0]))
    pairs = sorted(((readable(path), _who(entry)) for entry, paths in conflicts for path in paths))
    causes = [Cause("FieldManagerConflict", f"conflict with {who}", path).as_json() for path, who in pairs]
    count = len(pairs)
    if count == 1:
        text = f"conflict with {pairs[0][1]}: {pairs[0][0]}"
    else:
        text = "\n".join(
            f"conflicts with {_who(entry)}:\n" + "\n".join(f"- {readable(path)}" for path in paths)
            for entry, paths in conflicts
        )
    plural = "" if count == 1 else "s"
    raise ApiError(409, "Conflict", f"Apply failed with {count} conflict{plural}: {text}", {"causes": causes})


def _who(entry: Entry) -> str:
    text = f'"{entry.manager}"'
    if entry.subresource:
        text += f' with subresource "{entry.subresource}"'
    if entry.operation == "Update":
        text += f" using {entry.version}"
    return text

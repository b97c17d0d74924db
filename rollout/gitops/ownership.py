"""Who wrote which field of an object, as its managedFields tell, and what is taken back from people. Pure.

A field that somebody added by kubectl is theirs: an apply leaves it. So it is made ours first, and the apply,
which does not name it, removes it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest

MANAGER = "rollout-git"
"""The field manager of what Git owns."""
OURS = frozenset({MANAGER, "rollout"})
BY_HAND = frozenset(
    f"kubectl-{word}"
    for word in ("client-side-apply", "create", "edit", "patch", "replace", "set", "label", "annotate")
) | {"kubectl"}
"""Managers behind which somebody sits; controllers have names of their own."""
ON_A_ROLLOUT = BY_HAND - {"kubectl-annotate", "kubectl-label"}
"""There annotations are how people speak to us."""
_INTENTS = ("progressive.delivery/", "reconcile.fluxcd.io/")

Fields = tuple[str, ...]
"""Steps as fieldsV1 writes them: ("f:metadata", "f:labels", "f:team")."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field that is not as Git says."""

    field: str
    """As people write it: `spec.template.spec.containers[name=shop].image`."""
    by: str
    """The field manager; empty where nobody claims it."""

    def __str__(self) -> str:
        """Render for an Event."""
        return f"{self.field} by {self.by or 'somebody who left no name'}"


def changes(live: Manifest, wanted: Manifest) -> tuple[Change, ...]:
    """Each field in which a live object is not what applying it would make of it, and who made it so."""
    claims = tuple(_claims(live))
    return tuple(
        Change(field, _by(claims, field)) for field in sorted(_differing(_plain(live), _plain(wanted)))
    )


def is_as_we_wrote_it(live: Manifest, change: Change) -> bool:
    """Whether our claim to a field stands: who changes it, or takes it away, ends that."""
    ours = (_text(fields) for manager, fields in _leaves(live) if manager == MANAGER)
    return any(_within(change.field, claimed) for claimed in ours)


def added(live: Manifest) -> tuple[Change, ...]:
    """Fields that people added by hand and Git does not name."""
    own = {
        fields[:depth]
        for manager, fields in _leaves(live)
        if manager == MANAGER
        for depth in range(1, len(fields) + 1)
    }
    found = {
        _text(fields): manager
        for manager, fields in _leaves(live, by_hand=True)
        if fields not in own and _ours_to_take(fields)
    }
    return tuple(Change(field, by) for field, by in sorted(found.items()))


def joined(changed: tuple[Change, ...], more: tuple[Change, ...]) -> tuple[Change, ...]:
    """Both, without a field of which a part is named already: a list without keys is claimed as a whole."""
    rest = (each for each in more if not any(_within(other.field, each.field) for other in changed))
    return (*changed, *rest)


def taken_over(live: Manifest) -> list[dict[str, Any]]:
    """The managedFields in which all that people added by hand is ours."""
    entries = [dict(each) for each in live["metadata"].get("managedFields") or ()]
    taken = [each for each in entries if _is_by_hand(live, each)]
    kept = [each for each in entries if each not in taken]
    mine = next((each for each in kept if _is_ours(each)), None)
    if mine is None:
        mine = {
            "manager": MANAGER,
            "operation": "Apply",
            "apiVersion": live["apiVersion"],
            "fieldsType": "FieldsV1",
            "fieldsV1": {},
        }
        kept.insert(0, mine)
    for each in taken:
        gained, left = _split(each.get("fieldsV1") or {})
        mine["fieldsV1"] = _joined(mine["fieldsV1"], gained)
        if left:
            kept.append({**each, "fieldsV1": left})
    return kept


def others_own(live: Manifest, fields: Fields) -> bool:
    """Whether somebody else than Git claims a field, so that leaving it out of an apply keeps it."""
    return any(manager != MANAGER and claimed[: len(fields)] == fields for manager, claimed in _leaves(live))


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == MANAGER and entry.get("operation") == "Apply"


def _is_by_hand(live: Manifest, entry: Mapping[str, Any]) -> bool:
    names = ON_A_ROLLOUT if live["kind"] == "Rollout" else BY_HAND
    return entry.get("manager") in names and not entry.get("subresource")


def _leaves(live: Manifest, *, by_hand: bool = False) -> Iterator[tuple[str, Fields]]:
    for entry in live["metadata"].get("managedFields") or ():
        if not by_hand or _is_by_hand(live, entry):
            for fields in _paths(entry.get("fieldsV1") or {}):
                yield str(entry.get("manager", "")), fields


def _paths(fields: Mapping[str, Any], at: Fields = ()) -> Iterator[Fields]:
    """Every claim without others below it."""
    for key, inner in fields.items():
        below = {name: value for name, value in inner.items() if name != "."}
        if key != "." and not below:
            yield (*at, key)
        elif key != ".":
            yield from _paths(below, (*at, key))


def _ours_to_take(fields: Fields) -> bool:
    """Not what people say to an operator, nor how many pods they want where Git says nothing."""
    if fields[:2] == ("f:metadata", "f:annotations"):
        return not any(key.removeprefix("f:").startswith(_INTENTS) for key in fields[2:3])
    return fields not in {("f:spec", "f:replicas"), ("f:metadata", "f:finalizers")} and (
        fields[0] != "f:status"
    )


def _split(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Claims that are taken, and those that stay."""
    gained: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for path in _paths(fields):
        into = gained if _ours_to_take(path) else left
        for key in path:
            into = into.setdefault(key, {})
    return gained, left


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(one)
    for key, value in other.items():
        joined[key] = _joined(joined.get(key) or {}, value)
    return joined


def _claims(live: Manifest) -> Iterator[tuple[str, str]]:
    """(field, manager), the latest claim first."""
    entries = sorted(
        live["metadata"].get("managedFields") or (), key=lambda each: str(each.get("time", "")), reverse=True
    )
    for entry in entries:
        if entry.get("manager") not in OURS:
            for fields in _paths(entry.get("fieldsV1") or {}):
                yield _text(fields), str(entry.get("manager", ""))


def _by(claims: Iterable[tuple[str, str]], field: str) -> str:
    return next(
        (manager for claimed, manager in claims if _within(field, claimed) or _within(claimed, field)), ""
    )


def _within(field: str, other: str) -> bool:
    return field == other or (field.startswith(other) and field[len(other)] in ".[")


def _text(fields: Fields) -> str:
    text = ""
    for step in fields:
        kind, _, value = step.partition(":")
        if kind == "k":
            text += f"[{_key(json.loads(value))}]"
        elif kind == "f":
            text += f".{value}" if "." not in value and "/" not in value else f"[{value}]"
        else:
            text += f"[{value}]"
    return text.removeprefix(".")


def _key(keys: Mapping[str, Any]) -> str:
    return f"name={keys['name']}" if "name" in keys else ",".join(f"{k}={v}" for k, v in keys.items())


def _differing(live: Any, wanted: Any, at: str = "") -> Iterator[str]:
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        for key in {**live, **wanted}:
            step = f".{key}" if "." not in key and "/" not in key else f"[{key}]"
            if key not in live or key not in wanted:
                yield (at + step).removeprefix(".")
            else:
                yield from _differing(live[key], wanted[key], at + step)
    elif isinstance(live, list) and isinstance(wanted, list) and (pairs := _pairs(live, wanted)):
        for step, one, other in pairs:
            if one is None or other is None:
                yield (at + step).removeprefix(".")
            else:
                yield from _differing(one, other, at + step)
    elif live != wanted:
        yield at.removeprefix(".")


def _pairs(live: list[Any], wanted: list[Any]) -> list[tuple[str, Any, Any]]:
    """Items of two lists that belong together: by name, else by place where both are as long."""
    items = [*live, *wanted]
    if items and all(isinstance(each, Mapping) and "name" in each for each in items):
        one = {each["name"]: each for each in live}
        other = {each["name"]: each for each in wanted}
        return [(f"[name={name}]", one.get(name), other.get(name)) for name in {**one, **other}]
    if len(live) != len(wanted):
        return []
    return [(f"[{index}]", *pair) for index, pair in enumerate(zip(live, wanted, strict=True))]


def _plain(manifest: Manifest) -> Mapping[str, Any]:
    left_out = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in left_out}
    return {**{key: value for key, value in manifest.items() if key != "status"}, "metadata": metadata}

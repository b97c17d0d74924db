"""What a Gateway API object's own status says about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from rollout.api.base import Manifest

_REFUSALS = (("Accepted", "False"), ("ResolvedRefs", "False"), ("PartiallyInvalid", "True"))
_PARENT_FIELDS = ("group", "kind", "namespace", "name", "sectionName", "port")


def acceptance(route: Manifest) -> tuple[bool | None, str]:
    """Whether all parents that the spec names accept this generation, references resolved; and if not, why.

    None where a parent does not say: no entry, an older generation, or no observedGeneration at all (some
    implementations never write it). A parent that is gone from the spec has no say.
    """
    generation = int(route.get("metadata", {}).get("generation", 0))
    answers = {
        _parent(route, entry.get("parentRef", {})): _answer(entry.get("conditions") or (), generation)
        for entry in route.get("status", {}).get("parents") or ()
    }
    parents = route.get("spec", {}).get("parentRefs") or ()
    asked = [answers.get(_parent(route, ref), (None, "")) for ref in parents]
    for accepted, message in asked:
        if accepted is False:
            return False, message
    return (True if asked and all(accepted for accepted, _ in asked) else None), ""


def controllers(route: Manifest) -> frozenset[str]:
    """The `controllerName` of each implementation that answers for a parent which the spec names."""
    asked = {_parent(route, ref) for ref in route.get("spec", {}).get("parentRefs") or ()}
    return frozenset(
        str(entry["controllerName"])
        for entry in route.get("status", {}).get("parents") or ()
        if entry.get("controllerName") and _parent(route, entry.get("parentRef", {})) in asked
    )


def _answer(conditions: Sequence[Mapping[str, Any]], generation: int) -> tuple[bool | None, str]:
    current = {
        each["type"]: each
        for each in conditions
        if int(each.get("observedGeneration") or 0) >= generation > 0
    }
    for kind, refused in _REFUSALS:
        condition = current.get(kind, {})
        if condition.get("status") == refused:
            return False, f"{kind}={refused}: {condition.get('reason', '')}: {condition.get('message', '')}"
    said = all(current.get(kind, {}).get("status") == "True" for kind in ("Accepted", "ResolvedRefs"))
    return (True if said else None), ""


def _parent(route: Manifest, ref: Mapping[str, Any]) -> tuple[str, ...]:
    """A parentRef with its defaults written out: spec and status need not agree on what they leave out."""
    defaults = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": route.get("metadata", {}).get("namespace", ""),
    }
    return tuple(str(ref.get(name) or defaults.get(name, "")) for name in _PARENT_FIELDS)

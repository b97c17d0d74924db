"""What Git does not decide of an object that is there: ignored fields, and replicas that are scaled. Pure."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from rollout.api.base import Manifest
from rollout.api.gitsource import Ignore
from rollout.git.manifests import Manifest as Written
from rollout.gitops import ownership

APPLY = "progressive.delivery/apply"
"""Annotation of a manifest; `ifNotPresent` creates the object and leaves it alone from then on."""
IF_NOT_PRESENT = "ifNotPresent"
REPLICAS = "/spec/replicas"
SCALED = frozenset({"Rollout", "Deployment", "StatefulSet", "ReplicaSet"})

Scaled = frozenset[tuple[str, str]]
"""(kind, name) of what autoscalers scale."""


def is_left_alone(manifest: Written, live: Manifest | None) -> bool:
    """Whether Git created it, or found it there, and wants no more."""
    return live is not None and _annotations(manifest.body).get(APPLY) == IF_NOT_PRESENT


def unknown_mode(manifest: Written) -> str:
    """What is wrong with the annotation `progressive.delivery/apply`; empty where nothing is."""
    given = _annotations(manifest.body).get(APPLY, IF_NOT_PRESENT)
    return "" if given == IF_NOT_PRESENT else f"{given!r} is not {IF_NOT_PRESENT}: correct or remove it"


def scaled(autoscalers: Iterable[Manifest]) -> Scaled:
    """What HorizontalPodAutoscalers scale."""
    refs = ((each.get("spec") or {}).get("scaleTargetRef") or {} for each in autoscalers)
    return frozenset((str(ref.get("kind", "")), str(ref.get("name", ""))) for ref in refs)


def replicas_ignored(manifest: Written, by: Scaled) -> bool:
    """Whether Git names replicas that an autoscaler decides."""
    spec = manifest.body.get("spec")
    return (manifest.kind, manifest.name) in by and isinstance(spec, Mapping) and "replicas" in spec


def with_live(
    body: Mapping[str, Any], live: Manifest | None, rules: Iterable[Ignore], by: Scaled
) -> dict[str, Any]:
    """`body` with the live value of each field that is not Git's to decide.

    A field that somebody else claims is left out, which keeps it; one that nobody does is written as it
    stands, over the resourceVersion that was read.
    """
    kept: dict[str, Any] = dict(body)
    if live is None:
        return kept
    for pointer in _pointers(body, live, rules, by):
        keys = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
        fields = tuple(f"f:{key}" for key in keys)
        kept = copy.deepcopy(kept)
        found, value = _at(live, keys)
        if not found or ownership.others_own(live, fields):
            _remove(kept, keys)
        elif _put(kept, keys, value):
            kept["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    return kept


def _pointers(
    body: Mapping[str, Any], live: Manifest, rules: Iterable[Ignore], by: Scaled
) -> tuple[str, ...]:
    kind, name = str(body["kind"]), str(body["metadata"]["name"])
    named = [
        path
        for rule in rules
        if rule.target.kind in (None, kind) and rule.target.name in (None, name)
        for path in rule.paths
    ]
    spec = body.get("spec")
    absent = kind in SCALED and isinstance(spec, Mapping) and "replicas" not in spec
    if (kind, name) in by or (absent and "replicas" in (live.get("spec") or {})):
        named.append(REPLICAS)
    return tuple(dict.fromkeys(named))


def _at(value: Any, keys: tuple[str, ...]) -> tuple[bool, Any]:
    for key in keys:
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            return False, None
    return True, value


def _remove(body: dict[str, Any], keys: tuple[str, ...]) -> None:
    found, parent = _at(body, keys[:-1])
    if found and isinstance(parent, dict):
        parent.pop(keys[-1], None)


def _put(body: dict[str, Any], keys: tuple[str, ...], value: Any) -> bool:
    """Write a value; False where Git has nothing to write it into."""
    parent: Any = body
    for key in keys[:-1]:
        if isinstance(parent, list) and key.isdecimal() and int(key) < len(parent):
            parent = parent[int(key)]
        elif isinstance(parent, dict):
            parent = parent.setdefault(key, {})
        else:
            return False
    if isinstance(parent, dict):
        parent[keys[-1]] = value
    elif isinstance(parent, list) and keys[-1].isdecimal() and int(keys[-1]) < len(parent):
        parent[int(keys[-1])] = value
    else:
        return False
    return True


def _annotations(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body["metadata"].get("annotations") or {}

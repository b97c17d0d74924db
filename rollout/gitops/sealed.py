"""Secrets that controllers make of what Git holds: a pod that needs one waits until it is made. Pure.

A canary that began earlier would be judged with the Secret of the version before.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rollout.api.base import Manifest
from rollout.git.manifests import Manifest as Written
from rollout.gitops import inventory

SEALED = ("bitnami.com", "SealedSecret")
EXTERNAL = ("external-secrets.io", "ExternalSecret")


def made_by(manifests: Iterable[Written]) -> dict[str, Written]:
    """Who makes a Secret, by the Secret's name."""
    return {_target(each.body): each for each in manifests if (each.group, each.kind) in (SEALED, EXTERNAL)}


def needed(manifest: Written, makers: Mapping[str, Written]) -> tuple[Written, ...]:
    """Those that make what pods of a workload can't start without."""
    template = (manifest.body.get("spec") or {}).get("template")
    if not makers or not isinstance(template, Mapping):
        return ()
    names = sorted(name for kind, name in inventory.needs(template) if kind == "Secret")
    return tuple(makers[name] for name in names if name in makers)


def unready(live: Manifest | None) -> str:
    """Why the Secret is not yet what the object says; empty where it is."""
    if live is None:
        return "it is not there"
    status, generation = live.get("status") or {}, live["metadata"].get("generation")
    condition = "Synced" if live["kind"] == SEALED[1] else "Ready"
    told: Mapping[str, Any] = next(
        (each for each in status.get("conditions") or () if each.get("type") == condition), {}
    )
    if not _is_current(status, generation):
        return "its controller has not come to it yet"
    if told.get("status") != "True":
        return str(told.get("message") or told.get("reason") or f"it is not {condition}")[:200]
    return ""


def _is_current(status: Mapping[str, Any], generation: object) -> bool:
    """External Secrets tells the generation that it has synced as `GENERATION-HASH`."""
    if "syncedResourceVersion" in status:
        return str(status["syncedResourceVersion"]).partition("-")[0] == str(generation)
    return bool(status.get("observedGeneration") == generation)


def _target(body: Mapping[str, Any]) -> str:
    spec = body.get("spec") or {}
    if body["kind"] == SEALED[1]:
        inner = ((spec.get("template") or {}).get("metadata") or {}).get("name")
    else:
        inner = (spec.get("target") or {}).get("name")
    return str(inner or body["metadata"]["name"])

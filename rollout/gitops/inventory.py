"""What a source has applied, what of it left Git, and what keeps it from being deleted. Pure.

Nothing is deleted on any error, nothing because all of a revision is gone, and not most of a source at once,
unless somebody approves that revision.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rollout.api.base import Manifest
from rollout.api.sourcestatus import InventoryEntry
from rollout.git.manifests import Manifest as Written
from rollout.git.revision import Revision

OWNER = "progressive.delivery/git-source"
"""Annotation of everything that is applied: the GitSource (namespace/name) that may delete it."""
PRUNE = "progressive.delivery/prune"
"""Annotation of an object; `disabled` keeps it when it leaves Git."""
APPROVED = "progressive.delivery/prune-approved"
"""Annotation of a GitSource: the commit whose deletions are meant, however many."""
NEVER = frozenset({"CustomResourceDefinition", "Namespace"})
"""Deleting one takes along what others keep in it."""
MANY = 5
"""Up to so many deletions need nobody's approval, unless they are all there is."""


def applied(manifests: Iterable[Written]) -> tuple[InventoryEntry, ...]:
    """A revision's objects as inventory, in a stable order."""
    entries = (
        InventoryEntry(api_version=each.api_version, kind=each.kind, namespace=each.namespace, name=each.name)
        for each in manifests
    )
    return tuple(sorted(entries, key=_key))


def after(before: Iterable[InventoryEntry], manifests: Iterable[Written]) -> tuple[InventoryEntry, ...]:
    """The inventory once a revision is applied: its objects, then what is no longer wanted as `stale`.

    Another API version of an object is the same object.
    """
    now = applied(manifests)
    wanted = {_key(each) for each in now}
    gone = (each for each in before if _key(each) not in wanted and each.kind not in NEVER)
    return (*now, *(each.model_copy(update={"stale": True}) for each in gone))


def joined(before: Iterable[InventoryEntry], now: Iterable[InventoryEntry]) -> tuple[InventoryEntry, ...]:
    """The inventory where a revision was applied in part: nothing of either is forgotten."""
    known = tuple(before)
    held_already = {_key(each) for each in known}
    return (*known, *(each for each in now if _key(each) not in held_already))


def held(gone: Sequence[InventoryEntry], kept: Sequence[InventoryEntry], approved: str, at: Revision) -> str:
    """Why nothing is deleted without somebody's approval; empty where that is not needed or given."""
    total = len(gone) + len(kept)
    if not gone or approved in (at.sha, str(at)) or (kept and (len(gone) <= MANY or 2 * len(gone) <= total)):
        return ""
    what = f"all {total}" if not kept else f"{len(gone)} of {total}"
    return (
        f"{what} objects would be deleted; if that is meant, annotate the GitSource with "
        f"{APPROVED}={at.sha}, else put them back"
    )


def owned(live: Manifest, source: str) -> bool:
    """Whether this source applied it last, and nobody wants to keep it."""
    annotations = live["metadata"].get("annotations") or {}
    return annotations.get(OWNER) == source and annotations.get(PRUNE) != "disabled"


def owner(live: Manifest) -> str:
    """The GitSource (namespace/name) that applied it last; empty where none did."""
    return str((live["metadata"].get("annotations") or {}).get(OWNER, ""))


def holds(source: Manifest, live: Manifest) -> bool:
    """Whether an object is in what a live GitSource applied, and has not left it."""
    metadata = live["metadata"]
    wanted = (
        live["apiVersion"].rpartition("/")[0],
        live["kind"],
        metadata.get("namespace", ""),
        metadata["name"],
    )
    entries = (source.get("status") or {}).get("inventory") or ()
    return any(
        not each.get("stale")
        and wanted
        == (each["apiVersion"].rpartition("/")[0], each["kind"], each.get("namespace", ""), each["name"])
        for each in entries
    )


def marked(body: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A manifest that says which source applies it."""
    metadata = body["metadata"]
    annotations = {**(metadata.get("annotations") or {}), OWNER: source}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def needs(template: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """(kind, name) of what pods of a template can't start without."""
    return frozenset(_needs(template.get("spec") or {}))


_SOURCES = {
    "configMapKeyRef": ("ConfigMap", "name"),
    "configMapRef": ("ConfigMap", "name"),
    "configMap": ("ConfigMap", "name"),
    "secretKeyRef": ("Secret", "name"),
    "secretRef": ("Secret", "name"),
    "secret": ("Secret", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}


def _needs(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _needs(item)
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key in _SOURCES and isinstance(inner, Mapping):
            kind, field = _SOURCES[key]
            yield kind, str(inner.get(field) or inner.get("secretName") or "")
        elif key == "serviceAccountName":
            yield "ServiceAccount", str(inner)
        elif key == "imagePullSecrets":
            yield from (("Secret", str(each.get("name", ""))) for each in inner or ())
        yield from _needs(inner)


def _key(entry: InventoryEntry) -> tuple[str, str, str, str]:
    return entry.api_version.rpartition("/")[0], entry.kind, entry.namespace, entry.name

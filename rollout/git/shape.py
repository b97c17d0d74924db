"""What a document must look like to be an object that a source of one namespace may apply."""

import re
from collections.abc import Iterator
from typing import Any

from rollout.git.documents import Path

_API_VERSION = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
SERVER_OWNED = (
    *("ownerReferences", "finalizers", "managedFields", "uid", "resourceVersion", "generateName"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "creationTimestamp", "generation", "selfLink"),
)

Complaints = Iterator[tuple[Path, str]]


def complaints(body: Any, namespace: str, cluster_scoped: frozenset[tuple[str, str]]) -> Complaints:
    """What keeps a document from being an object of this source: the field, and what to do about it."""
    if not isinstance(body, dict):
        yield (
            (),
            "a manifest is a mapping with apiVersion, kind, metadata; keep other files outside spec.path",
        )
        return
    for name, form in (("apiVersion", _API_VERSION), ("kind", _KIND)):
        given = body.get(name)
        if not isinstance(given, str) or not form.fullmatch(given):
            yield (name,), f"{name} is missing or not one; keep files that are no manifests outside spec.path"
            return
    if body["kind"].endswith("List") and isinstance(body.get("items"), list):
        yield ("kind",), f"a {body['kind']} can't be applied here: write its items as documents of their own"
        return
    if "sops" in body:
        yield ("sops",), "the file is encrypted with SOPS, which is not decrypted here"
    if body.get("status"):
        yield ("status",), "status is written by controllers: remove it"
    if not isinstance(body.get("metadata"), dict):
        yield ("metadata",), "metadata with a name is missing"
        return
    in_cluster = (body["apiVersion"].rpartition("/")[0], body["kind"]) in cluster_scoped
    yield from _of_metadata(body["metadata"], "" if in_cluster else namespace)


def _of_metadata(metadata: dict[str, Any], namespace: str) -> Complaints:
    for owned in SERVER_OWNED:
        if metadata.get(owned):
            yield ("metadata", owned), f"metadata.{owned} is the API server's or another owner's: remove it"
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        yield ("metadata", "name"), "metadata.name is missing or not text (quote it if it is a number)"
    elif name in {".", ".."} or "/" in name or "%" in name or len(name) > 253:
        yield ("metadata", "name"), f"metadata.name: {name[:80]!r} is not a name"
    given = metadata.get("namespace")
    if given is not None and given != namespace:
        place = f"namespace {namespace!r}" if namespace else "no namespace, being cluster-scoped"
        found = str(given)[:80]
        yield ("metadata", "namespace"), f"this source applies to {place}, not to {found!r}: remove it"

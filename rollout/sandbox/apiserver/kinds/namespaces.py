"""Namespaces."""

from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.resource import Object

NAME = "kubernetes.io/metadata.name"


def prepare(new: Object, old: Object | None) -> None:
    """The name as a label; the finalizer that the namespace controller takes off."""
    meta = new["metadata"]
    if meta.get("name"):
        meta["labels"] = {**(meta.get("labels") or {}), NAME: meta["name"]}
    if old is None:
        new["spec"] = {"finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}
    elif "finalizers" in (old.get("spec") or {}):
        new["spec"] = {**(new.get("spec") or {}), "finalizers": old["spec"]["finalizers"]}


def name_problems(value: str) -> list[str]:
    """What is wrong with a namespace's name."""
    return [problem.replace("63 bytes", "63 bytes") for problem in names.label(value)]

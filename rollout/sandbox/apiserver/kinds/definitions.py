"""CustomResourceDefinitions: defaults, and the status that belongs to the server."""

from rollout.sandbox.apiserver.resource import Object, copied


def default(obj: Object) -> None:
    """Names and conversion."""
    spec = obj["spec"] = obj.get("spec") or {}
    names = spec.setdefault("names", {})
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
    spec.setdefault("conversion", {"strategy": "None"})


def prepare(new: Object, old: Object | None) -> None:
    """Stored versions; conditions follow once the definition is served."""
    versions = (new.get("spec") or {}).get("versions") or ()
    stored = [version.get("name", "") for version in versions if version.get("storage")]
    if old is None:
        accepted = {"plural": "", "kind": ""}
        new["status"] = {"conditions": None, "acceptedNames": accepted, "storedVersions": stored}
        return
    new["status"] = copied(old.get("status") or {})
    held = new["status"].setdefault("storedVersions", [])
    held += [name for name in stored if name not in held]

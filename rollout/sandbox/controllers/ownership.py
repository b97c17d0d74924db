"""Controller references and label selectors, as every controller of pods needs them."""

from rollout.sandbox.apiserver.resource import Object


def controller_of(obj: Object) -> Object | None:
    """The owner reference that controls an object."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((ref for ref in owners if ref.get("controller")), None)


def controller_ref(owner: Object, api_version: str, kind: str) -> Object:
    """The owner reference by which `owner` controls what it makes."""
    meta = owner["metadata"]
    ref = {"apiVersion": api_version, "kind": kind, "name": meta["name"], "uid": meta["uid"]}
    return ref | {"controller": True, "blockOwnerDeletion": True}


def deleting(obj: Object) -> bool:
    """Whether an object is on its way out."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def matches(selector: Object | None, labels: Object | None) -> bool:
    """Whether labels satisfy a LabelSelector; an absent selector selects nothing, an empty one everything."""
    if selector is None:
        return False
    labels = labels or {}
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(k) != v for k, v in wanted.items()):
        return False
    return all(_holds(requirement, labels) for requirement in selector.get("matchExpressions") or ())


def as_query(match_labels: Object | None) -> str:
    """The label selector of a list request for `matchLabels`."""
    return ",".join(f"{name}={value}" for name, value in (match_labels or {}).items())


def _holds(requirement: Object, labels: Object) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values") or ()
    match requirement["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None

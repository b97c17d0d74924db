"""The scale subresource of workloads and custom resources."""

from typing import Any

from rollout.sandbox.apiserver import patches
from rollout.sandbox.apiserver.errors import ApiError, Cause, bad_request, invalid
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Write
from rollout.sandbox.apiserver.store import Stored
from rollout.sandbox.apiserver.writes import MODIFIED, Target, Writer

BUILT_IN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def _at(obj: Any, path: str) -> Any:
    for key in path.strip(".").split("."):
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def _with(obj: Object, path: str, value: Any) -> Object:
    key, _, rest = path.strip(".").partition(".")
    return {**obj, key: _with(obj.get(key) or {}, rest, value) if rest else value}


def _paths(target: Target) -> dict[str, str]:
    if target.served.custom is None:
        return BUILT_IN
    return target.served.custom.scale or {}


def read(target: Target, obj: Object) -> Object:
    """The Scale of an object."""
    paths, meta = _paths(target), obj["metadata"]
    kept = {
        key: meta[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in meta
    }
    wanted = _at(obj, paths["specReplicasPath"])
    spec = {"replicas": wanted} if wanted else {}
    status: Object = {"replicas": _at(obj, paths["statusReplicasPath"]) or 0}
    if selector := _selector(target, obj, paths):
        status["selector"] = selector
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def _selector(target: Target, obj: Object, paths: dict[str, str]) -> str:
    if target.served.custom is not None:
        path = paths.get("labelSelectorPath")
        return _at(obj, path) or "" if path else ""
    selector = obj["spec"].get("selector") or {}
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for item in selector.get("matchExpressions") or ():
        terms.append(_expression(item))
    return ",".join(terms)


def _expression(item: Object) -> str:
    key, values = item["key"], ",".join(sorted(item.get("values") or ()))
    match item["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return str(key)
        case _:
            return f"!{key}"


def update(writer: Writer, target: Target, body: Any, write: Write) -> Object:
    """PUT of a Scale."""
    if not isinstance(body, dict) or body.get("kind") != "Scale":
        kind = body.get("kind") if isinstance(body, dict) else body
        raise bad_request(f"expected a Scale, got {kind}")
    return _write(writer, target, writer.current(target), body, write)


def patch(writer: Writer, target: Target, body: Any, content_type: str, write: Write) -> Object:
    """PATCH of a Scale."""
    current = writer.current(target)
    scale = read(target, current.obj)
    match content_type:
        case "application/json-patch+json":
            patched = patches.json_patch(scale, body)
        case _:
            patched = patches.merge_patch(scale, body)
    return _write(writer, target, current, patched, write)


def _write(writer: Writer, target: Target, current: Stored, scale: Object, write: Write) -> Object:
    served = target.served
    wanted = (scale.get("spec") or {}).get("replicas") or 0
    name = (scale.get("metadata") or {}).get("name")
    if name and name != target.name:
        raise bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )
    if not isinstance(wanted, int) or wanted < 0:
        text = f"Invalid value: {wanted}: must be greater than or equal to 0"
        raise invalid(
            "autoscaling", "Scale", target.name, [Cause("FieldValueInvalid", text, "spec.replicas")]
        )
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version and version != current.obj["metadata"]["resourceVersion"]:
        from rollout.sandbox.apiserver.errors import conflict

        raise conflict(served.group, served.plural, target.name, MODIFIED)
    obj = _with(current.obj, _paths(target)["specReplicasPath"], wanted)
    obj["metadata"] = dict(obj["metadata"])
    whole = Target(served, target.namespace, target.name)
    written = writer._update(whole, current, obj, write)
    return read(target, written)


__all__ = ["ApiError", "patch", "read", "update"]

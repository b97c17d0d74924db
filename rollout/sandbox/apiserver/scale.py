"""The scale subresource of workloads and custom resources."""

from typing import Any

from rollout.sandbox.apiserver import managed, metadata, patches
from rollout.sandbox.apiserver.errors import ApiError, Cause, bad_request, conflict, invalid
from rollout.sandbox.apiserver.ownership import Path
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Write
from rollout.sandbox.apiserver.store import Stored
from rollout.sandbox.apiserver.target import Target
from rollout.sandbox.apiserver.writes import MODIFIED, Writer

BUILT_IN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


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
    """The Scale of an object; 500 where a custom resource has no replicas."""
    paths, meta = _paths(target), obj["metadata"]
    wanted = _at(obj, paths["specReplicasPath"])
    if wanted is None and target.served.custom is not None:
        text = f'the spec replicas field "{paths["specReplicasPath"]}" does not exist'
        raise ApiError(
            500, "InternalError", f"Internal error occurred: {text}", {"causes": [{"message": text}]}
        )
    status: Object = {"replicas": _at(obj, paths["statusReplicasPath"]) or 0}
    if selector := _selector(target, obj, paths):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in META if key in meta},
        "spec": {"replicas": wanted} if wanted else {},
        "status": status,
    }


def _selector(target: Target, obj: Object, paths: dict[str, str]) -> str:
    if target.served.custom is not None:
        path = paths.get("labelSelectorPath")
        return _at(obj, path) or "" if path else ""
    selector = obj["spec"].get("selector") or {}
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    terms += [_expression(item) for item in selector.get("matchExpressions") or ()]
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
        raise bad_request(
            "no kind is registered for the type v1.Scale in scheme "
            '"pkg/apiserver/customresource_handler.go:781"'
        )
    return _write(writer, target, writer.current(target), body, write)


def patch(writer: Writer, target: Target, body: Any, content_type: str, write: Write) -> Object:
    """PATCH of a Scale, of any patch type."""
    current = writer.current(target)
    if content_type == "application/apply-patch+yaml":
        return _apply(writer, target, current, body, write)
    scale = _lenient(target, current.obj)
    if content_type == "application/json-patch+json":
        return _write(writer, target, current, patches.json_patch(scale, body), write)
    return _write(writer, target, current, patches.merge_patch(scale, body), write)


def _lenient(target: Target, obj: Object) -> Object:
    if _at(obj, _paths(target)["specReplicasPath"]) is None:
        obj = _with(obj, _paths(target)["specReplicasPath"], 0)
    return read(target, obj)


def _owned(target: Target) -> Path:
    return tuple(f"f:{key}" for key in _paths(target)["specReplicasPath"].strip(".").split("."))


def _apply(writer: Writer, target: Target, current: Stored, body: Any, write: Write) -> Object:
    """Server-side apply of `spec.replicas`, against whoever owns it."""
    spec = body.get("spec") if isinstance(body, dict) else None
    wanted = spec.get("replicas") if isinstance(spec, dict) else None
    path = _owned(target)
    stamp = metadata.now()
    manager = managed.Manager(write.manager, target.served.api_version, "scale", stamp)
    identity = (manager.name, "Apply", manager.version, manager.subresource)
    entries = [entry for entry in managed.read(current.obj) if entry.identity != identity]
    if wanted != _at(current.obj, ".".join(step[2:] for step in path)):
        if not write.force:
            shown = [
                managed.retold(entry, "autoscaling/v1", {("f:spec", "f:replicas")})
                for entry in entries
                if path in entry.paths
            ]
            managed.refuse_conflicts(shown, {("f:spec", "f:replicas")})
        entries = [managed.without(entry, {path}) for entry in entries]
    entries.append(managed.Entry(*identity, time=stamp, paths=frozenset({path})))
    return _write(writer, target, current, body, write, entries)


def _write(
    writer: Writer,
    target: Target,
    current: Stored,
    scale: Any,
    write: Write,
    entries: list[managed.Entry] | None = None,
) -> Object:
    served = target.served
    if not isinstance(scale, dict) or not all(
        isinstance(scale.get(key) or {}, dict) for key in ("spec", "metadata")
    ):
        raise bad_request("a Scale needs objects as spec and metadata")
    wanted = (scale.get("spec") or {}).get("replicas") or 0
    meta = scale.get("metadata") or {}
    if meta.get("name", target.name) != target.name:
        raise bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
        )
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
        raise _negative(target, wanted)
    version = meta.get("resourceVersion")
    if version and version != current.obj["metadata"]["resourceVersion"]:
        raise conflict(served.group, served.plural, target.name, MODIFIED)
    obj = _with(current.obj, _paths(target)["specReplicasPath"], wanted)
    obj["metadata"] = dict(obj["metadata"])
    return read(target, writer.change(target, current, obj, write, entries))


def _negative(target: Target, wanted: Any) -> ApiError:
    if target.served.custom is None:
        text = f"Invalid value: {wanted}: must be greater than or equal to 0"
        return invalid(
            "autoscaling", "Scale", target.name, [Cause("FieldValueInvalid", text, "spec.replicas")]
        )
    path = _paths(target)["specReplicasPath"]
    cause = Cause("FieldValueInvalid", f"Invalid value: {wanted}: should be a non-negative integer", path)
    return invalid(target.served.group, target.served.kind, target.name, [cause])

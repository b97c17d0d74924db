"""Server-side apply: merge a configuration, settle who owns what, and write."""

from typing import Any

from rollout.sandbox.apiserver import bodies, managed, typed_apply
from rollout.sandbox.apiserver.decode import Findings
from rollout.sandbox.apiserver.errors import bad_request, conflict
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served, Write
from rollout.sandbox.apiserver.store import Stored
from rollout.sandbox.apiserver.target import Target
from rollout.sandbox.apiserver.writes import Writer, check_names, manager_of


def apply(writer: Writer, target: Target, config: Any, write: Write) -> tuple[Object, bool]:
    """Server-side apply: the object and whether it was created."""
    served = target.served
    config = _check_config(target, config)
    stored = writer.store.get(served.storage, target.key)
    manager = manager_of(target, write)
    typed_apply.check(served, config, target)
    config = typed_apply.owned_part(served, config, target.subresource)
    if stored is None:
        if target.subresource:
            raise target.missing()
        return _apply_new(writer, target, config, write, manager), True
    current = writer.current(target)
    return _apply_to(writer, target, current, config, write, manager), False


def _check_config(target: Target, config: Any) -> Object:
    served = target.served
    if not isinstance(config, dict):
        raise bad_request("error decoding YAML: expected an object")
    config = dict(config)
    bodies.check_text(served, config, b"")
    version, kind = config.get("apiVersion", ""), config.get("kind", "")
    if (version, kind) != (served.api_version, served.kind):
        group, _, short = version.rpartition("/")
        raise bad_request(f"invalid object type: {group}/{short}, Kind={kind}")
    if not isinstance(config.get("metadata") or {}, dict):
        raise bad_request("error decoding YAML: metadata must be an object")
    named: Object = {**config, "metadata": dict(config.get("metadata") or {})}
    if named["metadata"].get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    check_names(target, named)
    return named


def _apply_new(
    writer: Writer, target: Target, config: Object, write: Write, manager: managed.Manager
) -> Object:
    served, meta = target.served, config["metadata"]
    if meta.get("uid"):
        why = (
            f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
        )
        raise conflict(served.group, served.plural, target.name, why)
    live = {"apiVersion": served.api_version, "kind": served.kind, "metadata": {}}
    merged, entries = managed.applied(live, config, [], served.shape, manager)
    entries = managed.settle(live, merged, entries, served.shape, manager, force=write.force)
    merged["metadata"].pop("resourceVersion", None)
    merged["metadata"].pop("namespace", None)
    obj = _decoded(served, merged, write)
    return writer.create_decoded(served, target.namespace, obj, write, entries)


def _decoded(served: Served, merged: Object, write: Write) -> Object:
    found = Findings()
    obj = bodies.decode(served, merged, found)
    bodies.report(served, found, write)
    return obj


def _apply_to(
    writer: Writer, target: Target, current: Stored, config: Object, write: Write, manager: managed.Manager
) -> Object:
    served = target.served
    writer.check_versions(target, current, config)
    live = managed.bare(current.obj)
    merged, entries = managed.applied(live, config, managed.read(current.obj), served.shape, manager)
    entries = managed.settle(live, merged, entries, served.shape, manager, force=write.force)
    obj = _decoded(served, merged, write)
    obj["metadata"]["resourceVersion"] = current.obj["metadata"]["resourceVersion"]
    obj["metadata"].setdefault("name", target.name)
    return writer.change(target, current, obj, write, entries)

"""Create, update, patch and delete: one path for every kind, over HTTP and in-process."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from rollout.sandbox.apiserver import (
    bodies,
    managed,
    metadata,
    patches,
    rules,
    structural,
    typed_apply,
    validation,
)
from rollout.sandbox.apiserver.admission import Admission
from rollout.sandbox.apiserver.decode import DecodeError, Findings, not_handled
from rollout.sandbox.apiserver.errors import (
    ApiError,
    Cause,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served, Write
from rollout.sandbox.apiserver.store import Store, Stored

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
Hook = Callable[[Stored | None, Stored], None]


@dataclass(frozen=True, slots=True)
class Target:
    """What a write is to: a kind, a namespace (None for cluster-scoped kinds), a name and a subresource."""

    served: Served
    namespace: str | None
    name: str
    subresource: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Its key in the store."""
        return (self.namespace or "", self.name)

    def missing(self) -> ApiError:
        """404."""
        return not_found(self.served.group, self.served.plural, self.name)


def _manager(target: Target, write: Write) -> managed.Manager:
    return managed.Manager(write.manager, target.served.api_version, target.subresource, metadata.now())


class Writer:
    """The writing verbs on a store."""

    def __init__(self, store: Store, admission: Admission) -> None:
        self.store = store
        self.admission = admission
        self.hooks: dict[tuple[str, str], Hook] = {}

    def current(self, target: Target) -> Stored:
        """The present object, in the version of the target; raises 404."""
        stored = self.store.get(target.served.storage, target.key)
        if stored is None:
            raise target.missing()
        obj = target.served.outward(stored.obj)
        return stored if obj is stored.obj else Stored(obj, stored.version)

    def create(self, served: Served, namespace: str | None, value: Any, write: Write) -> Object:
        """POST."""
        obj = bodies.from_body(served, value, write)
        meta = obj["metadata"]
        if meta.get("namespace", namespace) != namespace and meta.get("namespace"):
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(text)
        return self._create(served, namespace, obj, write, None)

    def _create(
        self,
        served: Served,
        namespace: str | None,
        obj: Object,
        write: Write,
        entries: list[managed.Entry] | None,
    ) -> Object:
        meta = obj["metadata"]
        if meta.get("resourceVersion") and entries is None:
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = metadata.generate_name(meta["generateName"])
        target = Target(served, namespace, meta.get("name", ""))
        self.admission.on_create(served, namespace, obj, write)
        claimed = managed.read(obj)
        meta.pop("managedFields", None)
        metadata.begin(obj, served, namespace)
        self._complete(served, obj, None)
        self._validate(served, obj, None)
        write.warnings += metadata.finalizer_warnings(obj, served) + served.strategy.warnings(obj)
        present = self.store.get(served.storage, target.key)
        if present is not None:
            raise self._exists(target, present)
        if entries is None:
            empty = {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "metadata": {},
                **served.strategy.skeleton,
            }
            entries = managed.updated(empty, obj, claimed, served.shape, _manager(target, write))
        managed.write(obj, entries)
        if write.dry_run:
            return obj
        return self._put(target, obj)

    def _exists(self, target: Target, present: Stored) -> ApiError:
        error = already_exists(target.served.group, target.served.plural, target.name)
        if present.obj["metadata"].get("deletionTimestamp"):
            error.message = f"object is being deleted: {error.message}"
        return error

    def _complete(self, served: Served, obj: Object, old: Object | None) -> None:
        """Defaults, then what the server owns."""
        if served.has_status and old is None:
            obj.pop("status", None)
        served.strategy.default(obj)
        served.strategy.prepare(obj, old)

    def _validate(self, served: Served, obj: Object, old: Object | None, subresource: str = "") -> None:
        found = metadata.causes(obj, served, old)
        if served.custom is not None:
            found += self._validate_custom(served, obj, old, subresource)
        elif subresource == "status":
            found += served.strategy.validate_status(obj, old)
        else:
            found += served.strategy.validate(obj, old)
        if found:
            group = "" if served.kind == "Event" else served.group
            raise invalid(group, served.kind, obj["metadata"].get("name", ""), found)

    def _validate_custom(
        self, served: Served, obj: Object, old: Object | None, subresource: str
    ) -> list[Cause]:
        assert served.custom is not None
        schema = served.custom.schema

        def part(whole: Object) -> Object:
            skipped = {"metadata", "apiVersion", "kind"}
            return {key: value for key, value in whole.items() if key not in skipped}

        if subresource == "status":
            return self._validate_custom_status(served, obj, old)
        # metadata is the API machinery's to check; rules at the root still see its name
        before = validation.NONE if old is None else part(old)
        body = {
            **schema,
            "required": [
                r for r in schema.get("required", ()) if r not in {"metadata", "apiVersion", "kind"}
            ],
        }
        found = validation.validate(part(obj), body, "", before)
        if served.custom.has_rules:
            if any(cause.reason in rules.BLOCKING for cause in found):
                return [*found, rules.UNCHECKED]
            found += rules.check(
                _rule_view(obj), schema, "", validation.NONE if old is None else _rule_view(old)
            )
        return found

    def _validate_custom_status(self, served: Served, obj: Object, old: Object | None) -> list[Cause]:
        """Status alone; messages name its fields without it, as the original's do."""
        assert served.custom is not None
        schema = served.custom.schema.get("properties", {}).get("status") or {}
        if "status" not in obj:
            return []
        before = validation.NONE if old is None or "status" not in old else old["status"]
        found = [
            cause
            if cause.field == "<nil>"
            else replace(cause, field=f"status.{cause.field}" if cause.field else "status")
            for cause in validation.validate(obj["status"], schema, "", before)
        ]
        if served.custom.has_rules and not any(cause.reason in rules.BLOCKING for cause in found):
            found += rules.check(obj["status"], schema, "status", before)
        return found

    def _put(self, target: Target, obj: Object) -> Object:
        before = self.store.get(target.served.storage, target.key)
        stored = self.store.put(target.served.storage, target.key, obj)
        hook = self.hooks.get(target.served.storage)
        if hook is not None:
            hook(before, stored)
        return stored.obj

    def update(self, target: Target, value: Any, write: Write) -> Object:
        """PUT."""
        served = target.served
        obj = bodies.from_body(served, value, write)
        self._check_names(target, obj)
        current = self.current(target)
        if not obj["metadata"].get("resourceVersion") and served.strategy.needs_version:
            cause = Cause(
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
                "metadata.resourceVersion",
            )
            raise invalid(served.group, served.plural, target.name, [cause])
        return self._update(target, current, obj, write)

    def _check_names(self, target: Target, obj: Object) -> None:
        meta = obj["metadata"]
        if not meta.get("name"):
            raise bad_request(
                f"the name of the object ({target.name} based on URL) was undeterminable: "
                "name must be provided"
            )
        if meta["name"] != target.name:
            raise bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
            )
        if meta.get("namespace") and meta["namespace"] != target.namespace:
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(text)

    def _check_versions(self, target: Target, current: Stored, obj: Object, *, patched: bool = False) -> None:
        served, meta = target.served, obj["metadata"]
        uid = meta.get("uid")
        if uid and uid != current.obj["metadata"]["uid"]:
            if patched:
                found = [
                    Cause("FieldValueInvalid", f'Invalid value: "{uid}": field is immutable', "metadata.uid")
                ] * 2
                raise invalid(served.group, served.kind, target.name, found)
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{current.obj['metadata']['uid']}"
            )
            raise conflict(served.group, served.plural, target.name, why)
        version = meta.get("resourceVersion")
        if version and version != current.obj["metadata"]["resourceVersion"]:
            raise conflict(served.group, served.plural, target.name, MODIFIED)

    def _update(
        self,
        target: Target,
        current: Stored,
        obj: Object,
        write: Write,
        entries: list[managed.Entry] | None = None,
        *,
        patched: bool = False,
    ) -> Object:
        served, old = target.served, current.obj
        self._check_versions(target, current, obj, patched=patched)
        claimed = managed.read(obj) if "managedFields" in obj["metadata"] else managed.read(old)
        self.admission.on_update(served, obj, old, write)
        obj = self._merged_with_old(target, obj, old)
        metadata.carry_over(obj, old)
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if target.subresource == "status":
            served.strategy.default(obj)
        else:
            self._complete(served, obj, old)
            if served.strategy.generation and metadata.generation_changed(
                obj, old, has_status=served.has_status
            ):
                obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        self._validate(served, obj, old, target.subresource)
        if entries is None:
            entries = managed.updated(old, obj, claimed, served.shape, _manager(target, write))
        managed.write(obj, entries)
        if managed.same(obj, old):
            return old
        write.warnings += [
            w
            for w in metadata.finalizer_warnings(obj, served)
            if old["metadata"].get("finalizers") != obj["metadata"].get("finalizers")
        ]
        if write.dry_run:
            return obj
        if self._may_go(obj):
            self._remove(target, old)
            return obj
        return self._put(target, obj)

    def _merged_with_old(self, target: Target, obj: Object, old: Object) -> Object:
        """What the path may change, on top of what it may not."""
        served = target.served
        if target.subresource == "status":
            kept = {key: value for key, value in old.items() if key != "status"}
            if "status" in obj:
                kept["status"] = obj["status"]
            meta = dict(old["metadata"]) if served.custom else {**obj["metadata"]}
            return {**kept, "metadata": meta}
        if served.has_status:
            rest = {key: value for key, value in obj.items() if key != "status"}
            return {**rest, "status": old["status"]} if "status" in old else rest
        return obj

    def _may_go(self, obj: Object) -> bool:
        meta = obj["metadata"]
        if not meta.get("deletionTimestamp") or meta.get("finalizers"):
            return False
        return not meta.get("deletionGracePeriodSeconds") and not (
            obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers")
        )

    def _remove(self, target: Target, last: Object) -> None:
        before = self.store.get(target.served.storage, target.key)
        stored = self.store.remove(target.served.storage, target.key, last)
        hook = self.hooks.get(target.served.storage)
        if hook is not None:
            hook(before, Stored({**stored.obj, "__deleted__": True}, stored.version))

    def patch(self, target: Target, patch: Any, content_type: str, write: Write) -> Object:
        """PATCH with a JSON, merge or strategic merge patch."""
        current = self.current(target)
        obj = self.patched(target, current, patch, content_type, write)
        self._check_names(target, obj)
        return self._update(target, current, obj, write, patched=True)

    def patched(self, target: Target, current: Stored, patch: Any, content_type: str, write: Write) -> Object:
        """The object that the patch makes of the present one."""
        served, found = target.served, Findings()
        match content_type:
            case "application/json-patch+json":
                value = patches.json_patch(current.obj, patch)
            case "application/merge-patch+json":
                value = patches.merge_patch(current.obj, patch)
            case _:
                value = patches.strategic_patch(current.obj, patch, served.shape)
        if not isinstance(value, dict):
            raise patches.PatchRefusedError
        if value.get("metadata") is None:
            value = {**value, "metadata": {}}
        strategic = content_type == "application/strategic-merge-patch+json"
        try:
            bodies.check_kind(served, value)
            obj = bodies.decode(served, value, found)
        except ApiError as error:
            if served.custom is not None or error.status != 400:
                raise
            raise _undecodable(error, value, served) from error
        if found.problems and write.validation == "Strict":
            shown = (
                patches._go_map(patch)
                if strategic
                else shown_json(value, sort_metadata=served.custom is not None)
            )
            bodies.report_patched(found, write, shown)
        else:
            bodies.report_patched(found, write, "")
        return copy.deepcopy(obj) if served.custom is None else obj

    def apply(self, target: Target, config: Any, write: Write) -> tuple[Object, bool]:
        """Server-side apply: the object and whether it was created."""
        served = target.served
        config = self._check_config(target, config)
        stored = self.store.get(served.storage, target.key)
        manager = _manager(target, write)
        typed_apply.check(served, config, target)
        config = typed_apply.owned_part(served, config, target.subresource)
        if stored is None:
            if target.subresource:
                raise target.missing()
            return self._apply_new(target, config, write, manager), True
        current = self.current(target)
        return self._apply_to(target, current, config, write, manager), False

    def _check_config(self, target: Target, config: Any) -> Object:
        served = target.served
        if not isinstance(config, dict):
            raise bad_request("error decoding YAML: expected an object")
        version, kind = config.get("apiVersion", ""), config.get("kind", "")
        if (version, kind) != (served.api_version, served.kind):
            group, _, short = version.rpartition("/")
            raise bad_request(f"invalid object type: {group}/{short}, Kind={kind}")
        named: Object = {**config, "metadata": dict(config.get("metadata") or {})}
        if named["metadata"].get("managedFields") is not None:
            raise bad_request("metadata.managedFields must be nil")
        self._check_names(target, named)
        return named

    def _apply_new(self, target: Target, config: Object, write: Write, manager: managed.Manager) -> Object:
        served, meta = target.served, config["metadata"]
        if meta.get("uid"):
            why = (
                f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing "
                "object was found"
            )
            raise conflict(served.group, served.plural, target.name, why)
        live = {"apiVersion": served.api_version, "kind": served.kind, "metadata": {}}
        merged, entries = managed.applied(live, config, [], served.shape, manager)
        entries = managed.settle(live, merged, entries, served.shape, manager, force=write.force)
        merged["metadata"].pop("resourceVersion", None)
        merged["metadata"].pop("namespace", None)
        obj = self._from_apply(served, merged, write)
        return self._create(served, target.namespace, obj, write, entries)

    def _from_apply(self, served: Served, merged: Object, write: Write) -> Object:
        found = Findings()
        obj = bodies.decode(served, merged, found)
        bodies.report(served, found, write)
        return obj

    def _apply_to(
        self, target: Target, current: Stored, config: Object, write: Write, manager: managed.Manager
    ) -> Object:
        served = target.served
        self._check_versions(target, current, config)
        live = managed.bare(current.obj)
        merged, entries = managed.applied(live, config, managed.read(current.obj), served.shape, manager)
        entries = managed.settle(live, merged, entries, served.shape, manager, force=write.force)
        obj = self._from_apply(served, merged, write)
        obj["metadata"]["resourceVersion"] = current.obj["metadata"]["resourceVersion"]
        obj["metadata"].setdefault("name", target.name)
        return self._update(target, current, obj, write, entries)


def _undecodable(error: ApiError, value: Object, served: Served) -> ApiError:
    """422 for a patch whose outcome can't be read."""
    why = error.message.partition(f"cannot be handled as a {served.kind}: ")[2] or error.message
    shown = orjson.dumps(shown_json(value, sort_metadata=False)).decode()
    return invalid("", "", "", [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")])


def _rule_view(obj: Object) -> Object:
    """What rules at the root see of metadata: name and generateName."""
    meta = {key: value for key, value in obj["metadata"].items() if key in {"name", "generateName"}}
    return {**obj, "metadata": meta}


META_ORDER = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
ENTRY_ORDER = ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource")


def shown_json(value: Object, *, sort_metadata: bool) -> str:
    """An object as a refusal shows it: keys sorted, but metadata of built-in kinds in the order of its
    type."""
    if not sort_metadata:
        meta = value["metadata"]
        ordered = {key: meta[key] for key in META_ORDER if key in meta}
        entries = [
            {key: entry[key] for key in ENTRY_ORDER if key in entry}
            for entry in meta.get("managedFields", ())
        ]
        if entries:
            ordered["managedFields"] = entries
        parts = []
        for key in sorted(value):
            body = ordered if key == "metadata" else value[key]
            option = 0 if key == "metadata" else orjson.OPT_SORT_KEYS
            parts.append(f'"{key}":{orjson.dumps(body, option=option).decode()}')
        return "{" + ",".join(parts) + "}"
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


__all__ = ["DecodeError", "Target", "Writer", "forbidden", "not_handled", "structural"]

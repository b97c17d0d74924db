"""Create, update, patch and delete: one path for every kind, over HTTP and in-process."""

from collections.abc import Callable
from typing import Any

from rollout.sandbox.apiserver import (
    bodies,
    custom,
    managed,
    metadata,
    patching,
)
from rollout.sandbox.apiserver.admission import Admission
from rollout.sandbox.apiserver.errors import (
    ApiError,
    Cause,
    already_exists,
    bad_request,
    conflict,
    invalid,
)
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served, Write
from rollout.sandbox.apiserver.store import Store, Stored
from rollout.sandbox.apiserver.target import Target

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
Hook = Callable[[Stored | None, Stored], None]


def manager_of(target: Target, write: Write) -> managed.Manager:
    """Who writes, as managedFields will name it."""
    return managed.Manager(write.manager, target.served.api_version, target.subresource, metadata.now())


def check_names(target: Target, obj: Object) -> None:
    """Raise 400 unless the object's name and namespace are those of the path."""
    meta = obj["metadata"]
    if not meta.get("name"):
        raise bad_request(
            f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        )
    if meta["name"] != target.name:
        raise bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
        )
    if meta.get("namespace") and meta["namespace"] != target.namespace:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise bad_request(text)


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
        return self.create_decoded(served, namespace, obj, write, None)

    def create_decoded(
        self,
        served: Served,
        namespace: str | None,
        obj: Object,
        write: Write,
        entries: list[managed.Entry] | None,
    ) -> Object:
        """Complete, check and store a new object; `entries` are its claims where an apply settled them."""
        meta = obj["metadata"]
        if meta.get("resourceVersion") and entries is None:
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._free_name(served, namespace, meta["generateName"])
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
            entries = managed.updated(empty, obj, claimed, served.shape, manager_of(target, write))
        managed.write(obj, entries)
        if write.dry_run:
            return obj
        return self.put(target, obj)

    def _free_name(self, served: Served, namespace: str | None, base: str) -> str:
        """A generated name; taken ones are tried again, as often as the original does."""
        for _ in range(8):
            name = metadata.generate_name(base)
            if self.store.get(served.storage, (namespace or "", name)) is None:
                break
        return name

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
            found += custom.causes(served, obj, old, subresource)
        elif subresource == "status":
            found += served.strategy.validate_status(obj, old)
        else:
            found += served.strategy.validate(obj, old)
        if found:
            group = "" if served.kind == "Event" else served.group
            raise invalid(group, served.kind, obj["metadata"].get("name", ""), found)

    def put(self, target: Target, obj: Object) -> Object:
        """Store an object, and tell who follows its kind."""
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
        check_names(target, obj)
        current = self.current(target)
        if not obj["metadata"].get("resourceVersion") and served.strategy.needs_version:
            cause = Cause(
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
                "metadata.resourceVersion",
            )
            raise invalid(served.group, served.plural, target.name, [cause])
        return self.change(target, current, obj, write)

    def check_versions(self, target: Target, current: Stored, obj: Object, *, patched: bool = False) -> None:
        """Raise 409 where the uid or resourceVersion given is not the present one."""
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

    def change(
        self,
        target: Target,
        current: Stored,
        obj: Object,
        write: Write,
        entries: list[managed.Entry] | None = None,
        *,
        patched: bool = False,
    ) -> Object:
        """Complete, check and store an object in place of `current`; what changes nothing is not stored."""
        served, old = target.served, current.obj
        self.check_versions(target, current, obj, patched=patched)
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
            entries = managed.updated(old, obj, claimed, served.shape, manager_of(target, write))
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
        if self.may_go(obj):
            self.remove(target, old)
            return obj
        return self.put(target, obj)

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

    def may_go(self, obj: Object) -> bool:
        """Whether nothing holds a deleted object any more."""
        meta = obj["metadata"]
        if not meta.get("deletionTimestamp") or meta.get("finalizers"):
            return False
        return not meta.get("deletionGracePeriodSeconds") and not (
            obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers")
        )

    def remove(self, target: Target, last: Object) -> None:
        """Remove an object, and tell who follows its kind; `last` is what watchers see."""
        before = self.store.get(target.served.storage, target.key)
        stored = self.store.remove(target.served.storage, target.key, last)
        hook = self.hooks.get(target.served.storage)
        if hook is not None:
            hook(before, Stored({**stored.obj, "__deleted__": True}, stored.version))

    def patch(self, target: Target, patch: Any, content_type: str, write: Write) -> Object:
        """PATCH with a JSON, merge or strategic merge patch."""
        current = self.current(target)
        obj = patching.patched(target, current, patch, content_type, write)
        check_names(target, obj)
        return self.change(target, current, obj, write, patched=True)

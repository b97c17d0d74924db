"""CustomResourceDefinitions: defaults, conditions, serving and cleaning up."""

from typing import Any

from rollout.sandbox.apiserver import deletes, metadata, rules
from rollout.sandbox.apiserver.kinds.table import SCALE, KindName, Subresource
from rollout.sandbox.apiserver.registry import Registry
from rollout.sandbox.apiserver.resource import Object, Resource
from rollout.sandbox.apiserver.served import Column, Custom, Served, Strategy
from rollout.sandbox.apiserver.shape import custom_shape
from rollout.sandbox.apiserver.store import Store, Stored
from rollout.sandbox.apiserver.target import Target
from rollout.sandbox.apiserver.writes import Writer

STORAGE = ("apiextensions.k8s.io", "customresourcedefinitions")
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
AGE = Column("Age", "date", ".metadata.creationTimestamp")
CUSTOM = Strategy(generation=True, needs_version=True)


def served_versions(definition: Object) -> list[Served]:
    """The kinds that a definition serves, the storage version last to be stored in."""
    spec = definition["spec"]
    return [_served(definition, version) for version in spec["versions"] if version["served"]]


def _served(definition: Object, version: Object) -> Served:
    spec, names = definition["spec"], definition["spec"]["names"]
    resource = Resource(spec["group"], version["name"], names["plural"])
    subs = version.get("subresources") or {}
    listed = []
    if "status" in subs:
        listed.append(Subresource("status", names["kind"]))
    if "scale" in subs:
        listed.append(SCALE)
    kind = KindName(
        resource,
        names["kind"],
        names.get("singular", ""),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        verbs=CUSTOM_VERBS,
        subresources=tuple(listed),
    )
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    columns = tuple(_column(item) for item in version.get("additionalPrinterColumns") or ()) or (AGE,)
    custom = Custom(
        definition["metadata"]["name"],
        schema,
        columns,
        tuple(item["jsonPath"].removeprefix(".") for item in version.get("selectableFields") or ()),
        "status" in subs,
        subs.get("scale"),
        rules.has_rules(schema),
        bool(spec.get("preserveUnknownFields")),
    )
    return Served(kind, custom_shape(schema), (spec["group"], names["plural"]), CUSTOM, custom)


def _column(item: Object) -> Column:
    return Column(
        item["name"],
        item["type"],
        item["jsonPath"],
        item.get("description", ""),
        item.get("format", ""),
        item.get("priority", 0),
    )


class Definitions:
    """Serves what the stored definitions say, sets their conditions and empties deleted ones."""

    def __init__(self, store: Store, registry: Registry, writer: Writer) -> None:
        self.store = store
        self.registry = registry
        self.writer = writer
        writer.hooks[STORAGE] = self.changed

    def changed(self, before: Stored | None, after: Stored) -> None:
        """Follow a change of a definition."""
        obj = after.obj
        if obj.get("__deleted__"):
            self._stop(obj)
            return
        if obj["metadata"].get("deletionTimestamp"):
            self._terminate(obj)
            return
        if before is None or before.obj["spec"] != obj["spec"]:
            self._serve(obj)
        if not _condition(obj, "Established"):
            self._establish(obj)

    def _serve(self, obj: Object) -> None:
        spec = obj["spec"]
        self.registry.drop_group_resource(spec["group"], spec["names"]["plural"])
        for served in served_versions(obj):
            self.registry.add(served)

    def _stop(self, obj: Object) -> None:
        spec = obj["spec"]
        self.registry.drop_group_resource(spec["group"], spec["names"]["plural"])
        storage = (spec["group"], spec["names"]["plural"])
        self.writer.hooks.pop(storage, None)
        self.store.forget(storage)

    def _establish(self, obj: Object) -> None:
        names = dict(obj["spec"]["names"])
        stamp = metadata.now()
        conditions = [
            _made("NamesAccepted", "NoConflicts", "no conflicts found", stamp),
            _made("Established", "InitialNamesAccepted", "the initial names have been accepted", stamp),
        ]
        status = {**obj["status"], "conditions": conditions, "acceptedNames": names}
        self.store.put(STORAGE, ("", obj["metadata"]["name"]), {**obj, "status": status})

    def _terminate(self, obj: Object) -> None:
        """Delete the objects of a kind that goes; the definition follows once they are gone."""
        spec = obj["spec"]
        storage = (spec["group"], spec["names"]["plural"])
        served = next((s for s in self.registry if s.storage == storage), None)
        if served is not None:
            self.writer.hooks[storage] = lambda _before, _after: self._finish(
                obj["metadata"]["name"], storage
            )
            for stored in self.store.list(storage, None):
                meta = stored.obj["metadata"]
                target = Target(
                    served, meta.get("namespace") if served.name.namespaced else None, meta["name"]
                )
                deletes.delete(self.writer, target, deletes.DeleteOptions())
        self._finish(obj["metadata"]["name"], storage)

    def _finish(self, name: str, storage: tuple[str, str]) -> None:
        held = self.store.get(STORAGE, ("", name))
        if held is None or self.store.list(storage, None):
            return
        finalizers = [f for f in held.obj["metadata"].get("finalizers", ()) if f != deletes.CLEANUP]
        meta = {**held.obj["metadata"], "finalizers": finalizers}
        served = self.registry.get(Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions"))
        assert served is not None
        target = Target(served, None, name)
        if finalizers:
            self.store.put(STORAGE, ("", name), {**held.obj, "metadata": meta})
        else:
            self.writer.remove(target, held.obj)


def _made(kind: str, reason: str, message: str, stamp: str) -> Object:
    return {"type": kind, "status": "True", "lastTransitionTime": stamp, "reason": reason, "message": message}


def _condition(obj: Object, kind: str) -> Any:
    held = (obj.get("status") or {}).get("conditions") or ()
    return next((item for item in held if item["type"] == kind), None)

"""Object metadata: what the server sets, keeps and refuses."""

import secrets
import uuid

import orjson

from rollout.sandbox import clock
from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
OWNER_ORDER = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}


def now() -> str:
    """The time as objects hold it, in seconds."""
    return clock.stamp()


def random_suffix() -> str:
    """Five letters for a generated name."""
    return "".join(secrets.choice(ALPHABET) for _ in range(5))


def generate_name(base: str) -> str:
    """A name from `metadata.generateName`, cut so that it has at most 63 letters."""
    return base[:58] + random_suffix()


def begin(obj: Object, served: Served, namespace: str | None) -> None:
    """Set the metadata of a new object."""
    meta = obj["metadata"]
    for key in (
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
    ):
        meta.pop(key, None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = now()
    if namespace is not None:
        meta["namespace"] = namespace
    else:
        meta.pop("namespace", None)
    if served.strategy.generation:
        meta["generation"] = 1


def carry_over(new: Object, old: Object) -> None:
    """Keep what a client can't change."""
    meta, before = new["metadata"], old["metadata"]
    for key in (
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "namespace",
    ):
        if key in before:
            meta[key] = before[key]
        else:
            meta.pop(key, None)
    meta["name"] = before["name"]
    meta.pop("selfLink", None)


def name_causes(obj: Object, served: Served) -> list[Cause]:
    """What is wrong with the name."""
    name = obj["metadata"].get("name")
    if not name:
        return [
            Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")
        ]
    return [
        Cause(
            "FieldValueInvalid",
            f'Invalid value: "{name}": {problem.replace(" bytes", " characters")}',
            "metadata.name",
        )
        for problem in served.strategy.name_problems(name)
    ]


def causes(obj: Object, served: Served, old: Object | None) -> list[Cause]:
    """What is wrong with names, labels, annotations, owners and finalizers."""
    meta = obj["metadata"]
    found = name_causes(obj, served) if old is None else []
    found += label_causes(meta.get("labels") or {}, "metadata.labels")
    found += annotation_causes(meta.get("annotations") or {}, "metadata.annotations")
    found += _owner_causes(meta.get("ownerReferences") or [])
    found += _finalizer_causes(meta.get("finalizers") or [], served)
    if old is not None:
        found += _new_finalizers(meta, old["metadata"])
    return found


def label_causes(labels: dict[str, str], path: str) -> list[Cause]:
    """What is wrong with labels."""
    found = []
    for key, value in labels.items():
        held = [(key, problem) for problem in names.qualified_name(key)]
        held += [(value, problem) for problem in names.label_value(value)]
        found += [Cause("FieldValueInvalid", f'Invalid value: "{what}": {why}', path) for what, why in held]
    return found


def annotation_causes(annotations: dict[str, str], path: str) -> list[Cause]:
    """What is wrong with annotations."""
    found = [
        Cause("FieldValueInvalid", f'Invalid value: "{key}": {problem}', path)
        for key in annotations
        for problem in names.qualified_name(key.lower())
    ]
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > 256 * 1024:
        found.append(Cause("FieldValueTooLong", "Too long: may not be more than 262144 bytes", path))
    return found


def _owner_causes(owners: list[Object]) -> list[Cause]:
    found = []
    for owner in owners:
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                text = "version must not be empty" if key == "apiVersion" else "must not be empty"
                found.append(
                    Cause(
                        "FieldValueInvalid", f'Invalid value: "": {text}', f"metadata.ownerReferences.{key}"
                    )
                )
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        first, second = (f"{item.get('kind', '')}/{item.get('name', '')}" for item in controllers[:2])
        text = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{first} and {second}"
        )
        shown = orjson.dumps(
            [{key: item[key] for key in OWNER_ORDER if key in item} for item in owners]
        ).decode()
        found.append(
            Cause("FieldValueInvalid", f"Invalid value: {shown}: {text}", "metadata.ownerReferences")
        )
    return found


def _finalizer_causes(finalizers: list[str], served: Served) -> list[Cause]:
    found = []
    for at, finalizer in enumerate(finalizers):
        shown = f'Invalid value: "{finalizer}": '
        found += [
            Cause("FieldValueInvalid", shown + problem, "metadata.finalizers")
            for problem in names.qualified_name(finalizer)
        ]
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS and not served.custom:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(Cause("FieldValueInvalid", shown + text, f"metadata.finalizers[{at}]"))
    return found


def finalizer_warnings(obj: Object, served: Served) -> list[str]:
    """Warnings about finalizers of custom resources without a domain."""
    if served.custom is None:
        return []
    return [
        f'metadata.finalizers: "{finalizer}": prefer a domain-qualified finalizer name to '
        "avoid accidental conflicts "
        "with other finalizer writers"
        for finalizer in obj["metadata"].get("finalizers") or ()
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS
    ]


def _new_finalizers(meta: Object, old: Object) -> list[Cause]:
    """No new finalizer on an object that goes. The original finds it twice, and says so."""
    if not old.get("deletionTimestamp"):
        return []
    held = set(old.get("finalizers") or ())
    added = [name for name in meta.get("finalizers") or () if name not in held]
    if not added:
        return []
    listed = ", ".join(f'"{name}"' for name in added)
    text = (
        "Forbidden: no new finalizers can be added if the object is being deleted, "
        f"found new finalizers []string{{{listed}}}"
    )
    return [Cause("FieldValueForbidden", text, "metadata.finalizers")] * 2


def generation_changed(new: Object, old: Object, *, has_status: bool) -> bool:
    """Whether anything but metadata (and status, where it is a subresource) differs."""
    skipped = {"metadata", "apiVersion", "kind"} | ({"status"} if has_status else set())

    def rest(obj: Object) -> Object:
        return {key: value for key, value in obj.items() if key not in skipped}

    return rest(new) != rest(old)

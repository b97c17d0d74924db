"""From a patch to the object it makes."""

from typing import Any

import orjson

from rollout.sandbox.apiserver import bodies, patches
from rollout.sandbox.apiserver.decode import Findings
from rollout.sandbox.apiserver.errors import ApiError, Cause, invalid
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served, Write
from rollout.sandbox.apiserver.store import Stored
from rollout.sandbox.apiserver.target import Target


def patched(target: Target, current: Stored, patch: Any, content_type: str, write: Write) -> Object:
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
        value = dict(value)
        bodies.check_text(served, value, b"")
        bodies.check_kind(served, value)
        obj = bodies.decode(served, value, found)
    except ApiError as error:
        if served.custom is not None or error.status != 400:
            raise
        raise _undecodable(error, value, served) from error
    if found.problems and write.validation == "Strict":
        shown = (
            patches.go_map(patch) if strategic else shown_json(value, sort_metadata=served.custom is not None)
        )
        bodies.report_patched(found, write, shown)
    else:
        bodies.report_patched(found, write, "")
    return obj


def _undecodable(error: ApiError, value: Object, served: Served) -> ApiError:
    """422 for a patch whose outcome can't be read."""
    why = error.message.partition(f"cannot be handled as a {served.kind}: ")[2] or error.message
    shown = orjson.dumps(shown_json(value, sort_metadata=False)).decode()
    return invalid("", "", "", [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")])


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
    if not sort_metadata and isinstance(value.get("metadata"), dict):
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

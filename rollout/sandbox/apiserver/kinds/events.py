"""Events, which are stored once and served in two versions."""

from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds.checks import bad, immutable, required
from rollout.sandbox.apiserver.resource import Object

OLD_NEW = {
    "message": "note",
    "involvedObject": "regarding",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
NEW_OLD = {new: old for old, new in OLD_NEW.items()}
FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)


def convert(obj: Object, api_version: str) -> Object:
    """An Event in the other version; what Go leaves out when empty is left out."""
    to_new = api_version == "events.k8s.io/v1"
    names_ = OLD_NEW if to_new else NEW_OLD
    renamed = {names_.get(key, key): value for key, value in obj.items()} | {"apiVersion": api_version}
    if to_new:
        for key in ("reportingController", "reportingInstance"):
            if not renamed.get(key):
                renamed.pop(key, None)
    else:
        _fill_old(renamed)
    return renamed


def _fill_old(obj: Object) -> None:
    for key in ("reportingComponent", "reportingInstance"):
        obj.setdefault(key, "")
    for key in ("eventTime", "firstTimestamp", "lastTimestamp"):
        obj.setdefault(key, None)
    obj.setdefault("source", {})


def default_old(obj: Object) -> None:
    """What a core Event always shows."""
    obj.setdefault("involvedObject", {})
    _fill_old(obj)


def default_new(obj: Object) -> None:
    """What an events.k8s.io Event always shows."""
    for key in ("eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"):
        obj.setdefault(key, None)
    obj.setdefault("deprecatedSource", {})


def validate_old(new: Object, old: Object | None) -> list[Cause]:
    """An Event lies in the namespace of its object."""
    about = new["involvedObject"].get("namespace", "")
    namespace = new["metadata"].get("namespace", "")
    if old is None and about != namespace and not (not about and namespace == "default"):
        return [bad("involvedObject.namespace", about, "does not match event.namespace")]
    return []


def validate_new(new: Object, old: Object | None) -> list[Cause]:
    """The new fields must be set, and only the series may change."""
    if old is not None:
        return _unchanged(new, old)
    found: list[Cause] = []
    if not new.get("eventTime"):
        found.append(required("eventTime"))
    controller = new.get("reportingController", "")
    if not controller:
        found.append(required("reportingController"))
    found += [bad("reportingController", controller, text) for text in names.qualified_name(controller)]
    for key in ("reportingInstance", "action", "reason"):
        if not new.get(key):
            found.append(required(key))
    if new.get("type") not in {"Normal", "Warning"}:
        found.append(bad("type", "", f"has invalid value: {new.get('type', '')}"))
    about = (new.get("regarding") or {}).get("namespace", "")
    namespace = new["metadata"].get("namespace", "")
    if about != namespace and not (not about and namespace == "default"):
        found.append(bad("regarding.namespace", about, "does not match event.namespace"))
    return found


def _unchanged(new: Object, old: Object) -> list[Cause]:
    keys = [*NEW_OLD, "action", "reason", "type", "eventTime", "related", "reportingInstance"]
    return [immutable(NEW_OLD.get(key, key), new.get(key)) for key in keys if new.get(key) != old.get(key)]

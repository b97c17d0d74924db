"""Events, which are stored once and served in two versions."""

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


def convert(obj: Object, api_version: str) -> Object:
    """An Event in the other version."""
    names = OLD_NEW if api_version == "events.k8s.io/v1" else {new: old for old, new in OLD_NEW.items()}
    renamed = {names.get(key, key): value for key, value in obj.items()}
    return {**renamed, "apiVersion": api_version}

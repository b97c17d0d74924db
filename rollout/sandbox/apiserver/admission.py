"""What is decided before an object is looked at closely: does its namespace live, is its kind still
welcome."""

from rollout.sandbox.apiserver.errors import ApiError, forbidden, not_found
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served, Write
from rollout.sandbox.apiserver.store import Store

NAMESPACES = ("", "namespaces")
DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


class Admission:
    """Admission on a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def on_create(self, served: Served, namespace: str | None, obj: Object, write: Write) -> None:
        """Raise 403 or 404 where nothing may be created."""
        del write
        if served.custom is not None:
            definition = self.store.get(DEFINITIONS, ("", served.custom.definition))
            if definition is not None and definition.obj["metadata"].get("deletionTimestamp"):
                why = "create not allowed while custom resource definition is terminating"
                raise forbidden(served.group, served.plural, obj["metadata"].get("name", ""), why)
        if namespace is None:
            return
        held = self.store.get(NAMESPACES, ("", namespace))
        if held is None:
            raise not_found("", "namespaces", namespace)
        if held.obj["metadata"].get("deletionTimestamp"):
            raise _terminating(served, namespace, obj)

    def on_update(self, served: Served, obj: Object, old: Object, write: Write) -> None:
        """Nothing is refused on update."""
        del served, obj, old, write


def _terminating(served: Served, namespace: str, obj: Object) -> ApiError:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = forbidden(served.group, served.plural, obj["metadata"].get("name", ""), why)
    assert error.details is not None
    text = f"namespace {namespace} is being terminated"
    error.details["causes"] = [
        {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
    ]
    return error

"""The verbs on paths with a subresource, and on those without: one door for HTTP and in-process."""

from typing import Any

from rollout.sandbox.apiserver import eviction, scale, tokens
from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.errors import ApiError, method_not_allowed, not_implemented, path_not_found
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Write
from rollout.sandbox.apiserver.target import Target

PATCHES = {
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
}


CREATED = {"", "eviction", "token", "binding"}
"""What may be POSTed to, of all that a POST could be sent to."""


def built(target: Target) -> None:
    """Raise 501 where a POST goes to what this server does not build; such a request may have no body."""
    sub = target.served.name.subresource(target.subresource)
    if target.subresource not in CREATED and sub is not None and "create" in sub.verbs:
        raise not_implemented(f"{target.served.plural}/{target.subresource}")


def allowed(target: Target, verb: str) -> None:
    """Raise 404 where the subresource does not exist and 405 where it does not know the verb."""
    if not target.subresource:
        if verb not in target.served.name.verbs:
            raise method_not_allowed("", "")
        return
    sub = target.served.name.subresource(target.subresource)
    if sub is None:
        raise path_not_found()
    if verb not in sub.verbs:
        raise method_not_allowed("", "")


def read(api: Api, target: Target) -> Object:
    """GET."""
    allowed(target, "get")
    match target.subresource:
        case "" | "status" | "ephemeralcontainers" | "resize":
            return api.writer.current(target).obj
        case "scale":
            return scale.read(target, api.writer.current(target).obj)
        case other:
            raise not_implemented(f"{target.served.plural}/{other}")


def create(api: Api, target: Target, body: Any, write: Write) -> Object:
    """POST to a subresource."""
    allowed(target, "create")
    match target.subresource:
        case "eviction":
            return eviction.evict(api, target, body, dry_run=write.dry_run)
        case "token":
            return tokens.request(api, target, body)
        case "binding":
            return _bind(api, target, body, write)
        case other:
            raise not_implemented(f"{target.served.plural}/{other}")


def update(api: Api, target: Target, body: Any, write: Write) -> Object:
    """PUT."""
    allowed(target, "update")
    match target.subresource:
        case "" | "status":
            return api.writer.update(target, body, write)
        case "scale":
            return scale.update(api.writer, target, body, write)
        case "finalize":
            return finalize(api, target, body)
        case other:
            raise not_implemented(f"{target.served.plural}/{other}")


def patch(api: Api, target: Target, body: Any, content_type: str, write: Write) -> tuple[Object, bool]:
    """PATCH: the object and whether an apply created it."""
    allowed(target, "patch")
    known = PATCHES - ({"application/strategic-merge-patch+json"} if target.served.custom else set())
    if content_type not in known:
        raise unsupported_patch(target)
    if target.subresource == "scale":
        return scale.patch(api.writer, target, body, content_type, write), False
    if target.subresource not in {"", "status"}:
        raise not_implemented(f"a patch of {target.served.plural}/{target.subresource}")
    if content_type == "application/apply-patch+yaml":
        return api.apply(target, body, write)
    return api.writer.patch(target, body, content_type, write), False


def unsupported_patch(target: Target) -> ApiError:
    """415."""
    if target.served.custom is None:
        return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    listed = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    text = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return ApiError(415, "UnsupportedMediaType", text)


def _bind(api: Api, target: Target, body: Object, write: Write) -> Object:
    pod = Target(target.served, target.namespace, target.name)
    current = api.writer.current(pod)
    spec = {**current.obj["spec"], "nodeName": body["target"]["name"]}
    obj = {**current.obj, "spec": spec}
    if not write.dry_run:
        api.writer.put(pod, obj)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def finalize(api: Api, target: Target, body: Object) -> Object:
    """Set a namespace's `spec.finalizers`; it goes when none is left and it is being deleted."""
    current = api.writer.current(target)
    finalizers = (body.get("spec") or {}).get("finalizers") or []
    spec = {**(current.obj.get("spec") or {}), "finalizers": finalizers}
    if not finalizers:
        del spec["finalizers"]
    obj = {**current.obj, "spec": spec}
    if api.writer.may_go(obj):
        api.writer.remove(target, obj)
        return obj
    return obj if obj == current.obj else api.writer.put(target, obj)

"""Access and token reviews: answered, never stored."""

from typing import TYPE_CHECKING

from rollout.sandbox.apiserver import metadata
from rollout.sandbox.apiserver.errors import Cause, invalid, not_implemented
from rollout.sandbox.apiserver.kinds.checks import quoted
from rollout.sandbox.apiserver.rbac import Ask
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Caller

if TYPE_CHECKING:
    from rollout.sandbox.apiserver.core import Api

KINDS = {
    "SelfSubjectAccessReview",
    "SubjectAccessReview",
    "LocalSubjectAccessReview",
    "SelfSubjectRulesReview",
    "TokenReview",
    "SelfSubjectReview",
}


def answer(api: "Api", body: Object, caller: Caller) -> Object:
    """The review with its status."""
    spec = body.get("spec") or {}
    meta = {**(body.get("metadata") or {})}
    match body["kind"]:
        case "SelfSubjectAccessReview":
            status = _access(api, spec, caller)
        case "SubjectAccessReview" | "LocalSubjectAccessReview":
            status = _access(api, spec, Caller(spec.get("user", ""), tuple(spec.get("groups") or ())))
        case "SelfSubjectRulesReview":
            status = _rules(api, spec, caller)
        case "TokenReview":
            status = _token(api, spec)
        case "SelfSubjectReview":
            meta["creationTimestamp"] = metadata.now()
            status = {"userInfo": _user(caller)}
        case other:
            raise not_implemented(other)
    out = {"kind": body["kind"], "apiVersion": body["apiVersion"], "metadata": meta}
    return out | ({"spec": spec} if spec else {}) | {"status": status}


def _access(api: "Api", spec: Object, caller: Caller) -> Object:
    of_resource, of_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if of_resource is None and of_path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = Cause("FieldValueInvalid", f"Invalid value: null: {text}", "spec.resourceAttributes")
        raise invalid("authorization.k8s.io", "", "", [cause])
    if of_resource is not None and of_path is not None:
        shown = quoted({"Path": of_path.get("path", ""), "Verb": of_path.get("verb", "")})
        text = f"Invalid value: {shown}: cannot be specified in combination with resourceAttributes"
        raise invalid(
            "authorization.k8s.io", "", "", [Cause("FieldValueInvalid", text, "spec.nonResourceAttributes")]
        )
    if of_resource is None and of_path is not None:
        ask = Ask(of_path.get("verb", ""), path=of_path.get("path", ""))
    elif of_resource is not None:
        ask = Ask(
            of_resource.get("verb", ""),
            of_resource.get("group", ""),
            of_resource.get("resource", ""),
            of_resource.get("subresource", ""),
            of_resource.get("namespace") or None,
            of_resource.get("name", ""),
        )
    return {"allowed": api.access.allows(caller, ask)}


def _rules(api: "Api", spec: Object, caller: Caller) -> Object:
    found = api.access.rules(caller, spec.get("namespace") or None)
    if caller.all_powerful:
        found = [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ]
    return {
        "resourceRules": [rule for rule in found if rule.get("resources")],
        "nonResourceRules": [rule for rule in found if rule.get("nonResourceURLs")],
        "incomplete": False,
    }


def _token(api: "Api", spec: Object) -> Object:
    caller = api.tokens.caller(spec.get("token", ""))
    if caller is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _user(caller)}


def _user(caller: Caller) -> Object:
    found: Object = {"username": caller.name, "groups": list(caller.groups)}
    return found | ({"uid": caller.uid} if caller.uid else {})

"""Protobuf bodies of the few kinds that `kubectl create` sends so; others are refused with 501.

The wire format is Google's; field numbers are those of the API's published messages.
"""

import base64
from collections.abc import Iterator
from typing import Any

from rollout.sandbox.apiserver.errors import bad_request, not_implemented
from rollout.sandbox.apiserver.resource import Object

MAGIC = b"k8s\x00"

Field = tuple[str, Any]
META: dict[int, Field] = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    5: ("uid", "string"),
    6: ("resourceVersion", "string"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    14: ("finalizers", "strings"),
}
RULE: dict[int, Field] = {
    1: ("verbs", "strings"),
    2: ("apiGroups", "strings"),
    3: ("resources", "strings"),
    4: ("resourceNames", "strings"),
    5: ("nonResourceURLs", "strings"),
}
SUBJECT: dict[int, Field] = {
    1: ("kind", "string"),
    2: ("apiGroup", "string"),
    3: ("name", "string"),
    4: ("namespace", "string"),
}
ROLE_REF: dict[int, Field] = {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")}
ROLE: dict[int, Field] = {1: ("metadata", META), 2: ("rules", [RULE])}
BINDING: dict[int, Field] = {1: ("metadata", META), 2: ("subjects", [SUBJECT]), 3: ("roleRef", ROLE_REF)}
ACCESS: dict[int, Field] = {
    1: (
        "resourceAttributes",
        {
            1: ("namespace", "string"),
            2: ("verb", "string"),
            3: ("group", "string"),
            4: ("version", "string"),
            5: ("resource", "string"),
            6: ("subresource", "string"),
            7: ("name", "string"),
        },
    ),
    2: ("nonResourceAttributes", {1: ("path", "string"), 2: ("verb", "string")}),
}
MESSAGES: dict[tuple[str, str], dict[int, Field]] = {
    ("v1", "Namespace"): {1: ("metadata", META)},
    ("v1", "ServiceAccount"): {1: ("metadata", META)},
    ("v1", "ConfigMap"): {
        1: ("metadata", META),
        2: ("data", "map"),
        3: ("binaryData", "bytes map"),
        4: ("immutable", "bool"),
    },
    ("v1", "Secret"): {
        1: ("metadata", META),
        2: ("data", "bytes map"),
        3: ("type", "string"),
        4: ("stringData", "map"),
        5: ("immutable", "bool"),
    },
    ("rbac.authorization.k8s.io/v1", "Role"): ROLE,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): ROLE,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): BINDING,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): BINDING,
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {1: ("metadata", META), 2: ("spec", ACCESS)},
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): {
        1: ("metadata", META),
        2: ("spec", {1: ("namespace", "string")}),
    },
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {1: ("metadata", META)},
    ("authentication.k8s.io/v1", "TokenRequest"): {
        1: ("metadata", META),
        2: ("spec", {1: ("audiences", "strings"), 4: ("expirationSeconds", "int")}),
    },
    ("v1", "DeleteOptions"): {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", {1: ("uid", "string"), 2: ("resourceVersion", "string")}),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "strings"),
    },
}


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        match tag & 7:
            case 0:
                value, at = _varint(raw, at)
                yield tag >> 3, value
            case 2:
                size, at = _varint(raw, at)
                yield tag >> 3, raw[at : at + size]
                at += size
            case kind:
                raise bad_request(f"protobuf wire type {kind} is not known here")


def _message(raw: bytes, fields: dict[int, Field]) -> Object:
    out: Object = {}
    for number, value in _fields(raw):
        if number not in fields:
            continue
        name, kind = fields[number]
        match kind:
            case "string":
                if value:
                    out[name] = value.decode()
            case "strings":
                out.setdefault(name, []).append(value.decode())
            case "int":
                out[name] = value
            case "bool":
                out[name] = bool(value)
            case "map" | "bytes map":
                pair = dict(_fields(value))
                held = pair.get(2, b"")
                shown = base64.b64encode(held).decode() if kind == "bytes map" else held.decode()
                out.setdefault(name, {})[pair.get(1, b"").decode()] = shown
            case [inner]:
                out.setdefault(name, []).append(_message(value, inner))
            case inner:
                out[name] = _message(value, inner)
    return out


def decode(raw: bytes) -> Any:
    """The object of a body; raises 400 where it is none and 501 for a kind not described here."""
    if not raw.startswith(MAGIC):
        raise bad_request("the body is not protobuf")
    envelope = dict(_fields(raw[len(MAGIC) :]))
    names = dict(_fields(envelope.get(1, b"")))
    version, kind = names.get(1, b"").decode(), names.get(2, b"").decode()
    fields = MESSAGES.get((version, kind)) or (
        MESSAGES["v1", "DeleteOptions"] if kind == "DeleteOptions" else None
    )
    if fields is None:
        raise not_implemented(
            f"protobuf bodies of kind {kind} ({version}); send JSON or YAML: kubectl apply, or create -f"
        )
    return {"apiVersion": version, "kind": kind, **_message(envelope.get(2, b""), fields)}

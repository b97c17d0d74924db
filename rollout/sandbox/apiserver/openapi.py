"""OpenAPI v3 documents: enough for `kubectl explain` and for kubectl to know of field validation."""

import hashlib
from typing import Any

import orjson

from rollout.sandbox.apiserver.registry import Registry
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served
from rollout.sandbox.apiserver.shape import OBJECT_META, Schema, definition_names, definitions

API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers "
    "should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers "
    "may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
METADATA = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
PREFIX = "#/components/schemas/"


def index(registry: Registry) -> Object:
    """The paths of the documents."""
    paths = ["version"]
    for group, versions in registry.groups().items():
        paths += [f"apis/{group}/{version}" if group else f"api/{version}" for version in versions]
    mark = hashlib.sha256(str(registry.generation).encode()).hexdigest().upper()
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"} for path in paths}}


def document(registry: Registry, group: str, version: str) -> Object | None:
    """The document of a group and version; None where it isn't served."""
    found = registry.in_version(group, version)
    if not found:
        return None
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for served in found:
        name = schema_name(served)
        if served.custom is not None:
            schemas[name] = custom_schema(served)
            _add_definition(schemas, OBJECT_META)
        else:
            _add_definition(schemas, name)
        paths |= _paths(served, name)
    title = "Kubernetes CRD Swagger" if found[0].custom else "Kubernetes"
    info = {"title": title, "version": "v0.1.0" if found[0].custom else "v1.36.2"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def schema_name(served: Served) -> str:
    """The name of a kind's schema."""
    resource = served.name.resource
    if served.custom is None:
        return definition_names().get((resource.group, resource.version, served.kind), served.kind)
    reverse = ".".join(reversed(resource.group.split(".")))
    return f"{reverse}.{resource.version}.{served.kind}"


def custom_schema(served: Served) -> Schema:
    """A custom kind's schema as it is published."""
    assert served.custom is not None
    resource = served.name.resource
    meta = {"allOf": [{"$ref": PREFIX + OBJECT_META}], "description": METADATA}
    own = {
        "apiVersion": {"type": "string", "description": API_VERSION},
        "kind": {"type": "string", "description": KIND},
        "metadata": meta,
    }
    schema = dict(served.custom.schema)
    schema["properties"] = {**schema.get("properties", {}), **own}
    gvk = {"group": resource.group, "version": resource.version, "kind": served.kind}
    return schema | {"x-kubernetes-group-version-kind": [gvk]}


def _add_definition(schemas: dict[str, Any], name: str) -> None:
    todo = [name]
    while todo:
        key = todo.pop()
        if key in schemas or key not in definitions():
            continue
        schemas[key] = _published(definitions()[key], todo)


def _published(schema: Schema, todo: list[str]) -> Schema:
    out: Schema = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            todo.append(value)
            out["allOf"] = [{"$ref": PREFIX + value}]
        elif key == "properties":
            out[key] = {name: _published(child, todo) for name, child in value.items()}
        elif key in {"items", "additionalProperties"}:
            out[key] = _published(value, todo)
        else:
            out[key] = value
    return out


def _parameter(name: str) -> Object:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}


READ_TEXT = (
    "resourceVersion sets a constraint on what resource versions a request may be served from. See "
    "https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions for "
    "details.\n\nDefaults to unset"
)


def _paths(served: Served, name: str) -> dict[str, Any]:
    resource = served.name.resource
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    scope = "/namespaces/{namespace}" if served.name.namespaced else ""
    gvk = {"group": resource.group, "version": resource.version, "kind": served.kind}
    content = {"schema": {"$ref": PREFIX + name}}
    write = [_parameter(key) for key in ("dryRun", "fieldManager", "fieldValidation")]
    body = {"content": {"application/json": content}}

    def operation(action: str, **rest: Any) -> Object:
        common = {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk}
        return {"responses": {"200": {"description": "OK", **body}}, **common, **rest}

    item = {
        "get": _read_operation(served, name, gvk),
        "put": operation("put", parameters=write, requestBody=body),
        "patch": operation("patch", parameters=[*write, _parameter("force")]),
        "delete": operation("delete", parameters=[_parameter("dryRun")]),
    }
    many = {"get": operation("list"), "post": operation("post", parameters=write, requestBody=body)}
    return {f"{root}{scope}/{served.plural}": many, f"{root}{scope}/{served.plural}/{{name}}": item}


def _read_operation(served: Served, name: str, gvk: Object) -> Object:
    resource = served.name.resource
    camel = "".join(part.capitalize() for part in f"{resource.group}.{resource.version}".split(".") if part)
    scope = "Namespaced" if served.name.namespaced else ""
    content = {kind: {"schema": {"$ref": PREFIX + name}} for kind in ("application/json", "application/yaml")}
    tag = "".join(part.capitalize() for part in resource.group.split(".")) or "core"
    version = {**_parameter("resourceVersion"), "description": READ_TEXT}
    return {
        "tags": [f"{tag[0].lower()}{tag[1:]}_{resource.version}"],
        "description": f"read the specified {served.kind}",
        "operationId": f"read{camel}{scope}{served.kind}",
        "parameters": [version],
        "responses": {
            "200": {"description": "OK", "content": content},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": "get",
        "x-kubernetes-group-version-kind": gvk,
    }


def encoded(value: Any) -> bytes:
    """JSON."""
    return orjson.dumps(value)

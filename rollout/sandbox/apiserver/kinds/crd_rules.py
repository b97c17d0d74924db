"""What a CustomResourceDefinition must look like: names, versions and structural schemas."""

import re
from typing import Any

from rollout.sandbox.apiserver import names, rules, validation
from rollout.sandbox.apiserver.errors import Cause, not_implemented
from rollout.sandbox.apiserver.kinds.checks import bad, forbidden, quoted, required, unsupported
from rollout.sandbox.apiserver.resource import Object

TYPES = ("array", "boolean", "integer", "number", "object", "string")
FORMATS = {
    *(
        "bsonobjectid",
        "uri",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "cidr",
        "mac",
        "uuid",
        "uuid3",
        "uuid4",
        "uuid5",
    ),
    *(
        "isbn",
        "isbn10",
        "isbn13",
        "creditcard",
        "ssn",
        "hexcolor",
        "rgbcolor",
        "byte",
        "password",
        "date",
        "duration",
    ),
    *("date-time", "datetime", "int32", "int64", "float", "double", "k8s-short-name", "k8s-long-name"),
}


def validate(new: Object, old: Object | None) -> list[Cause]:
    """Everything that a definition can have wrong."""
    del old
    spec = new["spec"]
    if (spec.get("conversion") or {}).get("strategy") == "Webhook":
        raise not_implemented("conversion webhooks")
    found = _names(new, spec)
    if spec.get("scope") not in {"Cluster", "Namespaced"}:
        found.append(unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced")))
    if spec.get("preserveUnknownFields"):
        text = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead"
        )
        found.append(bad("spec.preserveUnknownFields", True, text))  # noqa: FBT003 the value as it stands
    found += _versions(spec, new.get("status") or {})
    versions = spec.get("versions") or []
    for at, version in enumerate(versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            found.append(required(f"spec.versions[{at}].schema.openAPIV3Schema"))
            continue
        path = "spec.validation" if len(versions) == 1 else f"spec.versions[{at}].schema"
        found += schema_causes(schema, f"{path}.openAPIV3Schema", root=True)
    return found


def _names(new: Object, spec: Object) -> list[Cause]:
    found = []
    plural, group = spec.get("names", {}).get("plural", ""), spec.get("group", "")
    name = new["metadata"].get("name", "")
    if name != f"{plural}.{group}":
        found.append(bad("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    found += [bad("spec.names.plural", plural, text) for text in names.dns1035(plural)]
    if not spec.get("names", {}).get("kind"):
        found.append(required("spec.names.kind"))
    found += [bad("spec.group", group, text) for text in names.subdomain(group)]
    if "." not in group:
        found.append(bad("spec.group", group, "should be a domain with at least one dot"))
    return found


def _versions(spec: Object, status: Object) -> list[Cause]:
    versions = spec.get("versions") or []
    shown = [
        {
            "Name": version.get("name", ""),
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            "Schema": None,
            "Subresources": None,
            "AdditionalPrinterColumns": None,
            "SelectableFields": None,
        }
        for version in versions
    ]
    text = "[" + ",".join(_unsorted(item) for item in shown) + "]"
    found = []
    for at, version in enumerate(versions):
        problems = names.dns1035(version.get("name", ""))
        found += [bad(f"spec.versions[{at}].name", version.get("name", ""), problem) for problem in problems]
        if at == 0:
            found += [bad("spec.version", version.get("name", ""), problem) for problem in problems]
    held = [version.get("name", "") for version in versions]
    if len(set(held)) != len(held):
        found.append(
            Cause(
                "FieldValueInvalid",
                f"Invalid value: {text}: must contain unique version names",
                "spec.versions",
            )
        )
    stored = [version.get("name", "") for version in versions if version.get("storage")]
    if len(stored) != 1:
        why = "must have exactly one version marked as storage version"
        found.append(Cause("FieldValueInvalid", f"Invalid value: {text}: {why}", "spec.versions"))
    return found + _stored(stored, status)


def _unsorted(value: Any) -> str:
    return validation.go_text(value)


def _stored(stored: list[str], status: Object) -> list[Cause]:
    if not stored:
        return [bad("status.storedVersions", None, "must have at least one stored version")]
    if len(stored) > 1:
        listed = list(dict.fromkeys(status.get("storedVersions") or stored))
        return [bad("status.storedVersions", listed, f"must have the storage version {stored[-1]}")]
    return []


def schema_causes(schema: Object, path: str, *, root: bool = False, nested: bool = False) -> list[Cause]:
    """What is not structural about a schema; `nested` inside allOf, anyOf, oneOf and not."""
    found: list[Cause] = []
    if not isinstance(schema, dict):
        return [bad(path, schema, "must be a schema")]
    kind = schema.get("type", "")
    if "$ref" in schema:
        return [forbidden(f"{path}.$ref", "$ref is not supported")]
    if nested:
        if kind and not schema.get("x-kubernetes-int-or-string"):
            found.append(forbidden(f"{path}.type", "must be empty to be structural"))
    else:
        found += _typed(schema, kind, path, root=root)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(forbidden(f"{path}.uniqueItems", text))
    extra = schema.get("additionalProperties")
    if (isinstance(extra, dict) or extra is True) and schema.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        found.append(forbidden(f"{path}.additionalProperties", text))
    found += _pattern(schema, path)
    found += _list_type(schema, path)
    if "default" in schema and not nested:
        found += _default(schema, path)
    found += _rules(schema, path)
    return found + _below(schema, path, nested=nested)


def _typed(schema: Object, kind: str, path: str, *, root: bool) -> list[Cause]:
    if kind and kind not in TYPES:
        return [unsupported(f"{path}.type", kind, TYPES)]
    if not kind:
        if schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields"):
            return []
        where = "at the root" if root else "for specified object fields"
        return [required(f"{path}.type", f"must not be empty {where}")]
    if root and kind != "object":
        return [bad(f"{path}.type", kind, "must be object at the root")]
    if kind == "array" and not isinstance(schema.get("items"), dict):
        return [required(f"{path}.items", "must be specified")]
    return []


def _pattern(schema: Object, path: str) -> list[Cause]:
    if "pattern" not in schema:
        return []
    try:
        re.compile(schema["pattern"])
    except re.error as error:
        pattern = schema["pattern"]
        why = f"error parsing regexp: {error.msg}: `{pattern}`"
        if "unterminated subpattern" in error.msg:
            why = f"error parsing regexp: missing closing ): `{pattern}`"
        return [bad(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {why}")]
    return []


def _list_type(schema: Object, path: str) -> list[Cause]:
    if schema.get("x-kubernetes-list-type") != "map":
        return []
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if not keys:
        text = "must not be empty if x-kubernetes-list-type is map"
        return [required(f"{path}.x-kubernetes-list-map-keys", text)]
    items = schema.get("items")
    if not isinstance(items, dict) or not _is_shaped(items):
        return [required(f"{path}.items", "must be a schema")]
    found = []
    for at, key in enumerate(keys):
        held = items.get("properties", {}).get(key)
        if not isinstance(held, dict):
            text = "entries must all be names of item properties"
            found.append(bad(f"{path}.x-kubernetes-list-map-keys[{at}]", key, text))
        elif key not in items.get("required", ()) and "default" not in held:
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be "
                "a required property"
            )
            found.append(required(f"{path}.items.properties[{key}].default", text))
    return found


def _is_shaped(items: Object) -> bool:
    return isinstance(items.get("properties", {}), dict) and isinstance(items.get("required", []), list)


def _default(schema: Object, path: str) -> list[Cause]:
    rest = {key: value for key, value in schema.items() if key != "default"}
    return [
        Cause(cause.reason, cause.message, f"{path}.default" + (f".{cause.field}" if cause.field else ""))
        for cause in validation.validate(schema["default"], rest, "")
    ]


def _rules(schema: Object, path: str) -> list[Cause]:
    found = []
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{at}].rule"
        expression = rule.get("rule", "")
        if not expression.strip():
            found.append(required(where, "rule is not specified"))
            continue
        try:
            rules.compiled(expression)
        except ValueError as error:
            why = str(error).split(": ", 1)[-1] if "ERROR" in str(error) else str(error)
            found.append(_refused(where, rule, f"compilation failed: {_at_source(why, expression)}"))
            continue
        if problem := rules.static_problem(expression, schema):
            found.append(_refused(where, rule, problem))
    return found


def _at_source(error: str, expression: str) -> str:
    """The parser's message; it marks the place by dots under the source."""
    head, _, _ = error.partition("\n")
    matched = re.search(r"<input>:1:(\d+)", head)
    if matched is None:
        return error
    return f"{head}\n | {expression}\n | {'.' * (int(matched.group(1)) - 1)}^"


def _refused(where: str, rule: Object, why: str) -> Cause:
    shown = {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
    return Cause("FieldValueInvalid", f"Invalid value: {validation.go_text(shown)}: {why}", where)


def _below(schema: Object, path: str, *, nested: bool) -> list[Cause]:
    found = []
    properties = schema.get("properties")
    for name, child in properties.items() if isinstance(properties, dict) else ():
        found += schema_causes(child, f"{path}.properties[{name}]", nested=nested)
    if isinstance(schema.get("items"), dict):
        found += schema_causes(schema["items"], f"{path}.items", nested=nested)
    if isinstance(schema.get("additionalProperties"), dict):
        found += schema_causes(schema["additionalProperties"], f"{path}.additionalProperties", nested=nested)
    if schema.get("x-kubernetes-int-or-string"):
        return found
    for key in ("allOf", "anyOf", "oneOf"):
        for at, child in enumerate(schema.get(key) or ()):
            found += schema_causes(child, f"{path}.{key}[{at}]", nested=True)
    if isinstance(schema.get("not"), dict):
        found += schema_causes(schema["not"], f"{path}.not", nested=True)
    return found


def format_warnings(obj: Object) -> list[str]:
    """Warnings about formats that nothing checks."""
    found: list[str] = []

    def walk(schema: Any) -> None:
        if not isinstance(schema, dict):
            return
        kind = schema.get("format")
        if isinstance(kind, str) and kind not in FORMATS and schema.get("type") == "string":
            found.append(f"unrecognized format {quoted(kind)}")
        properties = schema.get("properties")
        for child in properties.values() if isinstance(properties, dict) else ():
            walk(child)
        walk(schema.get("items"))
        walk(schema.get("additionalProperties"))

    for version in obj["spec"].get("versions") or ():
        walk((version.get("schema") or {}).get("openAPIV3Schema"))
    return found

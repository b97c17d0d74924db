"""CustomResourceDefinitions, generated from the models: what `kubectl` is told about our kinds.

A field of the contract that is not built yet is declared, with a rule that refuses it by name: no client,
however lenient, can store it. Required fields beside such fields are asked for by a rule too: a schema's own
`required` would speak first and silence the rules.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from rollout.api.kinds import DEFINITIONS, Definition, Rule
from rollout.api.meta import GROUP, VERSION
from rollout.api.schema import Schema, structural
from rollout.api.unsupported import Unsupported


def all_crds() -> dict[str, dict[str, Any]]:
    """Every CustomResourceDefinition by the name of its file."""
    return {f"{each.plural}.yaml": crd(each) for each in DEFINITIONS}


def rendered() -> dict[str, str]:
    """The text of every file in `crds/`."""
    return {
        name: f"# Generated from rollout/api by `rollout crds --write crds`.\n{_yaml(body)}"
        for name, body in all_crds().items()
    }


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write equal parts out each time: Kubernetes' readers of YAML know no anchors."""
        del data
        return True


def _yaml(body: Mapping[str, Any]) -> str:
    text: str = yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return text


def crd(definition: Definition) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    names: dict[str, Any] = {
        "kind": definition.kind,
        "listKind": f"{definition.kind}List",
        "plural": definition.plural,
        "singular": definition.kind.lower(),
        "categories": ["progressive-delivery"],
    }
    if definition.short_names:
        names["shortNames"] = list(definition.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": definition.scope,
            "versions": [_version(definition)],
        },
    }


def _version(definition: Definition) -> dict[str, Any]:
    subresources: dict[str, Any] = {"status": {}}
    if definition.scale:
        subresources["scale"] = dict(definition.scale)
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": subresources,
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path} for name, kind, path in definition.columns
        ],
        "schema": {"openAPIV3Schema": open_api(definition)},
    }


def open_api(definition: Definition) -> Schema:
    """The structural schema of a whole object."""
    root: Schema = {
        "type": "object",
        "description": (definition.model.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(definition.model)["properties"]["spec"],
            "status": _without_defaults(structural(definition.status)),
        },
    }
    for row in definition.unsupported:
        _declare(root, row)
    rules = (*definition.rules, *_refusals(definition), *_required(root, definition))
    for rule in rules:
        _add_rule(root, rule)
    return root


def _at(schema: Schema, path: str) -> Schema:
    """The schema of the object at `path`; `name[]` is the item of a list."""
    for part in path.split(".") if path else ():
        schema = schema["properties"][part.removesuffix("[]")]
        schema = schema["items"] if part.endswith("[]") else schema
    return schema


_ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_SCALAR: Schema = {"x-kubernetes-int-or-string": True}
_DECLARED: Mapping[str, Schema] = {
    "object": _ANYTHING,
    "array": {"type": "array", "items": _ANYTHING},
    "any": _SCALAR,
    "scalars": {"type": "array", "items": _SCALAR},
}


def _declare(root: Schema, row: Unsupported) -> None:
    declared = _DECLARED.get(row.type, {"type": row.type})
    text = {"description": f"Not supported yet: {row.remedy}."}
    _at(root, row.parent)["properties"][row.field] = text | dict(declared)


def _refusals(definition: Definition) -> Iterator[Rule]:
    for row in definition.unsupported:
        message = f"{row.field} is not supported yet: {row.remedy}"
        yield Rule(row.parent, f"!has(self.{row.field})", message, row.field, "FieldValueForbidden")


def _required(root: Schema, definition: Definition) -> Iterator[Rule]:
    """The required fields of objects that have refused ones, as rules; the schema no longer asks for them."""
    for path in sorted({row.parent for row in definition.unsupported}):
        for name in _at(root, path).pop("required", ()):
            yield Rule(path, f"has(self.{name})", f"{name} is required", name, "FieldValueRequired")


def _add_rule(root: Schema, rule: Rule) -> None:
    written = {"rule": rule.rule, "message": rule.message, "reason": rule.reason}
    if rule.field:
        written["fieldPath"] = f".{rule.field}"
    _at(root, rule.path).setdefault("x-kubernetes-validations", []).append(written)


def _without_defaults(schema: Any) -> Any:
    """A status that lacks something says so: nothing is filled in."""
    if isinstance(schema, Mapping):
        return {key: _without_defaults(value) for key, value in schema.items() if key != "default"}
    return [_without_defaults(item) for item in schema] if isinstance(schema, list) else schema

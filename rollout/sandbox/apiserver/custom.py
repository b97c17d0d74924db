"""Validation of custom resources: their schema, then their rules."""

from dataclasses import replace

from rollout.sandbox.apiserver import rules, validation
from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served


def causes(served: Served, obj: Object, old: Object | None, subresource: str) -> list[Cause]:
    """What schema and rules say against a custom resource (or, by that subresource, its status)."""
    assert served.custom is not None
    schema = served.custom.schema

    def part(whole: Object) -> Object:
        skipped = {"metadata", "apiVersion", "kind"}
        return {key: value for key, value in whole.items() if key not in skipped}

    if subresource == "status":
        return _status_causes(served, obj, old)
    # metadata is the API machinery's to check; rules at the root still see its name
    before = validation.NONE if old is None else part(old)
    body = {
        **schema,
        "required": [r for r in schema.get("required", ()) if r not in {"metadata", "apiVersion", "kind"}],
    }
    found = validation.validate(part(obj), body, "", before)
    if served.custom.has_rules:
        if any(cause.reason in rules.BLOCKING for cause in found):
            return [*found, rules.UNCHECKED]
        found += rules.check(_rule_view(obj), schema, "", validation.NONE if old is None else _rule_view(old))
    return found


def _status_causes(served: Served, obj: Object, old: Object | None) -> list[Cause]:
    """Status alone; messages name its fields without it, as the original's do."""
    assert served.custom is not None
    schema = served.custom.schema.get("properties", {}).get("status") or {}
    if "status" not in obj:
        return []
    before = validation.NONE if old is None or "status" not in old else old["status"]
    found = [
        cause
        if cause.field == "<nil>"
        else replace(cause, field=f"status.{cause.field}" if cause.field else "status")
        for cause in validation.validate(obj["status"], schema, "", before)
    ]
    if served.custom.has_rules and not any(cause.reason in rules.BLOCKING for cause in found):
        found += rules.check(obj["status"], schema, "status", before)
    return found


def _rule_view(obj: Object) -> Object:
    """What rules at the root see of metadata: name and generateName."""
    meta = {key: value for key, value in obj["metadata"].items() if key in {"name", "generateName"}}
    return {**obj, "metadata": meta}

"""Options of requests, and the bodies of patches."""

from collections.abc import Mapping
from typing import Any

import orjson

from rollout.sandbox.apiserver import parsing
from rollout.sandbox.apiserver.errors import Cause, bad_request, invalid


def parse_patch(raw: bytes, media: str) -> Any:
    """A patch's body; raises 400 in the words of each patch type."""
    try:
        if media == "application/apply-patch+yaml":
            return parsing.parse_yaml(raw)
        value = parsing.parse_json(raw)
    except parsing.DecodeError as error:
        prefix = "" if "strategic" in media else "error decoding patch: "
        if media == "application/apply-patch+yaml":
            prefix = "error decoding YAML: "
        raise bad_request(f"{prefix}{error}") from error
    if media != "application/json-patch+json" and not isinstance(value, dict):
        prefix = "" if "strategic" in media else "error decoding patch: "
        kind = parsing.json_kind(value)
        raise bad_request(
            f"{prefix}json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    return value


def check_options(query: Mapping[str, str], options: str) -> None:
    """Raise 422 for options that make no sense."""
    found = []
    manager = query.get("fieldManager", "")
    if len(manager.encode()) > 128:
        found.append(Cause("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager"))
    for at, char in enumerate(manager):
        if not char.isprintable():
            text = f"invalid character U+{ord(char):04X} (at position {at})"
            quoted = orjson.dumps(manager).decode()
            found.append(Cause("FieldValueInvalid", f"Invalid value: {quoted}: {text}", "fieldManager"))
    if query.get("dryRun", "") not in {"", "All"}:
        text = f'Unsupported value: ["{query["dryRun"]}"]: supported values: "All"'
        found.append(Cause("FieldValueNotSupported", text, "dryRun"))
    if query.get("fieldValidation", "") not in {"", "Ignore", "Warn", "Strict"}:
        text = (
            f'Unsupported value: "{query["fieldValidation"]}": supported values: "", "Ignore", '
            '"Strict", "Warn"'
        )
        found.append(Cause("FieldValueNotSupported", text, "fieldValidation"))
    if found:
        raise invalid("meta.k8s.io", options, "", found)


def check_patch_options(query: Mapping[str, str], media: str) -> None:
    """Raise 422 where an apply names no manager, or another patch is forced."""
    found = []
    if media == "application/apply-patch+yaml":
        if not query.get("fieldManager"):
            found.append(
                Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            )
    elif "force" in query:
        found.append(
            Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
        )
    if found:
        raise invalid("meta.k8s.io", "PatchOptions", "", found)

"""From bodies to objects of a kind: what create, PUT and patches have in common."""

from typing import Any

import orjson

from rollout.sandbox.apiserver import structural
from rollout.sandbox.apiserver.decode import Findings, decode_builtin, decode_metadata, not_handled
from rollout.sandbox.apiserver.errors import ApiError, Cause, bad_request, invalid
from rollout.sandbox.apiserver.parsing import DecodeError, duplicates, json_kind
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served, Write
from rollout.sandbox.apiserver.shape import kind_shape, object_name

SCHEME = "pkg/api/legacyscheme/scheme.go:30"


def unrecognized(served: Served, why: str, raw: bytes) -> ApiError:
    """400 for a body that is no object."""
    shown = raw.decode("utf-8", "replace")
    if why.startswith("json: cannot unmarshal"):
        shown = raw.hex()
    shown = shown or "<empty>"
    prefix = "" if why.startswith("Object") else "couldn't get version/kind; json parse error: "
    return bad_request(
        f"the object provided is unrecognized (must be of type {served.kind}): {prefix}{why} ({shown})"
    )


def check_is_object(served: Served, value: Any, raw: bytes) -> None:
    """Raise 400 unless a body is a JSON object that could be of the kind."""
    if not isinstance(value, dict):
        into = (
            'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string '
            '"json:\\"kind,omitempty\\"" }'
        )
        raise unrecognized(
            served, f"json: cannot unmarshal {json_kind(value)} into Go value of type {into}", raw
        )
    if served.custom and not value.get("kind"):
        raise unrecognized(served, f"Object 'Kind' is missing in '{raw.decode()}'", raw)


def check_text(served: Served, value: Object, raw: bytes) -> None:
    """Raise 400 where apiVersion or kind is no text; nulls are taken as absent."""
    for key in ("apiVersion", "kind"):
        held = value.get(key)
        if held is None:
            value.pop(key, None)
        elif not isinstance(held, str):
            why = f"json: cannot unmarshal {json_kind(held)} into Go struct field .{key} of type string"
            raise unrecognized(served, why, raw)


def check_kind(served: Served, value: Object) -> None:
    """Raise 400 or 422 unless apiVersion and kind are those of the path; absent ones of built-in kinds are
    set."""
    version, kind = value.get("apiVersion", ""), value.get("kind", "")
    if served.custom:
        if version != served.api_version:
            raise bad_request(
                f"the API version in the data ({version}) does not match the expected API "
                f"version ({served.api_version})"
            )
        if kind != served.kind:
            cause = Cause("FieldValueInvalid", f'Invalid value: "{kind}": must be {served.kind}', "kind")
            raise invalid(served.group, kind, object_name(value), [cause])
        return
    value.setdefault("apiVersion", served.api_version)
    value.setdefault("kind", served.kind)
    if (value["apiVersion"], value["kind"]) != (served.api_version, served.kind):
        _decode_as_other(served, value)
        short = value["apiVersion"].rsplit("/", 1)[-1]
        text = (
            f'no kind "{value["kind"]}" is registered for version "{value["apiVersion"]}" in '
            f'scheme "{SCHEME}"'
        )
        raise not_handled(value["kind"], short, DecodeError(text), served.kind)


def _decode_as_other(served: Served, value: Object) -> None:
    """A body of another known kind is decoded as that first, and may fail in that."""
    group, _, version = value["apiVersion"].rpartition("/")
    try:
        decode_builtin(value, kind_shape(group, version, value["kind"]), Findings())
    except DecodeError as error:
        raise not_handled(value["kind"], version, error, served.kind) from error


def decode(served: Served, value: Object, found: Findings) -> Object:
    """The object as the kind's types allow it; unknown fields are noted and dropped. Raises 400."""
    version = served.name.resource.version
    try:
        if served.custom is None:
            obj: Object = decode_builtin(value, served.shape, found)
            obj["apiVersion"], obj["kind"] = served.api_version, served.kind
            obj.setdefault("metadata", {})
            return obj
        return _decode_custom(served, value, found)
    except DecodeError as error:
        raise not_handled(served.kind, version, error) from error


def _decode_custom(served: Served, value: Object, found: Findings) -> Object:
    assert served.custom is not None
    obj: Object = plain_numbers(value)
    obj["metadata"] = decode_metadata(obj.get("metadata"), found)
    schema = served.custom.schema
    if not served.custom.preserve:
        structural.prune(obj, schema, found)
    structural.default(obj, schema)
    structural.drop_nulls(obj, schema)
    return obj


def plain_numbers(value: Any) -> Any:
    """A copy in which whole numbers are integers, as Go writes them."""
    if isinstance(value, dict):
        return {key: plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def report(served: Served, found: Findings, write: Write) -> None:
    """Refuse (Strict), warn of, or ignore unknown and duplicate fields."""
    if not found.problems or write.validation == "Ignore":
        return
    if write.validation == "Strict":
        text = "strict decoding error: " + ", ".join(found.problems)
        raise not_handled(served.kind, served.name.resource.version, DecodeError(text))
    write.warnings += found.problems


def report_patched(found: Findings, write: Write, shown: str) -> None:
    """The same for the outcome of a patch, whose refusal shows it."""
    if not found.problems or write.validation == "Ignore":
        return
    if write.validation == "Strict":
        text = "strict decoding error: " + ", ".join(found.problems)
        cause = Cause("FieldValueInvalid", f"Invalid value: {orjson.dumps(shown).decode()}: {text}", "patch")
        raise invalid("", "", "", [cause])
    write.warnings += found.problems


def from_body(served: Served, value: Any, write: Write) -> Object:
    """The object of a create or PUT."""
    raw = write.raw if write.raw is not None else orjson.dumps(value)
    check_is_object(served, value, raw)
    value = dict(value)
    if value.get("metadata") is None:
        value["metadata"] = {}
    check_text(served, value, raw)
    check_kind(served, value)
    found = Findings()
    if write.raw is not None and write.validation != "Ignore":
        for path in duplicates(write.raw):
            found.add(f'duplicate field "{path}"')
    obj = decode(served, value, found)
    report(served, found, write)
    return obj

"""Findings of validation, in the API's words."""

from typing import Any

import orjson

from rollout.sandbox.apiserver.errors import Cause


def quoted(value: Any) -> str:
    """A value as messages show it."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def required(path: str, text: str = "") -> Cause:
    """A field that must be set."""
    return Cause("FieldValueRequired", f"Required value: {text}" if text else "Required value", path)


def bad(path: str, value: Any, text: str) -> Cause:
    """A value that can't be."""
    return Cause("FieldValueInvalid", f"Invalid value: {quoted(value)}: {text}", path)


def unsupported(path: str, value: Any, allowed: tuple[str, ...]) -> Cause:
    """A value that is none of those allowed."""
    listed = ", ".join(quoted(item) for item in allowed)
    return Cause(
        "FieldValueNotSupported", f"Unsupported value: {quoted(value)}: supported values: {listed}", path
    )


def duplicate(path: str, value: Any) -> Cause:
    """A value that stands twice."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {quoted(value)}", path)


def forbidden(path: str, text: str) -> Cause:
    """Something that may not be done."""
    return Cause("FieldValueForbidden", f"Forbidden: {text}", path)


def immutable(path: str, value: Any) -> Cause:
    """A field that may not change."""
    return bad(path, value, "field is immutable")


def not_negative(path: str, value: Any) -> list[Cause]:
    """A count that must not be negative."""
    if isinstance(value, int) and value < 0:
        return [bad(path, value, "must be greater than or equal to 0")]
    return []

"""Regular expressions that tenants write: only those that can't take for ever. Pure."""

import re
from collections.abc import Iterable
from typing import Any

_REPEATS, _REPEATED = 3, 16
"""Endless repetitions that are let through, and from how many times on one counts as endless."""


def is_pattern(text: str) -> str:
    """A regular expression that can't take for ever: whoever may write a GitSource must not stop us."""
    try:
        re.compile(text)
        unbounded = _repeats(re._parser.parse(text))  # type: ignore[attr-defined]  # the same parser
    except (re.error, RecursionError, OverflowError):
        raise ValueError("is not a regular expression, as Python's re reads it") from None
    if unbounded > _REPEATS:
        raise ValueError(f"must not repeat without end more than {_REPEATS} times, nor one within another")
    return text


def _repeats(parsed: Iterable[Any], *, within: bool = False) -> int:
    """Endless repetitions in a parsed pattern; too many where one is within another, or it refers back."""
    found = 0
    for kind, value in parsed:
        name = str(kind)
        if name in ("GROUPREF", "GROUPREF_EXISTS") or (within and name == "BRANCH"):
            return _REPEATS + 1
        endless = name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and value[1] > _REPEATED
        if endless and within:
            return _REPEATS + 1
        found += endless
        for part in _parts(name, value):
            found += _repeats(part, within=within or endless)
    return found


def _parts(name: str, value: Any) -> list[Any]:
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [value[2]]
    if name == "BRANCH":
        return list(value[1])
    if name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return [value[-1]]
    return [value] if name == "ATOMIC_GROUP" else []

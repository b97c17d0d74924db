"""What a plain YAML scalar means in a manifest: what `kubectl` reads, and a refusal where readers differ.

YAML types that JSON lacks (timestamps, base 60, infinities) don't exist here: `2001-12-14` and `12:30:45` are
text.
"""

import math
import re

JsonScalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_AMBIGUOUS = frozenset({"y", "n", "yes", "no", "on", "off"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_OCTAL = re.compile(r"([-+]?)0o?([0-7_]+)")
_NEITHER = re.compile(r"[-+]?0[0-9_]*[89][0-9_]*")
_OTHER_BASE = re.compile(r"[-+]?0(x[0-9a-fA-F_]+|b[01_]+)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INT64 = range(-(2**63), 2**63)
_LONGEST = 66  # characters of the longest 64-bit integer, in base 2


def resolve(text: str) -> JsonScalar:
    """Read an unquoted scalar. Raises `ValueError` with what to write instead."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text.lower() in _AMBIGUOUS:
        raise ValueError(
            f"{text!r} is true or false to some readers and text to others: quote it, or write true/false"
        )
    if _NEITHER.fullmatch(text):
        raise ValueError(
            f"{text[:40]} is a number to some readers and text to others: quote it, or drop the 0"
        )
    if _NOT_JSON.fullmatch(text):
        raise ValueError(f"{text} is a number that JSON doesn't have: quote it or write a finite one")
    if (number := _integer(text)) is not None:
        return number
    return _float(text) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int | None:
    octal = _OCTAL.fullmatch(text)
    if not (octal or _INT.fullmatch(text) or _OTHER_BASE.fullmatch(text)):
        return None
    digits = text.replace("_", "")
    if len(digits) > _LONGEST:
        raise ValueError(f"an integer of {len(digits)} digits doesn't fit in 64 bits: quote it if it is text")
    number = int(f"{octal[1]}0o{octal[2].replace('_', '') or '0'}", 0) if octal else int(digits, 0)
    if number not in _INT64:
        raise ValueError(f"{digits} doesn't fit in 64 bits: quote it if it is text")
    return number


def _float(text: str) -> float:
    number = float(text.replace("_", ""))
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number: quote it if it is text")
    return number

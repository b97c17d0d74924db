"""Quantities: `500m`, `1Gi`, `2e3`."""

import re
from decimal import Decimal

SUFFIXES = {
    "": 0,
    "n": -9,
    "u": -6,
    "m": -3,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def amount(text: object) -> Decimal | None:
    """The number that a quantity stands for; None where it is none."""
    matched = re.fullmatch(r"([+-]?\d+\.?\d*|[+-]?\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?", str(text))
    if matched is None:
        return None
    number, suffix = Decimal(matched.group(1)), matched.group(2) or ""
    if suffix in BINARY:
        return number * Decimal(2 ** BINARY[suffix])
    return number.scaleb(SUFFIXES[suffix] if suffix in SUFFIXES else int(suffix[1:]))

"""Intents: what a person asks for with one `kubectl annotate`.

The value of the annotation is free text, the reason; `for=HASH: reason` binds it to one revision. An intent
is the same intent as long as key, value and `set_at` are the same.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PREFIX = "progressive.delivery/"
UNKNOWN = "unknown"
"""Who set an intent of which managedFields say nothing; when it was set is then when it was first seen."""

VALUE_LIMIT_BYTES = 1024
"""Of a value in the status; an annotation may have 256 kB."""

_BOUND = re.compile(r"^for=(?P<revision>[a-z0-9]{1,64})(?::\s*(?P<reason>.*))?$", re.DOTALL)


class IntentKey(StrEnum):
    """What can be asked for."""

    ABORT = "abort"
    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    RESTART = "restart"

    @property
    def annotation(self) -> str:
        """The annotation that carries it."""
        return PREFIX + self.value


@dataclass(frozen=True, slots=True)
class Intent:
    """An annotation as it was found on the object."""

    key: IntentKey
    value: str
    """The annotation's value as it stands: removal tests for it."""
    set_at: datetime
    """The annotation's managedFields time, else when it was first seen."""
    by: str
    """The field manager that set it, or the user where the optional webhook says so."""

    @property
    def bound_to(self) -> str | None:
        """The revision hash that it was bound to with `for=HASH: reason`."""
        match = _BOUND.match(self.value)
        return match["revision"] if match else None

    @property
    def reason(self) -> str:
        """The free text without the binding."""
        match = _BOUND.match(self.value)
        return (match["reason"] or "") if match else self.value

    @property
    def identity(self) -> tuple[str, str, datetime]:
        """What makes it this intent and no other (invariant I12)."""
        return (self.key.value, recorded(self.value), self.set_at)


def bound(revision: str, reason: str) -> str:
    """The annotation value that binds `reason` to `revision`."""
    return f"for={revision}: {reason}"


def recorded(value: str) -> str:
    """A value as the status holds it: whole, or where it is long its beginning and its hash."""
    encoded = value.encode(errors="replace")
    if len(encoded) <= VALUE_LIMIT_BYTES:
        return encoded.decode()
    mark = f"… (sha256:{hashlib.sha256(encoded).hexdigest()})"
    return encoded[: VALUE_LIMIT_BYTES - len(mark.encode())].decode(errors="ignore") + mark


def find(
    annotations: Mapping[str, str], set_at: Mapping[str, tuple[datetime, str]], seen_at: datetime
) -> tuple[Intent, ...]:
    """Intents among `annotations`, abort first.

    `set_at` maps an annotation's name to (time, field manager) as managedFields tell; `seen_at` stands in
    where they don't.
    """
    found = []
    for key in IntentKey:
        value = annotations.get(key.annotation)
        if value is not None:
            when, by = set_at.get(key.annotation, (seen_at, UNKNOWN))
            found.append(Intent(key, value, when, by))
    return tuple(found)

"""The verdict as a git note: JSON documents, one a line, of all Rollouts that were tried at one commit.

Several Rollouts and several clusters write on the same commit, and people may too: what isn't
ours is kept as it is.
"""

import json
from collections.abc import Mapping
from typing import Any

NOTES_REF = "refs/notes/rollout"

_Key = tuple[Any, ...]


def line(record: Mapping[str, Any]) -> bytes:
    """Render a verdict as one line: compact, keys in the order given, no newline inside."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def merge(note: bytes, record: bytes) -> bytes:
    """Put a record into a note: in place of the one of the same attempt, else at the end.

    An attempt is known by `cluster` (may be absent), `rollout` and `attempt`.
    Equal content gives an equal note.
    Raises `ValueError` if the record is no one-line JSON object that names its `rollout` and `attempt`.
    """
    key = _key(record)
    if key is None or b"\n" in record.strip():
        raise ValueError("a note's record is one line of JSON with `rollout` and `attempt`")
    lines = note.rstrip(b"\n").split(b"\n") if note.strip() else []
    places = [index for index, old in enumerate(lines) if _key(old) == key]
    if not places:
        return b"\n".join([*lines, record.strip(), b""])
    lines[places[0]] = record.strip()
    kept = [old for index, old in enumerate(lines) if index not in places[1:]]
    return b"\n".join([*kept, b""])


def records(note: bytes) -> tuple[dict[str, Any], ...]:
    """The records of a note in their order; lines that are not ours are left out."""
    return tuple(json.loads(text) for text in note.split(b"\n") if _key(text) is not None)


def _key(text: bytes) -> _Key | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or "rollout" not in record or "attempt" not in record:
        return None
    return (str(record.get("cluster", "")), str(record["rollout"]), str(record["attempt"]))

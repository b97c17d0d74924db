"""Who is who: the hash of a pod template (a revision) and of a spec (an attempt).

Both hash a canonical text: keys in order, nothing that is null, whole numbers without a fraction. They must
not change for a spec that stays as it is, whatever a later version of the models adds: a changed template
hash would start a new revision of everything, a changed attempt key would retry all that was refused.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rollout.api.rollout import RolloutSpec

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters that make no words, as Kubernetes uses them in names."""

TEMPLATE_HASH_LENGTH = 10
ATTEMPT_KEY_LENGTH = 16

_OUTSIDE_AN_ATTEMPT = {"replicas", "paused", "revision_history_limit", "rollback_window"}


def template_hash(template: Mapping[str, Any], collision: int = 0) -> str:
    """The revision that a raw pod template is: ten characters that fit names and labels.

    `collision` counts how often another template was found under the hash.
    """
    return _code(canonical(template) + (f"#{collision}" if collision else ""), TEMPLATE_HASH_LENGTH)


def attempt_key(spec: RolloutSpec) -> str:
    """The attempt that a spec is: all of it but replicas, paused, history limits and the rollback window;
    `retry` included.

    A field that is set to its default counts as absent, and `60s` is `1m`.
    """
    body = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_OUTSIDE_AN_ATTEMPT)
    return _code(canonical(body), ATTEMPT_KEY_LENGTH)


def canonical(value: Any) -> str:
    """One text for all JSON that means the same to the API server."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
    return value


def _code(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[index])
    return "".join(letters)

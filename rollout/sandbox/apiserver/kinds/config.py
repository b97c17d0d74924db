"""ConfigMaps and Secrets."""

import base64

from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds.checks import bad, forbidden, immutable
from rollout.sandbox.apiserver.resource import Object

FROZEN = "field is immutable when `immutable` is set"


def default_secret(obj: Object) -> None:
    """Type, and `stringData` into `data`."""
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _frozen(new: Object, old: Object, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    found = [] if new.get("immutable") else [forbidden("immutable", FROZEN)]
    return found + [forbidden(field, FROZEN) for field in fields if new.get(field) != old.get(field)]


def _keys(obj: Object, fields: tuple[str, ...]) -> list[Cause]:
    return [
        bad(f"{field}[{key}]", key, problem)
        for field in fields
        for key in obj.get(field) or ()
        for problem in names.config_key(key)
    ]


def validate_config_map(new: Object, old: Object | None) -> list[Cause]:
    """Keys, and that an immutable one stays."""
    found = _keys(new, ("data", "binaryData"))
    return found + (_frozen(new, old, ("data", "binaryData")) if old else [])


def validate_secret(new: Object, old: Object | None) -> list[Cause]:
    """Keys, type, and that an immutable one stays."""
    found = _keys(new, ("data",))
    if old is not None:
        if new["type"] != old["type"]:
            found.append(immutable("type", new["type"]))
        found += _frozen(new, old, ("data",))
    return found

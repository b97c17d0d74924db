"""Continue tokens: where the next page of a list begins."""

import base64
from typing import Any

import orjson

from rollout.sandbox.apiserver.errors import bad_request


def make_token(version: int, key: str) -> str:
    """A continue token."""
    text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": key + "\0"})
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def parse_token(token: str) -> tuple[int, str]:
    """The version and last key of a continue token; raises 400."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        value: Any = orjson.loads(raw)
        return int(value["rv"]), str(value["start"])[:-1]
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(
            "invalid continue token: continue key is not valid: " + _token_problem(token)
        ) from error


def _token_problem(token: str) -> str:
    for at, char in enumerate(token):
        if not (char.isascii() and (char.isalnum() or char in "-_=")):
            return f"illegal base64 data at input byte {at}"
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return f"illegal base64 data at input byte {len(token) - len(token) % 4}"
    shown = (
        orjson.dumps(chr(raw[0])).decode().strip('"')
        if raw and raw[0] < 128
        else f"\\u{raw[0]:04x}"
        if raw
        else ""
    )
    return f"invalid character '{shown}' looking for beginning of value"

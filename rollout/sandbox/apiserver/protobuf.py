"""Protobuf bodies: refused for now."""

from typing import Any

from rollout.sandbox.apiserver.errors import not_implemented


def decode(raw: bytes) -> Any:
    """The object of a protobuf body."""
    del raw
    raise not_implemented("protobuf bodies")

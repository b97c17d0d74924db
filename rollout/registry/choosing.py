"""Which tag a policy takes: the highest of its order among those that pass its filter and did not fail."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from semantic_version import NpmSpec, Version

from rollout.api.images import ImagePolicy, Order
from rollout.registry.names import TAG

Rank = tuple[Any, ...]


def choose(policy: ImagePolicy, tags: Iterable[str], failed: Collection[str] = ()) -> str:
    """The tag that is wanted; '' where none qualifies."""
    ranked = [
        (found, tag)
        for tag in set(tags)
        if tag not in failed and TAG.fullmatch(tag) and (found := rank(policy, tag)) is not None
    ]
    return max(ranked)[1] if ranked else ""


def is_newer(policy: ImagePolicy, tag: str, present: str) -> bool:
    """Whether a chosen tag takes the place of the present one: never an older one's, nor its own."""
    was, now = rank(policy, present), rank(policy, tag)
    return now is not None and tag != present and (was is None or now > was)


def rank(policy: ImagePolicy, tag: str) -> Rank | None:
    """Where a tag stands in the policy's order; None where it has no place in it."""
    key = _extracted(policy, tag)
    if key is None:
        return None
    if policy.semver is not None:
        version = _version(key)
        held = version is not None and version in NpmSpec(policy.semver)
        return (version.precedence_key, tag) if version is not None and held else None
    if policy.numeric is not None:
        if not re.fullmatch(r"\d{1,100}(\.\d{1,100})?", key):
            return None
        whole, _, part = key.partition(".")
        number = (int(whole), part.rstrip("0"))
        return number if policy.numeric is Order.ASC else (-number[0], _falling(number[1]))
    return (key,) if policy.alphabetical is Order.ASC else (_falling(key),)


def _extracted(policy: ImagePolicy, tag: str) -> str | None:
    if policy.filter is None:
        return tag
    found = re.search(policy.filter, tag)
    if found is None:
        return None
    return found[policy.extract] if policy.extract else tag


def _falling(text: str) -> Rank:
    """Sorts the other way round: a shorter text comes after a longer one that begins with it."""
    return (*(-ord(letter) for letter in text), 1)


def _version(text: str) -> Version | None:
    try:
        return Version(text.removeprefix("v"))
    except ValueError:
        return None

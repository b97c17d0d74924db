"""What an image of the shop does: a pure function of its tag and its environment.

Tags are `v<number>` with traits behind it: `shop:v1`, `shop:v2-bad-5pct` (5 % errors), `shop:v4-slow-50ms`,
`shop:v5-crash`, `shop:v6-never-ready`. Any other tag (`shop:missing`) can't be pulled.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_ERROR_RATE = 0.01
_TAG = re.compile(r"v[0-9][a-z0-9.-]*")
_SHARE = re.compile(r"(?:^|-)([0-9]+(?:\.[0-9]+)?)pct(?:-|$)")
_DELAY = re.compile(r"(?:^|-)([0-9]+)ms(?:-|$)")


class ImageUnknownError(Exception):
    """The image can't be pulled."""


class BadSettingError(Exception):
    """An environment variable of the shop does not read as what it should be."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one version of the shop behaves."""

    version: str
    error_rate: float = DEFAULT_ERROR_RATE  # share of requests answered 500
    latency_s: float = 0.0  # each answer waits so long
    crashes: bool = False  # ends with exit code 1 at once
    ready: bool = True  # whether /healthz ever answers 200


def behaviour(image: str, env: Mapping[str, str] | None = None) -> Behaviour:
    """Read a behaviour off an image and the environment.

    `ERROR_RATE` ("0.06" or "6%") and `LATENCY_MS` win over the tag; `BASE_ERROR_RATE` is for tags that name
    no rate of their own. Raises ImageUnknownError, BadSettingError.
    """
    env = env or {}
    tag = _tag(image)
    share, delay = _SHARE.search(tag), _DELAY.search(tag)
    of_tag = float(share[1]) / 100 if share else _rate(env, "BASE_ERROR_RATE", DEFAULT_ERROR_RATE)
    return Behaviour(
        version=tag,
        error_rate=_rate(env, "ERROR_RATE", of_tag),
        latency_s=_number(env, "LATENCY_MS", float(delay[1]) if delay else 0.0) / 1000,
        crashes="crash" in tag.split("-"),
        ready="never-ready" not in tag,
    )


def _tag(image: str) -> str:
    repository, _, tag = image.rpartition(":")
    if repository.rpartition("/")[2] != "shop" or not _TAG.fullmatch(tag):
        raise ImageUnknownError(
            f'failed to pull "{image}": not found (the sandbox knows shop:v<number>... only)'
        )
    return tag


def _rate(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    unit = 0.01 if text.endswith("%") else 1.0
    value = _number({name: text.removesuffix("%")}, name, default / unit) * unit
    if not 0 <= value <= 1:
        raise BadSettingError(f'{name}: "{text}" is not between 0 and 1 (or 0% and 100%)')
    return value


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        raise BadSettingError(f'{name}: "{text}" is not a number') from None

"""What every model of the API shares: frozen, closed, camelCase outside; and the units of manifests.

A duration is written as Argo Rollouts writes one: `30s`, `5m`, `1h30m`, or a number of seconds. A share is a
percentage, `5%`; a margin in percentage points is `0.02pp`. Each is parsed to a plain value in SI units and
written back in the shortest text that parses to the same value.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,9})?"
DURATION_PATTERN = rf"^([0-9]{{1,9}}|({_NUMBER}(ms|s|m|h)){{1,4}})$"
SHARE_PATTERN = rf"^{_NUMBER}%$"
POINTS_PATTERN = rf"^{_NUMBER}pp$"


class Model(BaseModel):
    """A value of the API: frozen, refuses unknown fields, snake_case here and camelCase in manifests."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    def manifest(self) -> dict[str, Any]:
        """This value as it stands in a manifest: JSON types, camelCase, absent where None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse_duration(value: object) -> timedelta:
    """A duration from `30s`, `1h30m`, `"45"` or 45 (seconds).

    Raises:
        ValueError: for anything else, negative and endless ones included.
    """
    if isinstance(value, timedelta):
        return value
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError("write a duration such as 30s, 5m, 1h30m, or a number of seconds")
    if text.isdecimal():
        return timedelta(seconds=int(text))
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def duration_text(value: timedelta) -> str:
    """The shortest text that parses to `value`: `1h30m`, `45s`, `1m0.5s`, `0s`."""
    microseconds = value // timedelta(microseconds=1)
    hours, rest = divmod(microseconds, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds = f"{Decimal(rest).scaleb(-6).normalize():f}"
    parts = [(str(hours), "h"), (str(minutes), "m"), (seconds, "s")]
    return "".join(number + unit for number, unit in parts if number != "0") or "0s"


def _suffixed(value: object, suffix: str, pattern: str, example: str) -> float:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError(f"write a number with its unit: {example}")
    return float(Decimal(value.removesuffix(suffix)) / 100)


def parse_share(value: object) -> float:
    """A share of one from a percentage: `5%` is 0.05.

    Raises:
        ValueError: for anything without the per cent sign, and for a negative one.
    """
    return _suffixed(value, "%", SHARE_PATTERN, "5%")


def parse_points(value: object) -> float:
    """A difference of two shares from percentage points: `0.02pp` is 0.0002.

    Raises:
        ValueError: for anything without `pp`, and for a negative one.
    """
    return _suffixed(value, "pp", POINTS_PATTERN, "0.02pp")


FROM_MANIFEST: Mapping[str, object] = {"manifest": True}
"""The validation context of what a user wrote, where a number without its unit is refused."""


def written_as(parse: Callable[[object], float]) -> Callable[[object, ValidationInfo], float]:
    """`parse` for what a user wrote; our own code may give the value itself."""

    def check(value: object, info: ValidationInfo) -> float:
        return value if isinstance(value, float) and info.context is not FROM_MANIFEST else parse(value)

    return check


def _hundredfold(value: float) -> str:
    return f"{(Decimal(repr(value)) * 100).normalize():f}"


def share_text(value: float) -> str:
    """A share as a percentage: 0.05 is `5%`."""
    return _hundredfold(value) + "%"


def points_text(value: float) -> str:
    """A difference of two shares in percentage points: 0.0002 is `0.02pp`."""
    return _hundredfold(value) + "pp"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text, return_type=str, when_used="json"),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": DURATION_PATTERN, "minimum": 0}),
]
"""A length of time."""

Share = Annotated[
    float,
    BeforeValidator(written_as(parse_share)),
    PlainSerializer(share_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": SHARE_PATTERN}),
]
"""A part of one, written as a percentage."""

Points = Annotated[
    float,
    BeforeValidator(written_as(parse_points)),
    PlainSerializer(points_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": POINTS_PATTERN}),
]
"""A difference between two shares, written in percentage points."""

Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
"""A whole number, not negative."""

Switch = Annotated[bool, Field(strict=True)]
"""True or false, never a text that looks like it."""

Manifest = Mapping[str, Any]
"""A Kubernetes object as its JSON says it."""

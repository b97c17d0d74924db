"""How much worse is tolerated, and how much is unacceptable: a line above the stable version's own rate."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from rollout.api.base import Model, parse_share, share_text, written_as
from rollout.api.errors import Problem

_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,9})?"
AMOUNT_PATTERN = rf"^{_NUMBER}(pp|/h)$"
CHANGE_PATTERN = rf"^-?{_NUMBER}%$"


class Unit(StrEnum):
    """What an absolute margin counts in."""

    POINTS = "pp"
    """Percentage points, of shares."""
    PER_HOUR = "/h"
    """Events per hour of one pod, of rates."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An absolute margin."""

    value: float
    """A share (0.0002 is 0.02 percentage points), or events per pod and hour."""
    unit: Unit

    def __str__(self) -> str:
        """As it is written: `0.02pp`, `0.5/h`."""
        number = Decimal(repr(self.value)) * (100 if self.unit is Unit.POINTS else 1)
        return f"{number.normalize():f}{self.unit}"


def parse_amount(value: object) -> Amount:
    """An amount from `0.02pp` or `0.5/h`.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, Amount):
        return value
    if not isinstance(value, str) or not re.fullmatch(AMOUNT_PATTERN, value):
        raise ValueError("write a number with its unit: 0.02pp of a share, 0.5/h of a rate")
    unit = Unit.POINTS if value.endswith(Unit.POINTS) else Unit.PER_HOUR
    number = Decimal(value.removesuffix(unit))
    return Amount(float(number / 100 if unit is Unit.POINTS else number), unit)


def parse_change(value: object) -> float:
    """A relative change from `50%` (0.5) or `-5%` (-0.05)."""
    if isinstance(value, str) and value.startswith("-"):
        return -parse_share(value[1:])
    return parse_share(value)


Absolute = Annotated[
    Amount,
    BeforeValidator(parse_amount),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": AMOUNT_PATTERN}),
]

Change = Annotated[
    float,
    BeforeValidator(written_as(parse_change)),
    PlainSerializer(share_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": CHANGE_PATTERN}),
]


class Margin(Model):
    """The line `(1 + relative) * stable + absolute`; what is left out is nothing."""

    relative: Change = 0.0
    """More than stable by this part of it: 5%."""
    absolute: Absolute | None = None
    """More than stable by so much: 0.02pp of a share, 0.5/h of events per pod and hour."""

    @property
    def amount(self) -> float:
        """The absolute part in its unit, 0 where it is left out."""
        return self.absolute.value if self.absolute else 0.0


def margin(relative: str, absolute: str) -> Margin:
    """A margin as it is written."""
    return Margin(relative=parse_change(relative), absolute=parse_amount(absolute))


DEFAULT_TOLERATE = {Unit.POINTS: margin("5%", "0.02pp"), Unit.PER_HOUR: margin("5%", "0.02/h")}
DEFAULT_UNACCEPTABLE = {Unit.POINTS: margin("50%", "0.25pp"), Unit.PER_HOUR: margin("50%", "12/h")}
"""What holds where a metric names none."""


def margins_amiss(
    tolerate: Margin | None, unacceptable: Margin | None, unit: Unit, *, improve: bool
) -> tuple[Problem, ...]:
    """What is wrong with a metric's margins; `improve` where an improvement may be asked for."""
    given = [
        (name, each)
        for name, each in (("tolerate", tolerate), ("unacceptable", unacceptable))
        if each is not None
    ]
    found = [problem for name, each in given for problem in _amiss(name, each, unit, improve=improve)]
    return tuple(found or (() if improve else _disorder(tolerate, unacceptable, unit)))


def _amiss(name: str, given: Margin, unit: Unit, *, improve: bool) -> Iterator[Problem]:
    if given.absolute is not None and given.absolute.unit is not unit:
        yield Problem(f".{name}.absolute", f"must be written in {unit}")
    elif given.amount >= 1 and unit is Unit.POINTS:
        yield Problem(f".{name}.absolute", "must be below 100pp")
    if given.relative < 0 and not (improve and name == "unacceptable"):
        remedy = "only a success metric asks for an improvement"
        yield Problem(f".{name}.relative", "must not be negative", remedy)


def _disorder(tolerate: Margin | None, unacceptable: Margin | None, unit: Unit) -> Iterator[Problem]:
    """What is tolerated lies below what is unacceptable, the defaults included."""
    low, high = tolerate or DEFAULT_TOLERATE[unit], unacceptable or DEFAULT_UNACCEPTABLE[unit]
    wrong = {"relative": low.relative > high.relative, "absolute": low.amount > high.amount}
    for part in (part for part, out_of_order in wrong.items() if out_of_order):
        if tolerate is not None:
            limit = f"must not exceed unacceptable.{part}, which is {_written(high, part)}"
            yield Problem(f".tolerate.{part}", limit)
        else:
            limit = f"must not be below tolerate.{part}, which is {_written(low, part)}"
            yield Problem(f".unacceptable.{part}", limit)


def _written(given: Margin, part: str) -> str:
    return str(given.manifest().get(part, 0))

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


class Scale(StrEnum):
    """What a metric's margins are about."""

    SHARE = "share"
    """Shares of requests."""
    SCRAPES = "scrapes"
    """Shares of scrapes."""
    RATE = "rate"
    """Events per hour of one pod."""
    RATIO = "ratio"
    """A gauge: nothing but its ratio."""

    @property
    def unit(self) -> Unit | None:
        """What the absolute part is written in; None where there is none."""
        units = {Scale.RATE: Unit.PER_HOUR, Scale.RATIO: None}
        return units.get(self, Unit.POINTS)


DEFAULT_TOLERATE = {
    Scale.SHARE: margin("5%", "0.02pp"),
    Scale.SCRAPES: margin("5%", "2pp"),
    Scale.RATE: margin("5%", "0.02/h"),
    Scale.RATIO: Margin(relative=0.1),
}
DEFAULT_UNACCEPTABLE = {
    Scale.SHARE: margin("50%", "0.25pp"),
    Scale.SCRAPES: margin("50%", "10pp"),
    Scale.RATE: margin("50%", "12/h"),
    Scale.RATIO: Margin(relative=0.5),
}
"""What holds where a metric names none."""


def margins_amiss(
    tolerate: Margin | None, unacceptable: Margin | None, scale: Scale, *, improve: bool
) -> tuple[Problem, ...]:
    """What is wrong with a metric's margins; `improve` where an improvement may be asked for."""
    given = [
        (name, each)
        for name, each in (("tolerate", tolerate), ("unacceptable", unacceptable))
        if each is not None
    ]
    found = [problem for name, each in given for problem in _amiss(name, each, scale.unit, improve=improve)]
    low, high = tolerate or DEFAULT_TOLERATE[scale], unacceptable or DEFAULT_UNACCEPTABLE[scale]
    return tuple(found or (() if improve else _disorder(low, high, blame_low=tolerate is not None)))


def limits_amiss(
    tolerate: Margin | None, unacceptable: Margin | None, scale: Scale, *, floor: bool
) -> tuple[Problem, ...]:
    """What is wrong with a metric's limits, which its margins are where there is no control.

    floor: fewer events are harm, so what is tolerated lies above what is not.
    """
    found: list[Problem] = []
    for name, each in (("tolerate", tolerate), ("unacceptable", unacceptable)):
        if each is None or each.absolute is None:
            message = "is required: without a control it is the limit itself"
            example = "0.5/h" if scale is Scale.RATE else "1pp"
            found.append(Problem(f".{name}.absolute", message, f"write it, such as {example}"))
        elif each.relative != 0:
            message = "without a control there is nothing to be relative to"
            found.append(Problem(f".{name}.relative", message, "remove it"))
        else:
            found += [*_amiss(name, each, scale.unit, improve=False), *_nothing(name, each)]
    if found or tolerate is None or unacceptable is None:
        return tuple(found)
    if floor:
        return tuple(_disorder(unacceptable, tolerate, blame_low=True, names=("unacceptable", "tolerate")))
    return tuple(_disorder(tolerate, unacceptable, blame_low=True))


def _nothing(name: str, given: Margin) -> Iterator[Problem]:
    if given.amount <= 0:
        yield Problem(f".{name}.absolute", "must be above 0: it is the limit itself")


def _amiss(name: str, given: Margin, unit: Unit | None, *, improve: bool) -> Iterator[Problem]:
    if given.absolute is not None and unit is None:
        yield Problem(f".{name}.absolute", "a gauge is compared by its ratio alone", "write relative")
    elif given.absolute is not None and given.absolute.unit is not unit:
        yield Problem(f".{name}.absolute", f"must be written in {unit}")
    elif given.amount >= 1 and unit is Unit.POINTS:
        yield Problem(f".{name}.absolute", "must be below 100pp")
    if given.relative < 0 and not (improve and name == "unacceptable"):
        remedy = "only a success metric asks for an improvement"
        yield Problem(f".{name}.relative", "must not be negative", remedy)


def _disorder(
    low: Margin, high: Margin, *, blame_low: bool, names: tuple[str, str] = ("tolerate", "unacceptable")
) -> Iterator[Problem]:
    """What is tolerated lies below what is unacceptable, the defaults included."""
    wrong = {"relative": low.relative > high.relative, "absolute": low.amount > high.amount}
    for part in (part for part, out_of_order in wrong.items() if out_of_order):
        if blame_low:
            limit = f"must not exceed {names[1]}.{part}, which is {_written(high, part)}"
            yield Problem(f".{names[0]}.{part}", limit)
        else:
            limit = f"must not be below {names[0]}.{part}, which is {_written(low, part)}"
            yield Problem(f".{names[1]}.{part}", limit)


def _written(given: Margin, part: str) -> str:
    return str(given.manifest().get(part, 0))

"""The functions of conditions. A wrong argument raises TypeError or ValueError with the reason."""

import math
from collections.abc import Callable, Mapping

Number = float | int


def named(value: object) -> str:
    """What a value is, in words."""
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "nil"
        case list():
            return f"a list of {len(value)}"
    return f"{value}"


def _number(value: object) -> Number:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise TypeError(f"a number is needed, not {named(value)}")


def _numbers(value: object) -> list[Number]:
    if isinstance(value, list):
        return [_number(item) for item in value]
    raise TypeError(f"a list is needed, not {named(value)}")


def _length(value: object) -> int:
    return len(_numbers(value))


def _whole(value: object) -> int:
    number = _number(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no whole number")
    return int(number)


def _mean(value: object) -> float:
    numbers = _numbers(value)
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def _item(at: int) -> Callable[[object], Number | None]:
    def item(value: object) -> Number | None:
        numbers = _numbers(value)
        return numbers[at] if numbers else None

    return item


def _chosen(choose: Callable[[list[Number]], Number]) -> Callable[..., Number]:
    def chosen(*values: object) -> Number:
        numbers = _numbers(values[0]) if len(values) == 1 else [_number(value) for value in values]
        if not numbers:
            raise ValueError("the list is empty")
        return math.nan if any(math.isnan(number) for number in numbers) else choose(numbers)

    return chosen


def _rounding(how: Callable[[float], float]) -> Callable[[object], Number]:
    def rounded(value: object) -> Number:
        number = _number(value)
        return float(how(number)) if math.isfinite(number) else number

    return rounded


def _half_away(number: float) -> float:
    """As Go rounds: halves away from zero."""
    return math.copysign(math.floor(abs(number) + 0.5), number)


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "len": _length,
    "isNaN": lambda value: math.isnan(_number(value)),
    "isInf": lambda value: math.isinf(_number(value)),
    "isNil": lambda value: value is None,
    "asInt": _whole,
    "int": _whole,
    "asFloat": lambda value: float(_number(value)),
    "float": lambda value: float(_number(value)),
    "abs": lambda value: abs(_number(value)),
    "ceil": _rounding(math.ceil),
    "floor": _rounding(math.floor),
    "round": _rounding(_half_away),
    "sum": lambda value: sum(_numbers(value)),
    "mean": _mean,
    "first": _item(0),
    "last": _item(-1),
    "min": _chosen(min),
    "max": _chosen(max),
}
"""By name; `default` and the predicates see unevaluated arguments and belong to the evaluation."""

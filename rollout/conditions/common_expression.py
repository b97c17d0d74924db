"""CEL by its library, with what it leaves open: columns, remedies, and a bound on its loops."""

import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches

import cel

from rollout.conditions.errors import ConditionError

MOST_LOOPS = 2
"""Macros that go over a list; the library counts no steps, and one in another multiplies."""
_LOOPS = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter|transform\w*|sortBy)\s*\(")
_UNDEFINED = re.compile(r"Undefined variable or function: '(\w+)'")
_PLACE = re.compile(r"<input>:1:(\d+): (.*)")


def _default(value: object, other: object) -> object:
    return other if value is None else value


_OURS: Mapping[str, Callable[..., object]] = {
    "isNaN": math.isnan,
    "isInf": math.isinf,
    "default": _default,
}
_BUILT_IN = frozenset({"size", "int", "uint", "double", "bool", "string", "type", "dyn", "min", "max"})
_MACROS = ("all", "exists", "exists_one", "map", "filter")


def program(text: str) -> Callable[[object], object]:
    """The function from a measured value to a condition's.

    Raises:
        ConditionError: with the column and a remedy, from here and from the function.
    """
    loops = len(_LOOPS.findall(text))
    if loops > MOST_LOOPS:
        raise ConditionError(f"{loops} macros over lists, of at most {MOST_LOOPS}", "make it simpler")
    try:
        compiled = cel.compile(text)
    except ValueError as error:
        found = _PLACE.search(str(error))
        told = found[2].partition(" expecting {")[0] if found else "can't be read"
        told = "too many levels deep" if "Recursion limit" in told else told
        column = min(int(found[1]), len(text)) if found else 0
        raise ConditionError(told, "mend the CEL expression", column) from None
    for name in compiled.functions():
        if name.isidentifier() and name not in _BUILT_IN and name not in _OURS:
            raise _unknown(name, text)
    return _asking(compiled, text)


def _asking(compiled: cel.Program, text: str) -> Callable[[object], object]:
    def ask(result: object) -> object:
        try:
            return compiled.execute(cel.Context(variables={"result": result}, functions=dict(_OURS)))
        except RuntimeError as error:
            found = _UNDEFINED.search(str(error))
            raise (_unknown(found[1], text) if found else ConditionError(str(error))) from None
        except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
            raise ConditionError(str(error).partition(" CEL does not coerce")[0], _hint(result)) from None

    return ask


def _unknown(name: str, text: str) -> ConditionError:
    """A name that means nothing here."""
    known = sorted({"result", *_BUILT_IN, *_OURS, *_MACROS})
    close = get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return ConditionError(f"unknown name {name!r}", remedy, text.find(name) + 1)


def _hint(result: object) -> str:
    """What a condition may do with what was measured."""
    if isinstance(result, list):
        return "write 1.0 beside fractions; of a list result[0], or result.all(x, x > 0.95)"
    return "the query gives one number: write `result`"

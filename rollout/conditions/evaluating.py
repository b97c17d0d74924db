"""What a tree of expr says of a value: each kind of node once, with a budget of steps.

A value is a float, an int, a bool, None (nil), or a list of values.
"""

import math
import operator
from collections.abc import Callable, Mapping

from rollout.conditions.errors import ConditionError
from rollout.conditions.functions import FUNCTIONS, Number, named
from rollout.conditions.syntax import (
    PREDICATES,
    Binary,
    Call,
    Choice,
    Index,
    Items,
    Literal,
    Name,
    Node,
    Unary,
)

STEPS = 100_000
"""Nodes that are looked at for one answer: some hundredths of a second."""

_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def evaluated(tree: Node, result: object) -> object:
    """The value of a condition of `result`.

    Raises:
        ConditionError: it has none: an index out of range, a list where a number is needed, too much work.
    """
    return _Evaluation(result).value(tree)


class _Evaluation:
    """One answer: the measured value, the items that predicates look at, and the steps that are left."""

    def __init__(self, result: object) -> None:
        self._result = result
        self._items: list[object] = []
        self._left = STEPS

    def value(self, node: Node) -> object:
        """The value of one node."""
        self._left -= 1
        if self._left < 0:
            raise ConditionError(f"needs more than {STEPS} steps", "make it simpler, or sum() in the query")
        match node:
            case Literal(value=value):
                return value
            case Name(name=name):
                return self._items[-1] if name == "#" else self._result
            case Items(items=items):
                return [self.value(item) for item in items]
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Index():
                return self._indexed(node)
            case Choice(test=test, yes=yes, no=no, column=column):
                return self.value(yes) if _bool(self.value(test), column) else self.value(no)
            case Call(name=name) if name in PREDICATES:
                return self._predicate(node)
            case Call():
                return self._called(node)

    def _unary(self, node: Unary) -> object:
        value = self.value(node.of)
        if node.operator == "not":
            return not _bool(value, node.column)
        number = _number(value, node.column)
        return -number if node.operator == "-" else number

    def _binary(self, node: Binary) -> object:
        left = self.value(node.left)
        match node.operator:
            case "and":
                return _bool(left, node.column) and _bool(self.value(node.right), node.column)
            case "or":
                return _bool(left, node.column) or _bool(self.value(node.right), node.column)
            case "??":
                return self.value(node.right) if left is None else left
        right = self.value(node.right)
        match node.operator:
            case "==":
                return _equal(left, right)
            case "!=":
                return not _equal(left, right)
            case "in":
                return any(_equal(left, item) for item in _list(right, node.column))
        numbers = _number(left, node.column), _number(right, node.column)
        order = _ORDER.get(node.operator)
        return order(*numbers) if order else _arithmetic(node, *numbers)

    def _indexed(self, node: Index) -> object:
        items, at = _list(self.value(node.of), node.column), self.value(node.at)
        if not isinstance(at, int) or isinstance(at, bool):
            raise ConditionError(f"an index is a whole number, not {named(at)}", "write [0]", node.column)
        if not -len(items) <= at < len(items):
            remedy = "ask len(result) first" if items else "the query gave no series"
            raise ConditionError(f"[{at}] of a list of {len(items)}", remedy, node.column)
        return items[at]

    def _predicate(self, node: Call) -> object:
        items = _list(self.value(node.args[0]), node.column)
        found = [self._of(node.args[1], item) for item in items]
        if node.name == "map":
            return found
        holds = [_bool(each, node.column) for each in found]
        match node.name:
            case "all":
                return all(holds)
            case "any":
                return any(holds)
            case "none":
                return not any(holds)
            case "one":
                return sum(holds) == 1
            case "count":
                return sum(holds)
        return [item for item, kept in zip(items, holds, strict=True) if kept]

    def _of(self, test: Node, item: object) -> object:
        self._items.append(item)
        try:
            return self.value(test)
        finally:
            self._items.pop()

    def _called(self, node: Call) -> object:
        if node.name == "default":
            return self._default(node)
        values = [self.value(arg) for arg in node.args]
        try:
            return FUNCTIONS[node.name](*values)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConditionError(f"{node.name}: {error}", "", node.column) from None

    def _default(self, node: Call) -> object:
        """Argo Rollouts' `default(value, other)`: the other for what is missing."""
        try:
            value = self.value(node.args[0])
        except ConditionError:
            if self._left < 0:
                raise
            value = None
        return self.value(node.args[1]) if value is None else value


def _arithmetic(node: Binary, left: Number, right: Number) -> Number:
    match node.operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return (
                left * right if isinstance(left, float) or isinstance(right, float) else _product(left, right)
            )
        case "/":
            return _quotient(float(left), float(right))
        case "%" if isinstance(left, int) and isinstance(right, int) and right:
            return int(math.fmod(left, right))
        case "%":
            raise ConditionError("% takes whole numbers, and not 0", "asInt() makes one", node.column)
    try:
        return math.pow(left, right)
    except (OverflowError, ValueError):
        return math.inf if left > 1 else math.nan


def _product(left: int, right: int) -> Number:
    """Whole numbers stay small: what would grow beyond 64 bits goes on as a float."""
    found = left * right
    return found if found.bit_length() < 64 else float(left) * float(right)


def _quotient(left: float, right: float) -> float:
    if right:
        return left / right
    return (
        math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)
    )


def _equal(left: object, right: object) -> bool:
    """True and 1 are not the same."""
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _bool(value: object, column: int) -> bool:
    if isinstance(value, bool):
        return value
    raise ConditionError(f"true or false is needed, not {named(value)}", "compare it: > 0.95", column)


def _number(value: object, column: int) -> Number:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    remedy = (
        "write result[0]" if isinstance(value, list) else "give default(..., 0) for nil" * (value is None)
    )
    raise ConditionError(f"a number is needed, not {named(value)}", remedy, column)


def _list(value: object, column: int) -> list[object]:
    if isinstance(value, list):
        return value
    raise ConditionError(
        f"a list is needed, not {named(value)}",
        "the query gives one number: write `result`" * isinstance(value, float),
        column,
    )

"""The grammar of expr as far as conditions on numbers need it: from text to a tree.

Precedences are those of expr-lang (its language definition, 2024): `??` binds tightest, then `**`, a sign,
`* / %`, `not`, `+ -`, comparisons and `in`, `and`, `or`, and the ternary.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from rollout.conditions.errors import ConditionError
from rollout.conditions.tokens import Token, tokens

DEEPEST = 32
"""Levels of nesting."""
MOST_WORDS = 300
"""A chain of operators is a tree as deep as it is long."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, true, false or nil."""

    value: float | int | bool | None
    column: int


@dataclass(frozen=True, slots=True)
class Name:
    """`result`, or `#`: the item that a predicate looks at."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Items:
    """`[1, 2]`."""

    items: tuple[Node, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x`, `not x`."""

    operator: str
    of: Node
    column: int


@dataclass(frozen=True, slots=True)
class Binary:
    """`x + y`, `x and y`, `x in y`."""

    operator: str
    left: Node
    right: Node
    column: int


@dataclass(frozen=True, slots=True)
class Index:
    """`x[0]`."""

    of: Node
    at: Node
    column: int


@dataclass(frozen=True, slots=True)
class Choice:
    """`x ? y : z`."""

    test: Node
    yes: Node
    no: Node
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    """`len(x)`; of `all(x, {# > 1})` the last argument is the predicate, which is asked for each item."""

    name: str
    args: tuple[Node, ...]
    column: int


Node = Literal | Name | Items | Unary | Binary | Index | Choice | Call

PREDICATES = frozenset({"all", "any", "none", "one", "filter", "map", "count"})
FUNCTIONS = {
    "len": (1, 1),
    "isNaN": (1, 1),
    "isInf": (1, 1),
    "isNil": (1, 1),
    "asInt": (1, 1),
    "asFloat": (1, 1),
    "int": (1, 1),
    "float": (1, 1),
    "default": (2, 2),
    "abs": (1, 1),
    "ceil": (1, 1),
    "floor": (1, 1),
    "round": (1, 1),
    "sum": (1, 1),
    "mean": (1, 1),
    "first": (1, 1),
    "last": (1, 1),
    "min": (1, 16),
    "max": (1, 16),
}
"""The least and the most arguments of each."""
_LITERALS = {"true": True, "false": False, "nil": None}
_PRECEDENCES = {
    10: ("or", "||"),
    15: ("and", "&&"),
    20: ("==", "!=", "<", ">", "<=", ">=", "in", "not"),
    30: ("+", "-"),
    60: ("*", "/", "%"),
    100: ("**", "^"),
    500: ("??",),
}
_BINARY = {name: number for number, names in _PRECEDENCES.items() for name in names}
_UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
_RIGHT = ("**", "^")
_SAME = {"||": "or", "&&": "and", "!": "not", "^": "**"}


def parse(text: str) -> Node:
    """The tree of a condition.

    Raises:
        ConditionError: with the column and a remedy.
    """
    words = list(tokens(text))
    if len(words) > MOST_WORDS:
        raise ConditionError(f"{len(words)} words, of at most {MOST_WORDS}", "make it simpler")
    parser = _Parser(words)
    node = parser.ternary()
    parser.expect("")
    return node


class _Parser:
    """Precedence climbing over a list of tokens."""

    def __init__(self, words: list[Token]) -> None:
        self._words = words
        self._at = 0
        self._depth = 0
        self._predicates = 0

    @property
    def _word(self) -> Token:
        return self._words[self._at]

    def _is(self, *texts: str) -> bool:
        return self._word.kind == "operator" and self._word.text in texts

    def _take(self) -> Token:
        word = self._word
        self._at += 1
        return word

    def _took(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Go past an operator, or be at the end where `text` is empty."""
        if self._word.kind == "end" if not text else self._took(text):
            return
        found = repr(self._word.text) if self._word.kind != "end" else "the end"
        wanted = repr(text) if text else "an operator or the end"
        raise ConditionError(f"{wanted} is missing before {found}", "complete it", self._word.column)

    def ternary(self) -> Node:
        """A whole expression."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise ConditionError(f"more than {DEEPEST} levels deep", "make it simpler", self._word.column)
        test = self._binary(0)
        if self._is("?"):
            column = self._take().column
            yes = self.ternary()
            self.expect(":")
            test = Choice(test, yes, self.ternary(), column)
        self._depth -= 1
        return test

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while self._word.kind == "operator" and _BINARY.get(self._word.text, -1) >= least:
            column, operator = self._word.column, self._take().text
            negated = operator == "not"
            if negated:  # `x not in y`
                self.expect("in")
                operator = "in"
            precedence = _BINARY[operator]
            right = self._binary(precedence if operator in _RIGHT else precedence + 1)
            left = Binary(_SAME.get(operator, operator), left, right, column)
            left = Unary("not", left, column) if negated else left
        return left

    def _unary(self) -> Node:
        if not self._is(*_UNARY):
            return self._postfix()
        self._depth += 1
        if self._depth > DEEPEST:
            raise ConditionError(f"more than {DEEPEST} levels deep", "make it simpler", self._word.column)
        word = self._take()
        node = Unary(_SAME.get(word.text, word.text), self._binary(_UNARY[word.text]), word.column)
        self._depth -= 1
        return node

    def _postfix(self) -> Node:
        node = self._primary()
        while self._is("[", "."):
            word = self._take()
            if word.text == ".":
                remedy = "the result is a number or a list: write result[0]"
                raise ConditionError("there are no fields here", remedy, word.column)
            node = Index(node, self.ternary(), word.column)
            self.expect("]")
        return node

    def _primary(self) -> Node:
        word = self._take()
        if word.kind == "number":
            return Literal(_number(word), word.column)
        if word.kind == "name":
            return self._named(word)
        match word.text:
            case "(":
                node = self.ternary()
                self.expect(")")
                return node
            case "[":
                return Items(self._list("]"), word.column)
            case "#" if self._predicates:
                return Name("#", word.column)
            case "#":
                raise ConditionError(
                    "# stands outside of a predicate", "write all(result, {# > 1})", word.column
                )
        found = repr(word.text) if word.kind != "end" else "the end"
        raise ConditionError(f"a value is missing before {found}", "complete it", word.column)

    def _named(self, word: Token) -> Node:
        if self._is("("):
            return self._call(word)
        if word.text in _LITERALS:
            return Literal(_LITERALS[word.text], word.column)
        if word.text == "result":
            return Name("result", word.column)
        raise ConditionError(f"unknown name {word.text!r}", "the measured value is `result`", word.column)

    def _call(self, word: Token) -> Node:
        predicate = word.text in PREDICATES
        if not predicate and word.text not in FUNCTIONS:
            known = sorted({*PREDICATES, *FUNCTIONS})
            close = get_close_matches(word.text, known, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise ConditionError(f"unknown function {word.text!r}", remedy, word.column)
        self._take()
        if predicate:
            return self._predicate(word)
        args = self._list(")")
        least, most = FUNCTIONS[word.text]
        if not least <= len(args) <= most:
            raise ConditionError(f"{word.text} takes {least} argument(s), not {len(args)}", "", word.column)
        return Call(word.text, args, word.column)

    def _predicate(self, word: Token) -> Node:
        of = self.ternary()
        self.expect(",")
        self._predicates += 1
        braced = self._took("{")
        test = self.ternary()
        if braced:
            self.expect("}")
        self._predicates -= 1
        self.expect(")")
        return Call(word.text, (of, test), word.column)

    def _list(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._took(end):
            if items:
                self.expect(",")
            items.append(self.ternary())
        return tuple(items)


def _number(word: Token) -> float | int:
    text = word.text.replace("_", "")
    return int(text) if text.isdecimal() and len(text) < 16 else float(text)

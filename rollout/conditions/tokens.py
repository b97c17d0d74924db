"""Words of expr: numbers, names, operators."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rollout.conditions.errors import ConditionError

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<operator>\|\||&&|==|!=|<=|>=|\?\?|\*\*|[-+*/%^<>!?:.,#(){}\[\]])"
)
_WORDS = frozenset({"and", "or", "not", "in"})
_MEANT = {
    "=": "write == to compare",
    "&": "write && or `and`",
    "|": "write || or `or`",
    '"': "texts are not compared here: the result is a number, or a list of numbers",
    "'": "texts are not compared here: the result is a number, or a list of numbers",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind (`number`, `name`, `operator` or `end`), its text, and its column from 1."""

    kind: str
    text: str
    column: int


def tokens(text: str) -> Iterator[Token]:
    """All words of `text`, an `end` after them.

    Raises:
        ConditionError: at a character that begins none.
    """
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            remedy = _MEANT.get(text[at], "remove it")
            raise ConditionError(f"unexpected {text[at]!r}", remedy, at + 1)
        kind = str(found.lastgroup)
        if kind != "space":
            yield Token("operator" if found[0] in _WORDS else kind, found[0], at + 1)
        at = found.end()
    yield Token("end", "", len(text) + 1)

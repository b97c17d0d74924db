"""Label and field selectors: parsing and matching."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.resource import Object

Labels = Mapping[str, str]


class SelectorError(ValueError):
    """A selector that does not parse; its text is what the API says of it."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Whether the labels fulfil it."""
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "gt":
                return value is not None and _is_int(value) and int(value) > int(self.values[0])
            case _:
                return value is not None and _is_int(value) and int(value) < int(self.values[0])


def _is_int(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d+", text) is not None


TOKEN = re.compile(r"\s*(?:(?P<op>==|!=|=|!|<|>|\(|\)|,)|(?P<word>[^\s=!<>(),]+))")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        if text[at:].strip() == "":
            break
        matched = TOKEN.match(text, at)
        assert matched is not None
        found.append(matched.group("op") or matched.group("word"))
        at = matched.end()
    return found


class _Parser:
    """The grammar of label selectors, with the messages of the original."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        sign = self.peek()
        self.at += 1
        return sign

    def parse(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while True:
            sign = self.peek()
            if sign == "" and not found:
                return ()
            if sign == "!" or _is_word(sign):
                found.append(self.parsed_requirement())
                sign = self.peek()
                if sign == "":
                    return tuple(found)
                if sign != ",":
                    raise SelectorError(f"found '{sign}', expected: ',' or 'end of string'")
                self.take()
                after = self.peek()
                if not (after == "!" or _is_word(after)):
                    raise SelectorError(f"found '{after}', expected: identifier after ','")
            else:
                raise SelectorError(f"found '{sign}', expected: !, identifier, or 'end of string'")

    def parsed_requirement(self) -> Requirement:
        """One requirement; what is wrong inside it is said to be so."""
        try:
            return self.requirement()
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from error

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.take()
            key = self.key()
            return Requirement(key, "!")
        key = self.key()
        if self.peek() in {"", ","}:
            return Requirement(key, "exists")
        operator = self.operator()
        values = self.values() if operator in {"in", "notin"} else (self.exact(),)
        for value in values:
            if operator in {"gt", "lt"}:
                if not _is_int(value):
                    raise SelectorError(
                        f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, "
                        "the value must be an integer"
                    )
            elif problems := names.label_value(value):
                raise SelectorError(f'values[0][{key}]: Invalid value: "{value}": {problems[0]}')
        return Requirement(key, operator, values)

    def key(self) -> str:
        sign = self.take()
        if not _is_word(sign):
            raise SelectorError(f"found '{sign}', expected: identifier")
        if problems := names.qualified_name(sign):
            raise SelectorError(f'key: Invalid value: "{sign}": {"; ".join(problems)}')
        return sign

    def operator(self) -> str:
        sign = self.take()
        known = {"=": "=", "==": "=", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
        if sign not in known:
            raise SelectorError(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
        return known[sign]

    def values(self) -> tuple[str, ...]:
        if (sign := self.take()) != "(":
            raise SelectorError(f"found '{sign}' expected: '('")
        found: list[str] = []
        while True:
            sign = self.take()
            if sign == ")":
                return tuple(found or ("",))
            if sign == ",":
                if not found or self.tokens[self.at - 2] == ",":
                    found.append("")
                continue
            if not _is_word(sign):
                raise SelectorError(f"found '{sign}', expected: ',', ')' or identifier")
            found.append(sign)

    def exact(self) -> str:
        sign = self.peek()
        if sign in {"", ","}:
            return ""
        self.take()
        if not _is_word(sign):
            raise SelectorError(f"found '{sign}', expected: identifier")
        return sign


def _is_word(sign: str) -> bool:
    return bool(sign) and sign not in {"==", "!=", "=", "!", "<", ">", "(", ")", ","}


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a label selector; raises `SelectorError`."""
    return _Parser(text).parse()


def match_labels(requirements: tuple[Requirement, ...], obj: Object) -> bool:
    """Whether the object's labels fulfil all of them."""
    if not requirements:
        return True
    labels = obj["metadata"].get("labels") or {}
    return all(requirement.matches(labels) for requirement in requirements)


def matches_selector(selector: Object | None, labels: Labels) -> bool:
    """Whether labels fulfil a LabelSelector object (`matchLabels`, `matchExpressions`); an absent one never
    does."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(item).matches(labels) for item in selector.get("matchExpressions") or ())


def _expression(item: Object) -> Requirement:
    known = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    operator = known.get(item.get("operator", ""), "in")
    return Requirement(item.get("key", ""), operator, tuple(item.get("values") or ()))


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on one field: equal, or not."""

    field: str
    value: str
    equal: bool


def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    """The terms of a field selector; raises `SelectorError`."""
    found = []
    for term in (part for part in re.split(r"(?<!\\),", text) if part):
        matched = re.match(r"^((?:\\.|[^\\=!])*?)(==|!=|=)(.*)$", term, re.DOTALL)
        if matched is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        value = re.sub(r"\\(.)", r"\1", matched.group(3))
        found.append(FieldTerm(matched.group(1), value, matched.group(2) != "!="))
    return tuple(found)


def match_fields(terms: tuple[FieldTerm, ...], obj: Object, read: Callable[[Object, str], str]) -> bool:
    """Whether the object fulfils all terms; `read` gives a field's text."""
    return all((read(obj, term.field) == term.value) is term.equal for term in terms)


def read_path(obj: Any, path: str) -> str:
    """The text at a dotted path; empty where it is absent."""
    for key in path.split("."):
        if not isinstance(obj, dict):
            return ""
        obj = obj.get(key)
    if obj is None:
        return ""
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return str(obj)

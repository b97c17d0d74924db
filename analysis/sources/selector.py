"""Metric selectors: parsed, so that the matchers of an arm can be added safely. Pure.

The judge needs raw counters, so an expression is refused: `rate()`, `increase()` or a sum before differencing
would hide resets, and their extrapolation loses most events of sparse series.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_STRING = r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`'
_SELECTOR = re.compile(rf"\s*(?P<name>{_NAME})?\s*(?:\{{(?P<matchers>.*)\}})?\s*", re.DOTALL)
_MATCHER = re.compile(
    rf"\s*(?:(?P<label>[a-zA-Z_][a-zA-Z0-9_]*|{_STRING})\s*(?P<op>=~|!~|!=|=)\s*(?P<value>{_STRING})|(?P<utf8>{_STRING}))\s*"
)
_RANGED = re.compile(r"\[[^\]]*\]\s*$")
_SHIFTED = re.compile(r"\s(offset\s|@\s*\S)")


class SelectorError(ValueError):
    """Not a metric selector; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; `value` is the literal with its quotes, as it was written."""

    label: str
    op: str
    value: str

    def __str__(self) -> str:
        return f"{self.label}{self.op}{self.value}"

    @property
    def matches_absent(self) -> bool:
        """Whether series without the label may match: told for plain values, assumed for what might."""
        body = self.value[1:-1]
        match self.op:
            case "=":
                return body == ""
            case "!=":
                return body != ""
            case "=~":
                return body == "" or bool(re.search(r"[*?|]", body))
            case _:
                return True


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric name (may be empty, or a quoted one) and label matchers."""

    name: str
    matchers: tuple[Matcher, ...]

    def __str__(self) -> str:
        return f"{self.name}{{{','.join(map(str, self.matchers))}}}"

    def narrowed(self, *more: Matcher) -> Selector:
        """The same metric under further conditions."""
        return Selector(self.name, (*self.matchers, *more))

    @property
    def bare(self) -> Selector:
        """The metric by its name alone, or unchanged where it has none."""
        named = tuple(m for m in self.matchers if m.label == "__name__")
        return Selector(self.name, named) if self.name or named else self


def parse_selector(text: str) -> Selector:
    """Parse `name{label="value", ...}`. Raises SelectorError for an expression, with the remedy."""
    if _RANGED.search(text):
        raise SelectorError(f"{text!r} has a range: leave out what is in square brackets")
    found = _SELECTOR.fullmatch(text)
    if found is None or not (found["name"] or found["matchers"]):
        shifted = " (offset and @ are not supported)" if _SHIFTED.search(text) else ""
        raise SelectorError(
            f"{text!r} is an expression{shifted}; the judge counts events itself: give the metric selector "
            'alone, as in http_requests_total{code=~"5.."}, and leave expressions to the threshold fields'
        )
    matchers = _matchers(found["matchers"] or "", text)
    quoted = [m for m in matchers if not m.op]
    if len(quoted) > (0 if found["name"] else 1):
        raise SelectorError(f"{text!r} names its metric twice")
    name = Matcher("__name__", "=", quoted[0].label) if quoted else None
    rest = tuple(m for m in matchers if m.op)
    return Selector(found["name"] or "", (name, *rest) if name else rest)


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Parse `label="value", ...`. Raises SelectorError."""
    matchers = _matchers(text, text)
    if not matchers or any(not m.op for m in matchers):
        raise SelectorError(f'{text!r} are not label matchers: write them as in service="shop",code!="404"')
    return matchers


def _matchers(body: str, text: str) -> tuple[Matcher, ...]:
    matchers: list[Matcher] = []
    at = 0
    while at < len(body) and body[at:].strip():
        found = _MATCHER.match(body, at)
        ended = found is not None and (found.end() == len(body) or body[found.end()] == ",")
        if found is None or not ended:
            raise SelectorError(f"{text!r}: can't read the label matchers at {body[at : at + 20]!r}")
        matchers.append(Matcher(found["label"] or found["utf8"], found["op"] or "", found["value"] or ""))
        at = found.end() + 1
    return tuple(matchers)


def literal(value: str) -> str:
    """A PromQL string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def pods_matchers(namespace: str, prefix: str) -> str:
    """The arm whose pods a ReplicaSet named `prefix` made: `namespace`, and `pod` of that prefix."""
    pattern = literal(f"{re.escape(prefix).replace(re.escape('-'), '-')}-[a-z0-9]{{5}}")
    return f"namespace={literal(namespace)},pod=~{pattern}"


def label_matchers(namespace: str, label: str, value: str) -> str:
    """The arm that a label tells, where Prometheus maps pod labels."""
    return f"namespace={literal(namespace)},{label}={literal(value)}"


def bucket_matcher(edges: tuple[float, ...], per: float = 1.0) -> Matcher:
    """The buckets at these edges, `per` units of `le` each, and the one that holds all; exporters write 1 as
    `1` or `1.0`.
    """
    edges = tuple(round(edge * per, 9) for edge in edges)
    spelled = sorted({spelling for edge in edges for spelling in (repr(edge), f"{edge:g}", f"{edge:.1f}")})
    exact = [text for text in spelled if float(text) in edges]
    return Matcher("le", "=~", literal("|".join([*(re.escape(text) for text in exact), r"\+Inf"])))

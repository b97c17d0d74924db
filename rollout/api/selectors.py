"""Metric selectors of Prometheus and the placeholders in them: whether they are well-formed, and filled in.

A selector is a name, matchers in braces, or both; never an expression, because the judge needs the counts
themselves.
"""

import re
from collections.abc import Iterator, Mapping

_FILLED = "\x00"
"""Stands for a placeholder while the text around it is looked at."""

_TEXT = rf"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n{_FILLED}]|\\.)*'|`[^`{_FILLED}]*`)"""
_MATCHER = rf"[a-zA-Z_][a-zA-Z0-9_]*\s*(?:=~|!~|!=|=)\s*{_TEXT}"
_MATCHERS = rf"{_MATCHER}(?:\s*,\s*{_MATCHER})*\s*,?"
_MATCHERS_ALONE = re.compile(rf"\s*{_MATCHERS}\s*")
_SELECTOR = re.compile(
    rf"\s*(?:[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:\{{\s*(?:{_MATCHERS})?\s*\}})?|\{{\s*{_MATCHERS}\s*\}})\s*"
)
_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)

_OWN = frozenset(
    {"namespace", "name"}
    | {f"{arm}.{fact}" for arm in ("stable", "canary") for fact in ("hash", "service", "revision")}
)
"""Placeholders that need no argument."""


def is_selector(text: str) -> bool:
    """Whether `text` selects series: `http_requests_total{code=~"5.."}`."""
    return _SELECTOR.fullmatch(_without_placeholders(text)) is not None


def are_matchers(text: str) -> bool:
    """Whether `text` is a list of matchers as they stand in braces: `service="a",code=~"5.."`."""
    return _MATCHERS_ALONE.fullmatch(_without_placeholders(text)) is not None


def _without_placeholders(text: str) -> str:
    """With a mark for each placeholder; it fits in double quotes only, for which its value is escaped."""
    return _PLACEHOLDER.sub(_FILLED, text)


def series_named(text: str) -> tuple[str, frozenset[str]]:
    """The name in a selector ('' where it has none) and the labels that its matchers are about."""
    name, _, matchers = _without_placeholders(text).partition("{")
    return name.strip(), frozenset(_LABEL.findall(re.sub(_TEXT, '""', matchers)))


def placeholders(text: str) -> tuple[str, ...]:
    """The names between `{{` and `}}`, in order."""
    return tuple(_PLACEHOLDER.findall(text))


def unknown_placeholders(text: str, args: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(placeholder, remedy) for each that nothing will fill in."""
    for name in placeholders(text):
        if name.startswith("args."):
            if name.removeprefix("args.") not in args:
                yield name, f"declare {name.removeprefix('args.')} in spec.args"
        elif name not in _OWN:
            yield name, f"known are args.NAME, {', '.join(sorted(_OWN))}"


def is_open(value: object) -> bool:
    """Whether it is a text with a placeholder."""
    return isinstance(value, str) and bool(placeholders(value))


def inserted(text: str, values: Mapping[str, str]) -> str:
    """`text` with each placeholder's value, as it is.

    Raises:
        KeyError: for a placeholder that has no value.
    """
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with each placeholder's value, escaped for the double quotes in which it stands.

    Raises:
        KeyError: for a placeholder that has no value.
    """
    return _PLACEHOLDER.sub(lambda found: _escaped(values[found[1]]), text)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

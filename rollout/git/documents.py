"""Bytes of a file to documents with the line and column of every field, in one pass over libyaml's events.

Whoever can push can send us anything, so what a manifest doesn't need is refused while it is read, before it
costs memory or time: aliases (bombs), depth, unknown tags, duplicate keys, keys that aren't text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from rollout.git.scalars import resolve

MAX_EVENTS = 50_000
MAX_DEPTH = 64
MAX_DOCUMENTS = 500

Path = tuple[str | int, ...]


class Position(NamedTuple):
    """Where something is written; both count from 1, columns in characters."""

    line: int
    column: int


class Malformed(Exception):  # noqa: N818 -- named by what the file is
    """The file can't be read as manifests: where, and what to do."""

    def __init__(self, position: Position, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document; `positions` has the place of every field (its key) and item, the root under ()."""

    body: Any
    positions: Mapping[Path, Position]


def parse_documents(data: bytes) -> tuple[Document, ...]:
    """Read the documents of a YAML or JSON file; raises `Malformed` at the first thing refused."""
    text = _text(data)
    loader = yaml.CSafeLoader(text)
    try:
        return tuple(_Reader(loader).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        raise Malformed(position, _explain(error)) from None
    except yaml.YAMLError as error:
        raise Malformed(Position(1, 1), f"this is not YAML: {error}") from None
    finally:
        loader.dispose()


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise Malformed(_end(before), "the file is not UTF-8: save it as UTF-8") from None
    if wrong := _UNPRINTABLE.search(text):
        message = f"the control character U+{ord(wrong[0]):04X} is not allowed: remove it"
        raise Malformed(_end(text[: wrong.start()]), message)
    return text


def _end(text: str) -> Position:
    """The position right after a text."""
    return Position(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


_HINTS = {
    "character that cannot start any token": "indent with spaces, and quote text that begins with @ or `",
    "mapping values are not allowed": 'check the indentation; quote a value that contains ": "',
    "could not find expected ':'": "a key needs a colon and a space after it",
    "did not find expected key": "check the indentation of this line and of those above",
    "did not find expected '-' indicator": "check the indentation of this list",
    "unexpected end of stream": "a quote or a bracket is not closed",
    "found unexpected document indicator": "a quote or a bracket is not closed",
}


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "this is not YAML"
    hints = [hint for sign, hint in _HINTS.items() if sign in problem]
    return ": ".join([problem, *hints[:1]])


class _Reader:
    """Builds values from events; counts what it spends."""

    def __init__(self, loader: yaml.CSafeLoader) -> None:
        self._loader = loader
        self._events = 0
        self._positions: dict[Path, Position] = {}

    def documents(self) -> Iterator[Document]:
        count = 0
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            count += 1
            if count > MAX_DOCUMENTS:
                raise Malformed(_at(event), f"more than {MAX_DOCUMENTS} documents: split the file")
            self._positions = {}
            first = self._next()
            self._positions[()] = _at(first)
            body = self._value(first, ())
            if body is not None:
                yield Document(body, self._positions)

    def _next(self) -> yaml.Event:
        event = self._loader.get_event()
        assert event is not None, "libyaml ends with StreamEndEvent"
        self._events += 1
        if self._events > MAX_EVENTS:
            raise Malformed(_at(event), f"more than {MAX_EVENTS} items: split the file")
        return event

    def _value(self, event: yaml.Event, path: Path) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if len(path) >= MAX_DEPTH:
            raise Malformed(_at(event), f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.MappingStartEvent):
            _check_tag(event, "map")
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            _check_tag(event, "seq")
            return self._sequence(path)
        raise Malformed(_at(event), "aliases (*name) and merge keys are not accepted: write the content out")

    def _mapping(self, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = _key(event)
            if key in mapping:
                before = self._positions[(*path, key)]
                raise Malformed(
                    _at(event), f"{key!r} is already given at line {before.line}: keep one of them"
                )
            self._positions[(*path, key)] = _at(event)
            mapping[key] = None  # taken, while its value is being read
            mapping[key] = self._value(self._next(), (*path, key))
        return mapping

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            at = (*path, len(items))
            self._positions[at] = _at(event)
            items.append(self._value(event, at))
        return items


def _at(event: yaml.Event) -> Position:
    mark = event.start_mark
    assert mark is not None, "libyaml marks every event"
    return Position(mark.line + 1, mark.column + 1)


def _key(event: yaml.Event) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise Malformed(_at(event), "a key must be text; templates such as {{ name }} are not rendered")
    if event.value == "<<" and event.implicit[0]:
        raise Malformed(_at(event), "aliases (*name) and merge keys are not accepted: write the content out")
    key = _scalar(event)
    if not isinstance(key, str):
        raise Malformed(_at(event), f"the key {event.value[:40]!r} is not text: quote it")
    return key


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "null": (type(None),),
}
_TAG = "tag:yaml.org,2002:"


def _scalar(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    text: str = event.value
    if "\0" in text:
        raise Malformed(_at(event), "the text contains a NUL character: remove it")
    if event.tag in {"!", f"{_TAG}str"} or (event.tag is None and not event.implicit[0]):
        return text
    kind = (event.tag or "").removeprefix(_TAG)
    if event.tag is not None and kind not in _TYPES:
        raise Malformed(_at(event), f"the tag {event.tag!r} is not accepted: remove it")
    try:
        value = resolve(text)
    except ValueError as error:
        raise Malformed(_at(event), str(error)) from None
    if event.tag is not None and type(value) not in _TYPES[kind]:
        raise Malformed(_at(event), f"{text[:40]!r} is not of the type its tag says: remove the tag")
    return value


def _check_tag(event: yaml.CollectionStartEvent, kind: str) -> None:
    if event.tag not in {None, "!", f"{_TAG}{kind}"}:
        raise Malformed(_at(event), f"the tag {event.tag!r} is not accepted: remove it")

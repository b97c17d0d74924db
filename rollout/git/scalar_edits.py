"""One scalar of a YAML file replaced where it stands; every other byte stays as it is. Pure."""

import re
from collections.abc import Callable

import yaml

from rollout.git.documents import Malformed, parse_documents

_TOKEN = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")


class NotEditable(Exception):  # noqa: N818 -- named by what is wrong
    """The field is not there, not one, or not written as one plain or quoted text; the message says which."""


def edited(content: bytes, field: str, change: Callable[[str], str | None]) -> bytes:
    """The file with one field's text changed; `change` gives the new text, or None where the field of this
    document is not meant. Equal bytes where the text is right already.

    `field` is such as `spec.template.spec.containers[name=app].image`.
    Raises `NotEditable`.
    """
    try:
        parse_documents(content)  # refuses what must not be composed: bombs, depth, what is not UTF-8
        text = content.decode()
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (Malformed, UnicodeDecodeError, yaml.YAMLError) as wrong:
        raise NotEditable(f"the file can't be read: {wrong}") from wrong
    found = []
    for node in nodes:
        scalar = _find(node, field)
        if scalar is not None and (value := change(scalar.value)) is not None:
            found.append((scalar, value))
    if len(found) != 1:
        raise NotEditable(f"{field} with this image is there {len(found)} times; it has to be there once")
    scalar, value = found[0]
    if scalar.value == value:
        return content
    style = scalar.style or ""
    for quote in dict.fromkeys((style, '"')) if style not in ("|", ">") else ():
        start, end = scalar.start_mark.index, scalar.end_mark.index
        made = f"{text[:start]}{quote}{value}{quote}{text[end:]}".encode()
        if _is_only_change(content, made, nodes.index(_root(nodes, scalar)), field, value):
            return made
    raise NotEditable(f"{field} is not written as one plain or quoted text")


def _is_only_change(before: bytes, after: bytes, document: int, field: str, value: str) -> bool:
    """Whether reading both gives the same but for the field, which reads as it should."""
    try:
        old, new = (list(yaml.compose_all(each.decode(), Loader=yaml.SafeLoader)) for each in (before, after))
    except yaml.YAMLError:
        return False
    changed = _find(new[document], field)
    if changed is None or changed.value != value or changed.tag != "tag:yaml.org,2002:str":
        return False
    kept = _find(old[document], field)
    assert kept is not None
    changed.value, changed.tag, changed.style = kept.value, kept.tag, kept.style
    return [yaml.serialize(each) for each in old] == [yaml.serialize(each) for each in new]


def _root(nodes: list[yaml.Node], scalar: yaml.Node) -> yaml.Node:
    holding = [each for each in nodes if each.start_mark.index <= scalar.start_mark.index]
    return holding[-1]


def _find(node: yaml.Node | None, field: str) -> yaml.ScalarNode | None:
    for name, key in _TOKEN.findall(field):
        node = _step(node, name or key)
    return node if isinstance(node, yaml.ScalarNode) else None


def _step(node: yaml.Node | None, token: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == token), None)
    if isinstance(node, yaml.SequenceNode):
        if token.isdecimal():
            item: yaml.Node | None = node.value[int(token)] if int(token) < len(node.value) else None
            return item
        key, _, wanted = token.partition("=")
        for item in node.value:
            held = _step(item, key) if isinstance(item, yaml.MappingNode) else None
            if isinstance(held, yaml.ScalarNode) and held.value == wanted.strip("\"'"):
                found: yaml.Node = item
                return found
    return None

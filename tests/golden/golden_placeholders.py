"""Placeholders of the recorded cases: values that differ from run to run, numbered by first appearance."""

import collections
import json
import re
from collections.abc import Callable
from typing import Any

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
MICRO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
TIME_INSIDE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
HOLDER = re.compile(r"<(?:uid|rv|listrv|rand|hash|continue|ip|token|port)\d+>")
PAD = re.compile(r"<pad:(\d+)>")
CASE_GROUP = re.compile(r"g\d+\.gold\.example\.com")
VERSION_TEXTS = [
    (r"too old resource version: \d+ \(\d+\)", "too old resource version: <n> (<n>)"),
    (r"Too large resource version: \d+, current: \d+", "Too large resource version: <n>, current: <n>"),
    (
        r"ResourceVersion in precondition: \d+, ResourceVersion in object meta: \d+",
        "ResourceVersion in precondition: <n>, ResourceVersion in object meta: <n>",
    ),
    (
        r"in the precondition \(\d+\) does not match the ResourceVersion in record \(\d+\)",
        "in the precondition (<n>) does not match the ResourceVersion in record (<n>)",
    ),
]


class Placeholders:
    """What stands for what in one run of one case."""

    def __init__(self, number: int, *, managed: bool) -> None:
        self.managed = managed
        self.own_group = f"g{number}.gold.example.com"
        self.to: dict[tuple[str, Any], str] = {}
        self.back: dict[str, Any] = {}
        self.count: collections.Counter[str] = collections.Counter()
        self.names: list[tuple[str, str]] = []

    def hold(self, kind: str, actual: Any, *, fresh: bool = False) -> str:
        """The placeholder of a value; a fresh one each time where equality is not compared."""
        if not fresh and (kind, actual) in self.to:
            return self.to[kind, actual]
        self.count[kind] += 1
        text = f"<{kind}{self.count[kind]}>"
        self.to[kind, actual] = text
        self.back[text] = actual
        return text

    def _name(self, actual: str, text: str) -> None:
        if actual not in [held for held, _ in self.names]:
            self.names.append((actual, text))
            self.names.sort(key=lambda pair: -len(pair[0]))

    def discover(self, value: Any) -> None:
        """Learn generated names and hashes."""
        if isinstance(value, dict):
            if isinstance(value.get("metadata"), dict):
                self._discover_names(value["metadata"])
            for key in sorted(value):
                self.discover(value[key])
        elif isinstance(value, list):
            for item in value:
                self.discover(item)

    def _discover_names(self, meta: dict[str, Any]) -> None:
        labels = meta.get("labels") if isinstance(meta.get("labels"), dict) else {}
        hashed = (labels or {}).get("pod-template-hash")
        if hashed and not hashed.startswith("fixed"):
            self._name(hashed, self.hold("hash", hashed))
        base, name = meta.get("generateName"), meta.get("name")
        if not (base and name) or name == base or name[:-5] != base[: len(name) - 5]:
            return
        if re.match(r"^[a-z0-9]{5}$", name[-5:]) and name not in [held for held, _ in self.names]:
            self._name(name, self.plain(name[:-5]) + self.hold("rand", name[-5:]))

    def plain(self, text: str) -> str:
        """Text with names replaced."""
        for actual, shown in self.names:
            text = text.replace(actual, shown)
        return text

    def text(self, text: str, key: str | None = None) -> str:
        """A string with what varies replaced."""
        if len(text) > 1000:
            text = re.sub(r"x{1000,}", lambda found: f"<pad:{len(found.group())}>", text)
        if text.startswith("eyJ") and text.count(".") == 2:
            return self.hold("token", text)
        if TIME.match(text):
            return "<time>"
        if MICRO.match(text):
            return "<microtime>"
        text = self.plain(UUID.sub(lambda found: self.hold("uid", found.group()), text))
        if key == "message":
            text = self._message(text)
        if key == "serverRelativeURL":
            text = re.sub(r"hash=[0-9A-F]+", "hash=<hash>", text)
        return text

    def _message(self, text: str) -> str:
        text = re.sub(
            r'(\\*"resourceVersion\\*":\\*")(\d+)',
            lambda found: found.group(1) + self.hold("rv", found.group(2)),
            text,
        )
        for pattern, shown in VERSION_TEXTS:
            text = re.sub(pattern, shown, text)
        return TIME_INSIDE.sub("<time>", text)

    def response(self, value: Any) -> Any:
        """An answer with placeholders."""
        self.discover(value)
        return self._walk(value)

    def _walk(self, value: Any, key: str | None = None, *, of_list: bool = False, cells: bool = False) -> Any:
        if isinstance(value, dict):
            return self._walk_object(value, key, of_list=of_list)
        if isinstance(value, list):
            return [self._walk(item, key, cells=cells) for item in value]
        if isinstance(value, str):
            return "<age>" if cells and re.match(r"^(\d+[smhdy])+$", value) else self.text(value, key)
        return value

    def _walk_object(self, value: dict[str, Any], key: str | None, *, of_list: bool) -> dict[str, Any]:
        is_list = isinstance(value.get("items"), list) or str(value.get("kind", "")).endswith("List")
        is_list = is_list or value.get("kind") == "Table" or key == "BOOKMARK"
        out: dict[str, Any] = {}
        for name in sorted(value):
            if name == "managedFields" and not self.managed:
                continue
            special = self._special(name, value[name], value, of_list=of_list)
            if special is not None:
                out[name] = special
            else:
                below = is_list and name == "metadata"
                out[self.text(name)] = self._walk(value[name], name, of_list=below, cells=name == "cells")
        if out.get("kind") == "Status":
            _sort_causes(out)
        return out

    def _special(self, name: str, value: Any, owner: dict[str, Any], *, of_list: bool) -> Any:
        """What a member of this name becomes; None where nothing is special about it."""
        if name == "resourceVersion" and isinstance(value, str) and value not in {"", "0"}:
            return self.hold("listrv", value, fresh=True) if of_list else self.hold("rv", value)
        simple: dict[str, Callable[[], Any]] = {
            "continue": lambda: self.hold("continue", value, fresh=True) if value else None,
            "serverAddress": lambda: "<server>",
            "token": lambda: self.hold("token", value) if str(value).startswith("eyJ") else None,
            "clusterIP": lambda: self.hold("ip", value) if value not in {"", "None"} else None,
            "clusterIPs": lambda: [item if item == "None" else self.hold("ip", item) for item in value],
            "nodePort": lambda: self.hold("port", value) if value else None,
            "healthCheckNodePort": lambda: self.hold("port", value) if value else None,
            "managedFields": lambda: sorted((self._walk(item) for item in value), key=_manager),
            "object": lambda: self._walk(value, "BOOKMARK") if owner.get("type") == "BOOKMARK" else None,
            "groups": lambda: [self._walk(item, name) for item in value if not self._alien(item)],
            "items": lambda: [self._walk(item, name) for item in value if not self._alien(item)],
            "paths": lambda: self._paths(value),
        }
        known = isinstance(value, (str, int, list, dict)) and name in simple
        if name in {"groups", "items", "managedFields", "clusterIPs"}:
            known = isinstance(value, list)
        elif name in {"object", "paths"}:
            known = isinstance(value, dict)
        elif name in {"nodePort", "healthCheckNodePort"}:
            known = isinstance(value, int)
        elif name in simple:
            known = isinstance(value, str)
        return simple[name]() if known else None

    def _paths(self, value: dict[str, Any]) -> dict[str, Any]:
        return {
            path: self._walk(item)
            for path, item in sorted(value.items())
            if not [group for group in CASE_GROUP.findall(path) if group != self.own_group]
        }

    def _alien(self, item: Any) -> bool:
        """Whether it is a group of another case that is served at this moment."""
        name = (
            (item.get("name") or (item.get("metadata") or {}).get("name")) if isinstance(item, dict) else None
        )
        return isinstance(name, str) and bool(CASE_GROUP.fullmatch(name)) and name != self.own_group

    def actual(self, value: Any) -> Any:
        """A request with the values of this run."""
        if isinstance(value, dict):
            return {self.actual(key): self.actual(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.actual(item) for item in value]
        if isinstance(value, str):
            value = PAD.sub(lambda found: "x" * int(found.group(1)), value)
            return HOLDER.sub(lambda found: str(self.back.get(found.group(), found.group())), value)
        return value


def _manager(entry: Any) -> tuple[str, str, str]:
    return (str(entry.get("manager")), str(entry.get("operation")), str(entry.get("subresource")))


def _sort_causes(status: dict[str, Any]) -> None:
    """The original finds some causes by walking a map: their order, and that of the message, is not
    compared."""
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    if not isinstance(causes, list) or len(causes) < 2:
        return
    causes.sort(key=lambda cause: json.dumps(cause, sort_keys=True))
    message = status.get("message") or ""
    start, end = message.find("["), message.rfind("]")
    if 0 <= start < end:
        parts = sorted(re.split(r", (?=[A-Za-z<][^ ,]*: )", message[start + 1 : end]))
        status["message"] = message[: start + 1] + ", ".join(parts) + message[end:]

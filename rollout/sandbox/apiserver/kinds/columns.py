"""Printer columns of built-in kinds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.sandbox.apiserver.resource import Object


def describe(what: str) -> str:
    """The description that a common column carries."""
    return DESCRIPTIONS[what]


DESCRIPTIONS = {
    "name": (
        "Name must be unique within a namespace. Is required when creating resources, although some resources may "
        "allow a client to request the generation of an appropriate name automatically. Name is primarily intended "
        "for creation idempotence and configuration definition. Cannot be updated. More info: "
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
    ),
    "age": (
        "CreationTimestamp is a timestamp representing the server time when this object was created. It is not "
        "guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It "
        "is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More "
        "info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
    ),
}


@dataclass(frozen=True, slots=True)
class BuiltinColumn:
    """A column and how its cell is read."""

    name: str
    cell: Callable[[Object], Any]
    type: str = "string"
    description: str = ""
    priority: int = 0

    def definition(self) -> Object:
        """The column's definition."""
        text = self.description or (DESCRIPTIONS["age"] if self.name == "Age" else "")
        return {
            "name": self.name,
            "type": self.type,
            "format": "",
            "description": text,
            "priority": self.priority,
        }


def _age(obj: Object) -> str:
    from rollout.sandbox.apiserver.table import age

    return age(obj["metadata"].get("creationTimestamp"))


AGE = BuiltinColumn("Age", _age)
GENERIC: tuple[BuiltinColumn, ...] = (
    BuiltinColumn(
        "Created At", lambda obj: obj["metadata"].get("creationTimestamp"), "date", DESCRIPTIONS["age"]
    ),
)
COLUMNS: dict[tuple[str, str], tuple[BuiltinColumn, ...]] = {}

"""What is served: kinds with their schema, storage and strategy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds import events
from rollout.sandbox.apiserver.kinds.table import KindName
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.shape import Schema, Shape
from rollout.sandbox.apiserver.store import Storage

Default = Callable[[Object], None]
Prepare = Callable[[Object, Object | None], None]
Validate = Callable[[Object, Object | None], list[Cause]]


def _keep(_obj: Object) -> None:
    pass


def _prepare(_new: Object, _old: Object | None) -> None:
    pass


def _no_warnings(_obj: Object) -> list[str]:
    return []


def _accept(_new: Object, _old: Object | None) -> list[Cause]:
    return []


@dataclass(frozen=True, slots=True)
class Strategy:
    """What a kind does to its objects beyond what all kinds do.

    `default` fills in an object (after decoding), `prepare` sets what the server owns (`old` is None on
    creation),
    `validate` names what is wrong. `generation`: metadata.generation counts changes outside metadata and
    status.
    """

    default: Default = _keep
    prepare: Prepare = _prepare
    validate: Validate = _accept
    validate_status: Validate = _accept
    warnings: Callable[[Object], list[str]] = _no_warnings
    generation: bool = False
    name_problems: Callable[[str], list[str]] = names.subdomain
    fields: tuple[str, ...] = ()
    needs_version: bool = False
    returns_deleted: bool = False
    skeleton: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of a custom resource."""

    name: str
    type: str
    path: str
    description: str = ""
    format: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Custom:
    """One version of a custom kind, as its CustomResourceDefinition says."""

    definition: str
    schema: Schema
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]
    has_status: bool
    scale: dict[str, str] | None
    has_rules: bool
    preserve: bool


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A kind in one version."""

    name: KindName
    shape: Shape
    storage: Storage
    strategy: Strategy
    custom: Custom | None = None

    @property
    def group(self) -> str:
        """The API group."""
        return self.name.resource.group

    @property
    def plural(self) -> str:
        """The resource's name in paths."""
        return self.name.resource.plural

    @property
    def kind(self) -> str:
        """The kind of its objects."""
        return self.name.kind

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects."""
        return self.name.resource.group_version

    @property
    def has_status(self) -> bool:
        """Whether status is a subresource."""
        return self.name.subresource("status") is not None

    def outward(self, obj: Object) -> Object:
        """A stored object in this version."""
        if obj["apiVersion"] == self.api_version:
            return obj
        if self.kind == "Event":
            return events.convert(obj, self.api_version)
        return {**obj, "apiVersion": self.api_version}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user with groups; `system:masters` may do anything."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def all_powerful(self) -> bool:
        """Whether authorization is skipped."""
        return "system:masters" in self.groups


@dataclass(slots=True)
class Write:
    """How a write is to be done; warnings are added for the client."""

    caller: Caller
    manager: str
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    raw: bytes | None = None

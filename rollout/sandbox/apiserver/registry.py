"""Which kinds are served at the moment: the built-in ones and those of CustomResourceDefinitions."""

import re
from collections.abc import Iterator

from rollout.sandbox.apiserver.kinds.strategies import STRATEGIES
from rollout.sandbox.apiserver.kinds.table import KINDS, KindName
from rollout.sandbox.apiserver.resource import Resource
from rollout.sandbox.apiserver.served import Served, Strategy
from rollout.sandbox.apiserver.shape import kind_shape

SHARED_STORAGE = {"events.k8s.io": ("", "events")}


class Registry:
    """Served kinds by resource."""

    def __init__(self) -> None:
        self.kinds: dict[Resource, Served] = {}
        self.generation = 0
        for name in KINDS:
            self.add(_builtin(name))

    def add(self, served: Served) -> None:
        """Serve a kind, in place of an older definition of the same resource."""
        self.kinds[served.name.resource] = served
        self.generation += 1

    def drop_group_resource(self, group: str, plural: str) -> None:
        """Serve it no more."""
        for resource in [r for r in self.kinds if (r.group, r.plural) == (group, plural)]:
            del self.kinds[resource]
        self.generation += 1

    def get(self, resource: Resource) -> Served | None:
        """The kind that a path names."""
        return self.kinds.get(resource)

    def of_kind(self, api_version: str, kind: str) -> Served | None:
        """The kind that an object or owner reference names."""
        return next((s for s in self.kinds.values() if s.kind == kind and s.api_version == api_version), None)

    def __iter__(self) -> Iterator[Served]:
        return iter(tuple(self.kinds.values()))

    def groups(self) -> dict[str, list[str]]:
        """Groups and their versions, the preferred one first."""
        found: dict[str, list[str]] = {}
        for resource in self.kinds:
            versions = found.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        return {group: sorted(versions, key=version_order) for group, versions in found.items()}

    def in_version(self, group: str, version: str) -> list[Served]:
        """The kinds of a group and version, by plural."""
        found = [s for s in self.kinds.values() if (s.group, s.name.resource.version) == (group, version)]
        return sorted(found, key=lambda s: s.plural)

    def serves_group(self, group: str) -> bool:
        """Whether anything of the group is served."""
        return any(resource.group == group for resource in self.kinds)


def version_order(version: str) -> tuple[int, int, int, str]:
    """GA before beta before alpha, higher numbers first; other names last."""
    matched = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if matched is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[matched.group(2)]
    return (stage, -int(matched.group(1)), -int(matched.group(3) or 0), "")


def _builtin(name: KindName) -> Served:
    resource = name.resource
    shape = kind_shape(resource.group, resource.version, name.kind)
    storage = SHARED_STORAGE.get(resource.group, (resource.group, resource.plural))
    strategy = STRATEGIES.get((resource.group, name.kind), Strategy())
    return Served(name, shape, storage, strategy)

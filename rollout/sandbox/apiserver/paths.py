"""From a path to what it names."""

from dataclasses import dataclass

from rollout.sandbox.apiserver.resource import Resource


@dataclass(frozen=True, slots=True)
class Named:
    """A resource path: collection or object, perhaps a subresource; `watch` for the old watch paths."""

    resource: Resource
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    watch: bool = False


def parse(path: str) -> Named | None:
    """The resource that a path names; None for other paths and for a group or version alone."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    namespace = None
    if rest[0] == "namespaces" and len(rest) >= 3 and not (not group and rest[2] in {"status", "finalize"}):
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = "/".join(rest[2:])
    return Named(Resource(group, version, rest[0]), namespace, name, subresource, watch)

"""Files of a revision to manifests: each document is an object of the source's namespace, or all are refused.

Pure. A problem names file, line and column; a `Manifest` keeps the place of every field, so that what the API
server says of `spec.template.spec.containers[0].image` can be said of the line.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from rollout.git.documents import Document, Malformed, Path, Position, parse_documents
from rollout.git.errors import FileProblem, ManifestsRefused
from rollout.git.revision import Blob, Revision
from rollout.git.shape import SERVER_OWNED, complaints

__all__ = ["Manifest", "Parser", "Position", "apply_order", "parse"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object as Git wants it, and where it is written; `body` is shared: copy it before changing it."""

    path: str
    line: int
    column: int
    body: Mapping[str, Any]
    positions: Mapping[Path, Position] = field(repr=False, compare=False)
    prefix: Path = ()
    """Where the object lies in its document: () or ("items", 2) in a List."""
    blob: str = field(default="", repr=False, compare=False)
    """The content id of its file."""
    brought_by: Revision | None = field(default=None, repr=False, compare=False)
    """The commit that it came with, where that is known."""

    @property
    def api_version(self) -> str:
        """`apps/v1`."""
        return str(self.body["apiVersion"])

    @property
    def group(self) -> str:
        """`apps`, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def kind(self) -> str:
        """`Rollout`."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Of the object, in its metadata."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The source's, empty for a cluster-scoped object."""
        return str(self.body["metadata"].get("namespace", ""))

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Group, kind, namespace, name: what makes it one object."""
        return (self.group, self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        """Render as `Rollout shop/checkout`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def of_the_cluster(self) -> "Manifest":
        """The same, in no namespace."""
        metadata = {key: value for key, value in self.body["metadata"].items() if key != "namespace"}
        return replace(self, body={**self.body, "metadata": metadata})

    def position(self, field_path: str) -> Position:
        """Where a field is written, e.g. `spec.steps[2].setWeight` or `.spec.containers[name="app"].image`.

        A field that isn't there is placed at the nearest one above it that is.
        """
        at = self.prefix
        value: Any = self.body
        tokens = _tokens(field_path)
        while tokens:
            step, taken = _step(value, tokens)
            if step is None or (*at, step) not in self.positions:
                break
            at = (*at, step)
            value = value[step]
            tokens = tokens[taken:]
        return self.positions[at]

    def problem(self, field_path: str, message: str) -> FileProblem:
        """What is wrong with a field, as a place in a file."""
        position = self.position(field_path)
        return FileProblem(self.path, position.line, position.column, f"{self}: {message}")


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one file gave: its objects, and what is wrong with the rest of it."""

    manifests: tuple[Manifest, ...]
    problems: tuple[FileProblem, ...]


_Asked = tuple[str, str, str, frozenset[tuple[str, str]]]
"""The content id of a file, its path, and for which namespace and kinds without one it was read."""


class Parser:
    """Parses the revisions of one source; files that were in the last revision are not parsed again."""

    def __init__(self) -> None:
        self.parsed = 0
        """How many blobs were parsed so far."""
        self._known: dict[_Asked, _Taken] = {}

    def parse(
        self,
        blobs: Iterable[Blob],
        namespace: str,
        cluster_scoped: Collection[tuple[str, str]] = (),
    ) -> tuple[Manifest, ...]:
        """Parse all files of a revision; the namespace is set where it is absent.

        `cluster_scoped` holds (group, kind) of what has no namespace.
        Raises `ManifestsRefused` with every problem.
        """
        manifests, problems = self.sift(blobs, namespace, cluster_scoped)
        if problems:
            raise ManifestsRefused(problems)
        return manifests

    def sift(
        self, blobs: Iterable[Blob], namespace: str, cluster_scoped: Collection[tuple[str, str]] = ()
    ) -> tuple[tuple[Manifest, ...], tuple[FileProblem, ...]]:
        """The same, with what can be taken of them and what is wrong with the rest.

        Of a file that is not YAML nothing can be taken, and of an object that is given twice neither.
        """
        scoped = frozenset(cluster_scoped)
        taken: dict[_Asked, _Taken] = {}
        malformed: list[FileProblem] = []
        for blob in blobs:
            asked = (blob.oid, blob.path, namespace, scoped)
            try:
                taken[asked] = self._known.get(asked) or self._take(blob, namespace, scoped)
            except Malformed as error:
                malformed.append(FileProblem(blob.path, *error.position, error.message))
        self._known = taken
        problems = [problem for file in taken.values() for problem in file.problems]
        by_key: dict[tuple[str, str, str, str], list[Manifest]] = {}
        for file in taken.values():
            for manifest in file.manifests:
                by_key.setdefault(manifest.key, []).append(manifest)
        again = [_given_again(other, first) for first, *others in by_key.values() for other in others]
        once = tuple(first for first, *others in by_key.values() if not others)
        return once, tuple(sorted([*malformed, *problems, *again]))

    def _take(self, blob: Blob, namespace: str, scoped: frozenset[tuple[str, str]]) -> _Taken:
        self.parsed += 1
        problems: list[FileProblem] = []
        found = [
            manifest
            for document in parse_documents(blob.data)
            for manifest in _manifests(blob, document, namespace, scoped, problems)
        ]
        return _Taken(tuple(found), tuple(problems))


def parse(
    blobs: Iterable[Blob], namespace: str, cluster_scoped: Collection[tuple[str, str]] = ()
) -> tuple[Manifest, ...]:
    """Parse one revision, with no memory of others; see `Parser.parse`."""
    return Parser().parse(blobs, namespace, cluster_scoped)


_FIRST = (
    *("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role"),
    *("ClusterRoleBinding", "RoleBinding", "Secret", "SealedSecret", "ExternalSecret", "ConfigMap"),
)
_ROUTES = frozenset({"gateway.networking.k8s.io", "networking.k8s.io", "networking.istio.io", "traefik.io"})


def apply_order(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Order for applying: what others need first, then Services, routes, analysis, and Rollouts last."""
    return tuple(sorted(manifests, key=lambda manifest: (_rank(manifest), manifest.key)))


def _rank(manifest: Manifest) -> int:
    if manifest.kind in _FIRST:
        return _FIRST.index(manifest.kind)
    if manifest.kind == "Rollout":
        return 104
    if manifest.kind in {"AnalysisTemplate", "ClusterAnalysisTemplate"}:
        return 103
    if manifest.group in _ROUTES:
        return 102
    return 101 if (manifest.group, manifest.kind) == ("", "Service") else 100


def _manifests(
    blob: Blob,
    document: Document,
    namespace: str,
    cluster_scoped: frozenset[tuple[str, str]],
    problems: list[FileProblem],
) -> Iterator[Manifest]:
    """The objects of a document: itself, or the items of a List; what is wrong goes to `problems`."""
    path = blob.path
    if PurePosixPath(path).name in {"kustomization.yaml", "kustomization.yml"}:
        problems += _kustomization(path, document)
        return
    for prefix, body in _flatten(document.body):
        found = list(complaints(body, namespace, cluster_scoped))
        for at, message in found:
            problems.append(FileProblem(path, *_nearest(document.positions, (*prefix, *at)), message))
        if not found:
            position = document.positions[prefix]
            cluster = (body["apiVersion"].rpartition("/")[0], body["kind"]) in cluster_scoped
            placed = _placed(body, "" if cluster else namespace)
            yield Manifest(path, *position, placed, document.positions, prefix, blob.oid)


def _nearest(positions: Mapping[Path, Position], at: Path) -> Position:
    """The position of a field, or of the nearest one above it."""
    while at not in positions:
        at = at[:-1]
    return positions[at]


def _flatten(body: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(body, dict) and body.get("kind") == "List" and isinstance(body.get("items"), list):
        for index, item in enumerate(body["items"]):
            yield ("items", index), item
    else:
        yield (), body


def _placed(body: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The body with its namespace, without the empty fields that generators leave."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in SERVER_OWNED}
    if namespace:
        metadata["namespace"] = namespace
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def _kustomization(path: str, document: Document) -> Iterator[FileProblem]:
    """A kustomization that only lists files changes nothing; what others do would be missed silently."""
    body = document.body if isinstance(document.body, dict) else {}
    for key in body:
        if key not in {"apiVersion", "kind", "metadata", "resources"}:
            message = f"kustomize is not run here, so {key!r} has no effect: commit the rendered manifests"
            yield FileProblem(path, *document.positions[(key,)], message)


def _given_again(manifest: Manifest, first: Manifest) -> FileProblem:
    message = f"{manifest} is already given at {first.path}:{first.line}: keep one of them"
    return FileProblem(manifest.path, manifest.line, manifest.column, message)


_TOKEN = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")


def _tokens(field_path: str) -> list[str]:
    """`a.b[0][x/y.z]` to its parts; an empty path has none."""
    found = _TOKEN.findall(field_path)
    return [name or (key if "=" in key else key.strip("\"'")) for name, key in found]


def _step(value: Any, tokens: list[str]) -> tuple[str | int | None, int]:
    """The key or index that the next tokens name in a value, and how many of them it took."""
    if isinstance(value, list):
        return _index(value, tokens[0]), 1
    if isinstance(value, dict):
        # A label's key holds dots that the path doesn't always put in brackets.
        for taken in range(1, len(tokens) + 1):
            if (key := ".".join(tokens[:taken])) in value:
                return key, taken
    return None, 0


def _index(items: list[Any], token: str) -> int | None:
    """`2`, or what server-side apply writes: `name="app"`, `containerPort=80,protocol="TCP"`."""
    if token.isdecimal():
        return int(token) if len(token) < 10 and int(token) < len(items) else None
    wanted = dict(part.partition("=")[::2] for part in token.split(","))
    for index, item in enumerate(items):
        if isinstance(item, dict) and all(
            str(item.get(key)) == value.strip('"') for key, value in wanted.items()
        ):
            return index
    return None

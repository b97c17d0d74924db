"""A listing of a revision's files, and which of them are manifests we are willing to read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from rollout.api.errors import Stalled
from rollout.git.errors import FileProblem, ManifestsRefused


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """How much a source may hold."""

    entries: int = 50_000
    manifests: int = 5_000
    manifest_bytes: int = 1 << 20
    total_bytes: int = 32 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A manifest file in a revision's tree."""

    path: str
    oid: str
    size: int
    """In bytes."""


_LINE = re.compile(
    rb"(?P<mode>\d{6}) (?P<type>\w+) (?P<oid>[0-9a-f]{40,64}) +(?P<size>\d+|-)\t(?P<path>.*)", re.DOTALL
)
_REFUSED = {
    "120000": "is a symbolic link: links are never followed, commit the file itself",
    "160000": "is a submodule: submodules are not fetched, commit the manifests themselves",
}
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


def manifests(listing: bytes, limits: TreeLimits) -> tuple[Entry, ...]:
    """Choose the manifests from the output of `ls-tree -r -l -z`: YAML and JSON, hidden files left out.

    Raises `ManifestsRefused` naming links, submodules and files too large,
    `Stalled(RepositoryTooLarge)` where there are too many.
    """
    lines = [line for line in listing.split(b"\0") if line]
    if len(lines) > limits.entries:
        raise _too_large(f"{len(lines)} files (at most {limits.entries})")
    problems: list[FileProblem] = []
    entries = tuple(_chosen(lines, limits, problems))
    if problems:
        raise ManifestsRefused(tuple(problems), "EntryRefused")
    if len(entries) > limits.manifests:
        raise _too_large(f"{len(entries)} manifests (at most {limits.manifests})")
    if (total := sum(entry.size for entry in entries)) > limits.total_bytes:
        raise _too_large(f"{total} bytes of manifests (at most {limits.total_bytes})")
    return entries


def entries(listing: bytes) -> tuple[Entry, ...]:
    """Every file in the output of `ls-tree -r -l -z`, whatever it is called."""
    parsed = [_LINE.fullmatch(line) for line in listing.split(b"\0") if line]
    return tuple(
        Entry(each["path"].decode(errors="replace"), each["oid"].decode(), int(each["size"]))
        for each in parsed
        if each is not None and each["type"] == b"blob"
    )


def _chosen(lines: list[bytes], limits: TreeLimits, problems: list[FileProblem]) -> Iterator[Entry]:
    for line in lines:
        parsed = _LINE.fullmatch(line)
        assert parsed is not None, line
        path = parsed["path"].decode(errors="replace")
        if complaint := _REFUSED.get(parsed["mode"].decode()):
            problems.append(FileProblem(path, 0, 0, complaint))
        elif not is_manifest(path):
            continue
        elif "�" in path:
            problems.append(FileProblem(path, 0, 0, "has a name that is not UTF-8: rename it"))
        elif int(parsed["size"]) > limits.manifest_bytes:
            size = int(parsed["size"])
            problems.append(
                FileProblem(path, 0, 0, f"has {size} bytes, at most {limits.manifest_bytes} are read")
            )
        else:
            yield Entry(path, parsed["oid"].decode(), int(parsed["size"]))


def is_manifest(path: str) -> bool:
    """Whether a file is read: YAML or JSON, and neither it nor a directory above it hidden."""
    file = PurePosixPath(path)
    hidden = any(part.startswith(".") for part in file.parts)
    return not hidden and file.suffix.lower() in {".yaml", ".yml", ".json"}


def refuse_pointer(path: str, data: bytes) -> None:
    """Raise `ManifestsRefused` for a file whose content lies in Git LFS."""
    if data.startswith(LFS_POINTER):
        message = (
            "is a Git LFS pointer, not a manifest: take it out of LFS (git lfs untrack, then commit it anew)"
        )
        raise ManifestsRefused((FileProblem(path, 1, 1, message),), "EntryRefused")


def _too_large(what: str) -> Stalled:
    return Stalled("RepositoryTooLarge", f"spec.path holds {what}: choose a smaller path")

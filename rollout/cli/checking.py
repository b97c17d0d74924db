"""`lint`: manifests checked offline, references included."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rollout.cli.failure import ExitCode, Failure
from rollout.git.documents import Malformed, Position, parse_documents
from rollout.git.manifests import Manifest
from rollout.lint import Document, Finding, Severity, lint
from rollout.settings import Settings

SUFFIXES = (".yaml", ".yml", ".json")
_NOT_MANIFESTS = ("kustomization.yaml", "kustomization.yml")

Place = tuple[str | int, ...]


class Format(StrEnum):
    """How findings are listed."""

    JSON = "json"
    TEXT = "text"


Paths = Annotated[list[Path], typer.Argument(help="Files, or folders that are searched.", show_default=False)]
Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--prometheus-allowed",
        metavar="URL",
        help="A Prometheus that the operator may be told to ask, and what lies below it; may be given again.",
        envvar="ROLLOUT_PROMETHEUS_ALLOWED",
        show_default=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--output", "-o", help="text or json.")]


def check(paths: Paths, output: FormatOption = Format.TEXT, allowed: Allowed = None) -> None:
    """Check manifests without a cluster: fields, values, and what they refer to within PATH."""
    findings: list[Finding] = []
    documents: list[Document] = []
    for file in files_in(paths):
        try:
            documents += documents_of(file)
        except Malformed as wrong:
            findings.append(_malformed(file, wrong))
    settings = Settings(prometheus_allowed=tuple(allowed or ()))
    findings = sorted(findings + lint(documents, settings.allows_prometheus))
    if output is Format.JSON:
        sys.stdout.write(json.dumps([asdict(each) for each in findings], indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{each}\n" for each in findings))
    errors = sum(each.severity is Severity.ERROR for each in findings)
    if errors:
        raise Failure(f"{errors} {'error' if errors == 1 else 'errors'} in {len(documents)} manifests")


def files_in(paths: list[Path]) -> Iterator[Path]:
    """The files that may hold manifests; raises Failure(USAGE) for a path that is not there."""
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
            yield from (each for each in inside if each.name not in _NOT_MANIFESTS)
        elif path.is_file():
            yield path
        else:
            raise Failure(f"{path}: no such file or folder", ExitCode.USAGE)


def documents_of(file: Path) -> Iterator[Document]:
    """The manifests of a file, the items of a List each on its own."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Failure(f"can't read {file}: {error.strerror}", ExitCode.USAGE) from error
    for document in parse_documents(data):
        body = document.body
        items = body.get("items") if isinstance(body, Mapping) and body.get("kind") == "List" else None
        listed = enumerate(items) if isinstance(items, list) else ()
        within: list[tuple[Place, Any]] = [(("items", index), item) for index, item in listed]
        for place, each in within or [((), body)]:
            yield _document(str(file), each, document.positions, place)


def _document(path: str, body: Any, positions: Mapping[Place, Position], place: Place) -> Document:
    line, column = positions[place]
    manifest = Manifest(path, line, column, body, positions, place)
    return Document(path, line, body, lambda field: manifest.position(field).line)


def _malformed(file: Path, wrong: Malformed) -> Finding:
    return Finding(
        str(file), wrong.position.line, Severity.ERROR, f"column {wrong.position.column}", wrong.message
    )

"""From a manifest to a model, with every problem at once: path, what is wrong, what to do.

Fields of the contract that are not built yet are taken out first and named; what remains is validated.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rollout.api.base import FROM_MANIFEST, Manifest, Model
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.meta import ARGO_GROUP, GROUP, VERSION
from rollout.api.rules import WrongFieldsError
from rollout.api.schema import fields_at, structural
from rollout.api.unsupported import Unsupported

Path = tuple[str | int, ...]
M = TypeVar("M", bound=Model)

API_VERSION = f"{GROUP}/{VERSION}"
_ARGO = f"{ARGO_GROUP}/{VERSION}"
_TOP = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_TYPES = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "mapping_type": "an object",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


@dataclass(frozen=True)
class Kind(Generic[M]):
    """What parsing needs to know of a kind."""

    name: str
    model: type[M]
    unsupported: tuple[Unsupported, ...] = ()
    name_limit: int = 253
    without: Mapping[str, str] = field(default_factory=dict)
    """Remedies for required fields that are missing, by path."""


def parse(kind: Kind[M], manifest: Manifest) -> M:
    """The value that `manifest` describes; its status is left alone.

    Raises:
        InvalidSpec: with every problem that is found.
    """
    body, refused = _without_unsupported(kind, manifest)
    problems = [*_envelope(kind, manifest), *(problem for _, problem in refused)]
    model = None
    try:
        asked = {key: body[key] for key in ("metadata", "spec") if key in body}
        model = kind.model.model_validate(asked, context=FROM_MANIFEST)
    except ValidationError as error:
        holes = {path[:-1] for path, _ in refused}
        problems += _problems(kind, error, holes)
    if problems or model is None:
        raise InvalidSpec(tuple(problems))
    return model


def path_text(path: Path) -> str:
    """A field path as Kubernetes writes it: `spec.strategy.canary.steps[2].setWeight`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _envelope(kind: Kind[M], manifest: Manifest) -> Iterator[Problem]:
    if manifest.get("kind") != kind.name:
        yield Problem("kind", f"must be {kind.name}")
    if manifest.get("apiVersion") == _ARGO:
        yield Problem("apiVersion", f"{_ARGO} is not supported yet", f"write {API_VERSION}")
    elif manifest.get("apiVersion") != API_VERSION:
        yield Problem("apiVersion", f"must be {API_VERSION}")
    for key in manifest:
        if key not in _TOP:
            yield _unknown((key,), tuple(sorted(_TOP)))
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not name and not (isinstance(metadata, Mapping) and metadata.get("generateName")):
        yield Problem("metadata.name", "is required")
    elif isinstance(name, str) and len(name) > kind.name_limit:
        yield Problem("metadata.name", f"must have at most {kind.name_limit} characters, not {len(name)}")


def _without_unsupported(
    kind: Kind[M], manifest: Manifest
) -> tuple[dict[str, Any], list[tuple[Path, Problem]]]:
    """A copy of `manifest` that lacks the fields not built yet, and each of them as a problem."""
    body = _copy(manifest)
    refused: list[tuple[Path, Problem]] = []
    for row in kind.unsupported:
        for path, parent in list(_find(body, tuple(row.parent.split(".")))):
            if row.field in parent:
                del parent[row.field]
                where = (*path, row.field)
                refused.append((where, Problem(path_text(where), "is not supported yet", row.remedy)))
    return body, refused


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _find(value: Any, parts: tuple[str, ...], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The objects that the pattern `parts` leads to; `name[]` stands for any item of a list."""
    if not isinstance(value, dict):
        return
    if not parts:
        yield path, value
        return
    name = parts[0].removesuffix("[]")
    child = value.get(name)
    if parts[0] == name:
        yield from _find(child, parts[1:], (*path, name))
    elif isinstance(child, list):
        for index, item in enumerate(child):
            yield from _find(item, parts[1:], (*path, name, index))


def _problems(kind: Kind[M], error: ValidationError, holes: set[Path]) -> Iterator[Problem]:
    """What pydantic found, in our words; nothing about an object from which a field was taken out."""
    for details in error.errors(include_url=False):
        path = tuple(part for part in details["loc"] if not str(part).startswith("tag:"))
        missing = details["type"] == "missing" and path[:-1] in holes
        choice = path in holes and details["type"] in {"one_key", "value_error"}
        # Counted after items with problems of their own fell out: there is one.
        emptied = details["type"] == "too_short" and bool(details["input"])
        if not (missing or choice or emptied):
            yield from _explain(kind, path, details)


def _explain(kind: Kind[M], path: Path, details: ErrorDetails) -> Iterator[Problem]:
    where, what, context = path_text(path), details["type"], details.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, WrongFieldsError):
        for problem in cause.problems:
            yield Problem(where + problem.path, problem.message, problem.remedy)
    elif what == "value_error":
        yield Problem(where, str(cause))
    elif what == "extra_forbidden":
        yield _unknown(path, fields_at(structural(kind.model), path[:-1]), _unsupported_at(kind, path[:-1]))
    elif what == "missing":
        yield Problem(where, "is required", kind.without.get(where, ""))
    elif what == "one_key":
        yield from _one_key(kind, path, details["input"])
    elif what in _TYPES:
        yield Problem(where, f"must be {_TYPES[what]}, not {_shown(details['input'])}")
    else:
        yield Problem(where, _plain(details))


def _one_key(kind: Kind[M], path: Path, value: object) -> Iterator[Problem]:
    names = tuple(fields_at(structural(kind.model), path))
    keys = list(value) if isinstance(value, Mapping) else []
    for key in keys:
        if key not in names:
            yield _unknown((*path, key), names)
    if len(keys) != 1:
        yield Problem(path_text(path), f"must have exactly one of {', '.join(names)}", "one item for each")


def _unsupported_at(kind: Kind[M], path: Path) -> Iterator[str]:
    pattern = path_text(tuple("[]" if isinstance(part, int) else part for part in path)).replace(".[]", "[]")
    return (row.field for row in kind.unsupported if row.parent == pattern)


def _unknown(path: Path, names: tuple[str, ...], unsupported: Iterable[str] = ()) -> Problem:
    close = difflib.get_close_matches(str(path[-1]), (*names, *unsupported), n=1)
    remedy = (
        f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(names))}" if names else ""
    )
    return Problem(path_text(path), "unknown field", remedy)


def _plain(details: ErrorDetails) -> str:
    """What limits and choices ask for."""
    context, message = details.get("ctx", {}), details["msg"]
    match details["type"]:
        case "too_short":
            return f"must have at least {context['min_length']} item"
        case "too_long":
            return f"must have at most {context['max_length']} items"
        case _ if message.startswith("Input should be"):
            return f"must be{message.removeprefix('Input should be')}, not {_shown(details['input'])}"
        case _:
            return message.replace("String should", "must", 1)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

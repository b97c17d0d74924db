"""Mutants: small changes that break a promise, each with the test that has to notice. Read from YAML."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LIST = Path(__file__).with_name("mutants.yaml")
TREE = Path(__file__).parents[2]


class NoLongerAppliesError(Exception):
    """The text to replace is not in its file, or more than once: the mutant has to follow the code."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In `file`, the one place that reads `find` reads `replace` instead."""

    file: str
    find: str
    replace: str

    def mutated(self, tree: Path) -> str:
        """The text of the file with the edit in it.

        Raises:
            NoLongerAppliesError: no such file, or `find` is not in it exactly once.
        """
        path = tree / self.file
        if not path.is_file():
            raise NoLongerAppliesError(f"{self.file}: there is no such file")
        text = path.read_text()
        if (count := text.count(self.find)) != 1:
            raise NoLongerAppliesError(f"{self.file}: found {count} times, not once: {self.find!r}")
        return text.replace(self.find, self.replace)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken promise: what is done to the code, why it must not be, and which test says so."""

    name: str
    why: str
    edits: tuple[Edit, ...]
    caught_by: str
    """The node id of a test that passes without the mutant and fails with it."""

    def apply(self, tree: Path) -> None:
        """Break the code in `tree`.

        Raises:
            NoLongerAppliesError: as `Edit.mutated`.
        """
        for edit in self.edits:
            text = edit.mutated(tree)
            ast.parse(text, filename=edit.file)
            (tree / edit.file).write_text(text)


def mutants(listed: Path = LIST) -> list[Mutant]:
    """All that are listed, in their order."""
    return [_mutant(name, said) for name, said in yaml.safe_load(listed.read_text()).items()]


def _mutant(name: str, said: Mapping[str, Any]) -> Mutant:
    return Mutant(name, said["why"], tuple(_edits(said)), said["caught_by"])


def _edits(said: Mapping[str, Any]) -> Iterator[Edit]:
    for each in said["edits"]:
        yield Edit(each["file"], each["find"], each["replace"])

"""The demo's Git on real git."""

from pathlib import Path

import pytest

from rollout.demo.player import content
from rollout.demo.repository import Repository, git
from rollout.demo.story import MANIFEST


@pytest.fixture
async def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    await made.create(content() / "shop")
    return made


async def test_what_is_pushed_is_served(repository: Repository) -> None:
    commit = await repository.push("first")
    shown = await git(repository.bare, "ls-tree", "-r", "--name-only", "main")
    assert MANIFEST in shown.split()
    assert (await git(repository.bare, "rev-parse", "main")).strip() == commit


async def test_an_edit_is_a_commit_and_restoring_undoes_it(repository: Repository) -> None:
    first = await repository.push("first")
    repository.edit(MANIFEST, "shop:v1", "shop:v2")
    second = await repository.push("second")
    await repository.restore(first, MANIFEST)
    third = await repository.push("third")
    trees = [
        (await git(repository.bare, "rev-parse", f"{each}^{{tree}}")).strip()
        for each in (first, second, third)
    ]
    assert trees[0] == trees[2] != trees[1]


async def test_an_edit_of_what_is_not_there_is_refused(repository: Repository) -> None:
    with pytest.raises(ValueError, match=r"does not hold 'shop:v9'"):
        repository.edit(MANIFEST, "shop:v9", "shop:v10")


async def test_a_note_is_shown_as_git_has_it_and_is_empty_where_there_is_none(repository: Repository) -> None:
    commit = await repository.push("first")
    assert await repository.note(commit) == ""
    await git(repository.bare, "notes", "--ref=refs/notes/rollout", "add", "-m", '{"rollout":"shop"}', commit)
    assert await repository.note(commit) == '{"rollout":"shop"}'

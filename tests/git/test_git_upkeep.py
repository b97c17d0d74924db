"""What keeps mirrors small and the operator honest about git."""

import os
from pathlib import Path

import pytest
from git_servers import Upstream

from rollout.api.errors import Stalled
from rollout.git.mirror import Mirrors
from rollout.git.repository import check_git


async def test_a_mirror_is_tidied_and_stays_readable(
    mirrors: Mirrors, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollout.git.clone._FETCHES_UNTIL_GC", 5)
    mirror = mirrors.of(upstream.url, "shop/git")
    first = upstream.commit({"a.yaml": "a: 0\n"})
    await mirror.poll()
    for number in range(1, 5):
        upstream.commit({"a.yaml": f"a: {number}\n"})
        revision = await mirror.poll()
    objects = mirror._clone.repository.directory / "repository.git" / "objects"
    assert [folder.name for folder in objects.iterdir() if len(folder.name) == 2] == []
    assert [blob.data for blob in await mirror.read(revision)] == [b"a: 4\n"]
    assert not await mirror.rewritten(first, revision.sha)


async def test_a_mirror_nobody_uses_is_removed_and_can_come_back(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    directory = mirror._clone.repository.directory
    await mirrors.drop(upstream.url, "shop/git")
    assert not directory.exists()
    assert (await mirrors.of(upstream.url, "shop/git").poll()).branch == "main"


async def test_what_a_committer_writes_can_not_move_a_cursor_nor_break_a_poll(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    tree = upstream.git("rev-parse", "HEAD^{tree}")
    when = "99999999999999 +0000"
    raw = f"tree {tree}\nauthor \x1b[31mEve <e@x> {when}\ncommitter Eve <e@x> {when}\n\n\x1b[2Jhi\x07\n"
    commit = upstream.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw.encode())
    upstream.git("push", "--quiet", "origin", f"{commit}:refs/heads/main", "--force")
    revision = await mirrors.of(upstream.url, "shop/git").poll()
    assert (revision.subject, revision.author) == (" [2Jhi ", " [31mEve")


def test_the_git_at_hand_is_new_enough() -> None:
    assert check_git().startswith("git version ")


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        pytest.param("echo git version 2.30.2", "git version 2.30.2 is too old", id="an old one"),
        pytest.param("", "is too old", id="one that says nothing"),
    ],
)
def test_a_git_that_is_too_old_is_named_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, complaint: str
) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Stalled, match=complaint) as refusal:
        check_git()
    assert refusal.value.reason == "GitMissing"

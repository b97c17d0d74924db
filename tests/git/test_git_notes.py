"""The verdict on the commit: one line a Rollout and attempt, nobody's lost."""

import asyncio
import json
from pathlib import Path

import pytest
from git_servers import LOCAL, Upstream, git
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.git import notes
from rollout.git.environment import GitPolicy
from rollout.git.errors import NoteRefused
from rollout.git.mirror import Mirrors


def verdict(rollout: str = "shop/web", attempt: str = "a1", **more: object) -> bytes:
    return notes.line({"rollout": rollout, "attempt": attempt, **more})


A, B = verdict("shop/a"), verdict("shop/b")


@pytest.mark.parametrize(
    ("note", "record", "expected"),
    [
        pytest.param(b"", A, A + b"\n", id="the first verdict"),
        pytest.param(A + b"\n", B, A + b"\n" + B + b"\n", id="another Rollout's verdict is kept"),
        pytest.param(A + b"\n" + B + b"\n", A, A + b"\n" + B + b"\n", id="the same verdict changes nothing"),
        pytest.param(
            A + b"\n" + B + b"\n",
            verdict("shop/a", verdict="promoted"),
            verdict("shop/a", verdict="promoted") + b"\n" + B + b"\n",
            id="a later verdict of the same attempt takes its place",
        ),
        pytest.param(
            A + b"\n",
            verdict("shop/a", "a2"),
            A + b"\n" + verdict("shop/a", "a2") + b"\n",
            id="a second attempt is added",
        ),
        pytest.param(
            verdict("shop/a", cluster="eu") + b"\n",
            verdict("shop/a", cluster="us"),
            verdict("shop/a", cluster="eu") + b"\n" + verdict("shop/a", cluster="us") + b"\n",
            id="another cluster's verdict is kept",
        ),
        pytest.param(
            b"Reviewed-by: Ann\n", A, b"Reviewed-by: Ann\n" + A + b"\n", id="what people wrote is kept"
        ),
        pytest.param(b"[1]\n{}\n\xff", A, b"[1]\n{}\n\xff\n" + A + b"\n", id="what can't be read is kept"),
        pytest.param(A, B, A + b"\n" + B + b"\n", id="a missing newline at the end is mended"),
    ],
)
def test_a_verdict_is_put_into_a_note(note: bytes, record: bytes, expected: bytes) -> None:
    assert notes.merge(note, record) == expected


@pytest.mark.parametrize("record", [b"", b"text", b"[]", b'{"rollout":"a/b"}', A + b"\n" + B])
def test_what_is_no_verdict_is_not_written(record: bytes) -> None:
    with pytest.raises(ValueError, match="one line of JSON"):
        notes.merge(b"", record)


records = st.builds(
    verdict, st.sampled_from(["shop/a", "shop/b"]), st.sampled_from("123"), at=st.integers(0, 3)
)


@settings(derandomize=True)
@given(st.binary(max_size=40), st.lists(records, max_size=8), records)
def test_a_verdict_is_there_once_and_merging_again_changes_nothing(
    foreign: bytes, earlier: list[bytes], last: bytes
) -> None:
    note = foreign
    for record in [*earlier, last]:
        note = notes.merge(note, record)
    assert notes.merge(note, last) == note
    wanted = json.loads(last)
    same = [
        r
        for r in notes.records(note)
        if (r["rollout"], r["attempt"]) == (wanted["rollout"], wanted["attempt"])
    ]
    assert same == [wanted]
    assert all(line in note for line in foreign.split(b"\n"))


async def test_the_verdict_can_be_read_by_plain_git_notes(mirrors: Mirrors, upstream: Upstream) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    await mirror.note(sha, verdict(verdict="promoted", reason="errors 1.0 % against 1.0 %"))
    said = git(upstream.bare, "notes", "--ref=rollout", "show", sha)
    assert json.loads(said)["verdict"] == "promoted"
    assert git(upstream.bare, "log", "-1", "--format=%an", "refs/notes/rollout") == "rollout"


async def test_the_same_verdict_again_pushes_nothing(mirrors: Mirrors, upstream: Upstream) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    for _ in range(3):
        await mirror.note(sha, verdict())
    assert mirror.counts.pushes == 1
    assert git(upstream.bare, "rev-list", "--count", "refs/notes/rollout") == "1"


async def test_a_commit_without_a_note_has_none(mirrors: Mirrors, upstream: Upstream) -> None:
    first = upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    assert await mirror.read_note(first) is None
    second = upstream.commit({"a.yaml": "a: 2\n"})
    await mirror.note(first, verdict())
    assert await mirror.read_note(second) is None


async def test_what_people_noted_by_hand_is_kept(mirrors: Mirrors, upstream: Upstream) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    upstream.git("notes", "--ref=rollout", "add", "-m", "approved by Ann", sha)
    upstream.git("push", "--quiet", "origin", "refs/notes/rollout")
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.note(sha, verdict())
    assert await mirror.read_note(sha) == b"approved by Ann\n" + verdict() + b"\n"


async def test_two_operators_writing_at_once_lose_nothing(tmp_path: Path, upstream: Upstream) -> None:
    shas = [upstream.commit({"a.yaml": f"a: {n}\n"}) for n in range(2)]
    operators = [Mirrors(tmp_path / name, GitPolicy(protocols=LOCAL)) for name in ("one", "two")]
    clones = [operator.of(upstream.url, "shop/git") for operator in operators]

    async def write(number: int) -> None:
        for sha in shas:
            for attempt in range(3):
                await clones[number].note(sha, verdict(f"shop/app-{number}", str(attempt)))

    await asyncio.gather(write(0), write(1))
    for sha in shas:
        note = await clones[0].read_note(sha)
        assert note is not None
        found = sorted((record["rollout"], record["attempt"]) for record in notes.records(note))
        assert found == [(f"shop/app-{number}", str(attempt)) for number in range(2) for attempt in range(3)]
    assert sum(clone.counts.pushes for clone in clones) >= 12
    for operator in operators:
        await operator.close()


async def test_many_callers_of_one_mirror_wait_for_one_another(mirrors: Mirrors, upstream: Upstream) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    revision = await mirror.poll()
    attempts = [str(number) for number in range(8)]
    calls = [mirror.note(sha, verdict(attempt=attempt)) for attempt in attempts]
    await asyncio.gather(
        *calls, *(mirror.read(revision) for _ in range(4)), *(mirror.poll() for _ in range(4))
    )
    note = await mirror.read_note(sha)
    assert note is not None
    assert [record["attempt"] for record in notes.records(note)] == attempts
    assert mirror.counts.pushes == len(attempts)


@pytest.fixture
def quick_note(upstream: Upstream) -> str:
    """A commit on which another writer has a note ready, under refs/notes/quick on the server."""
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    upstream.git("notes", "--ref=rollout", "add", "-m", "quick", sha)
    upstream.git("push", "--quiet", "origin", "refs/notes/rollout:refs/notes/quick")
    return sha


async def test_a_writer_that_was_faster_than_our_push_is_built_upon(
    mirrors: Mirrors, upstream: Upstream, quick_note: str
) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    push = mirror._clone.push

    def push_too_late(refspec: str) -> bool:
        git(upstream.bare, "update-ref", "refs/notes/rollout", "refs/notes/quick")
        mirror._clone.push = push  # type: ignore[method-assign]
        return push(refspec)

    mirror._clone.push = push_too_late  # type: ignore[method-assign]
    await mirror.note(quick_note, verdict())
    assert mirror.counts.pushes == 2
    assert await mirror.read_note(quick_note) == b"quick\n" + verdict() + b"\n"


async def test_a_writer_that_was_faster_while_the_server_took_our_push_is_built_upon(
    mirrors: Mirrors, upstream: Upstream, quick_note: str, daemon: str
) -> None:
    hook = upstream.bare / "hooks" / "update"
    hook.write_text('#!/bin/sh\ngit update-ref refs/notes/rollout refs/notes/quick\nrm "$0"\n')
    hook.chmod(0o755)
    mirror = mirrors.of(daemon, "shop/git")
    await mirror.note(quick_note, verdict())
    assert mirror.counts.pushes == 2
    assert await mirror.read_note(quick_note) == b"quick\n" + verdict() + b"\n"


async def test_notes_thrown_away_on_the_server_do_not_come_back(mirrors: Mirrors, upstream: Upstream) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.note(sha, verdict("shop/a"))
    git(upstream.bare, "update-ref", "-d", "refs/notes/rollout")
    await mirror.note(sha, verdict("shop/b"))
    assert await mirror.read_note(sha) == verdict("shop/b") + b"\n"


async def test_a_push_that_a_hook_declines_says_so_and_polling_goes_on(
    mirrors: Mirrors, upstream: Upstream, daemon: str
) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    hook = upstream.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho notes are not welcome >&2\nexit 1\n")
    hook.chmod(0o755)
    mirror = mirrors.of(daemon, "shop/git")
    with pytest.raises(NoteRefused, match="refs/notes/rollout can't be pushed"):
        await mirror.note(sha, verdict())
    assert (await mirror.poll()).sha == sha
    hook.unlink()
    await mirror.note(sha, verdict())


async def test_a_read_only_server_refuses_the_note_not_the_poll(
    mirrors: Mirrors, upstream: Upstream, daemon: str
) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    git(upstream.bare, "config", "daemon.receivepack", "false")
    mirror = mirrors.of(daemon, "shop/git")
    assert (await mirror.poll()).sha == sha
    with pytest.raises(NoteRefused):
        await mirror.note(sha, verdict())


async def test_hundreds_of_notes_are_found_though_git_fans_them_out(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    """Beyond a few hundred notes, git moves them into subdirectories."""
    tree = upstream.git("hash-object", "-t", "tree", "-w", "--stdin")
    upstream.commit({"a.yaml": "a: 1\n"})
    stream = []
    for number in range(400):
        name = f"{number:040x}"
        stream.append(f"N inline {name}\ndata 5\nnote\n\n")
    header = "commit refs/notes/rollout\ncommitter A <a@b> 0 +0000\ndata 1\nx\n"
    assert tree
    fast = header + "".join(f"M 100644 inline {n:040x}\ndata 5\nnote\n\n" for n in range(400))
    upstream.git("fast-import", "--quiet", stdin=fast.encode())
    upstream.git("push", "--quiet", "origin", "refs/notes/rollout")
    sha = upstream.git("rev-parse", "HEAD")
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.note(sha, verdict())
    assert await mirror.read_note(sha) == verdict() + b"\n"
    assert await mirror.read_note(f"{7:040x}") == b"note\n"

"""Which revision a branch is at, on real repositories."""

import asyncio
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from git_servers import Upstream

from rollout.api.errors import Retry, Stalled
from rollout.api.gitsource import Ref
from rollout.git.mirror import Mirrors


@pytest.fixture(params=["file", "git"])
def url(request: pytest.FixtureRequest, upstream: Upstream) -> str:
    return upstream.url if request.param == "file" else request.getfixturevalue("daemon")


async def test_a_poll_says_branch_commit_subject_and_author(
    mirrors: Mirrors, upstream: Upstream, url: str
) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"}, "Bump web to v2")
    revision = await mirrors.of(url, "shop/git").poll()
    assert (str(revision), revision.subject, revision.author) == (f"main@sha1:{sha}", "Bump web to v2", "Ann")
    assert revision.short == f"main@{sha[:7]}"
    assert revision.committed_at.tzinfo is not None


async def test_an_unchanged_remote_costs_no_fetch(mirrors: Mirrors, upstream: Upstream, url: str) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(url, "shop/git")
    first = await mirror.poll(Ref(branch="main"))
    assert [await mirror.poll(Ref(branch="main")) for _ in range(3)] == [first] * 3
    assert (mirror.counts.polls, mirror.counts.fetches) == (4, 1)


async def test_a_new_commit_is_seen_and_readable(mirrors: Mirrors, upstream: Upstream, url: str) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(url, "shop/git")
    await mirror.poll()
    sha = upstream.commit({"a.yaml": "a: 2\n"})
    revision = await mirror.poll()
    assert revision.sha == sha
    assert [blob.data for blob in await mirror.read(revision)] == [b"a: 2\n"]


async def test_sources_with_the_same_url_and_owner_share_a_mirror_and_others_do_not(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    assert mirrors.of(upstream.url, "shop/git") is mirrors.of(upstream.url, "shop/git")
    assert mirrors.of(upstream.url, "shop/git") is not mirrors.of(upstream.url, "rival/git")


async def test_git_22_two_branches_are_two_environments_in_one_mirror(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"}, branch="main")
    upstream.push("production")
    staging = upstream.commit({"a.yaml": "a: 2\n"}, branch="main")
    mirror = mirrors.of(upstream.url, "shop/git")
    main, production = await mirror.poll(Ref(branch="main")), await mirror.poll(Ref(branch="production"))
    assert main.sha == staging
    assert [(await mirror.read(revision))[0].data for revision in (main, production)] == [
        b"a: 2\n",
        b"a: 1\n",
    ]


async def test_a_branch_that_lags_behind_does_not_cut_the_history_of_the_one_ahead(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    first = upstream.commit({"a.yaml": "a: 1\n"})
    await mirror.poll(Ref(branch="main"))
    upstream.commit({"a.yaml": "a: 2\n"})
    upstream.push("production")
    last = upstream.commit({"a.yaml": "a: 3\n"})
    await mirror.poll(Ref(branch="main"))
    await mirror.poll(Ref(branch="production"))
    assert not await mirror.rewritten(first, last)


async def test_the_default_branch_follows_the_remotes_head(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    assert (await mirror.poll()).branch == "main"
    upstream.push("trunk")
    (upstream.bare / "HEAD").write_text("ref: refs/heads/trunk\n")
    assert (await mirror.poll()).branch == "trunk"


async def test_a_rewritten_history_is_noticed_and_the_new_tip_is_served(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    first = upstream.commit({"a.yaml": "a: 1\n"})
    await mirror.poll()
    second = upstream.commit({"a.yaml": "a: 2\n"})
    await mirror.poll()
    assert not await mirror.rewritten(first, second)
    upstream.git("reset", "--quiet", "--hard", first)
    upstream.push("main", "--force")
    assert (await mirror.poll()).sha == first
    assert await mirror.rewritten(second, first)


async def test_a_history_replaced_by_an_unrelated_one_is_noticed(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    first = upstream.commit({"a.yaml": "a: 1\n"})
    await mirror.poll()
    upstream.git("checkout", "--quiet", "--orphan", "fresh")
    upstream.git("commit", "--quiet", "-m", "Start over")
    upstream.push("main", "--force")
    revision = await mirror.poll()
    assert await mirror.rewritten(first, revision.sha)


async def test_a_commit_the_mirror_never_held_is_not_called_rewritten(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    await mirror.poll()
    assert not await mirror.rewritten("0123456789" * 4, sha)


async def test_the_commit_that_brought_a_file_is_named_not_the_newest(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    first = upstream.commit({"web.yaml": "a: 1\n", "other.yaml": "a: 1\n"})
    await mirror.poll()
    bump = upstream.commit({"web.yaml": "a: 2\n"}, "Bump web")
    upstream.commit({"other.yaml": "a: 2\n"}, "Bump other")
    newest = await mirror.poll()
    found = await mirror.last_commit_touching(newest, "web.yaml", since=first)
    assert found is not None
    assert (found.sha, found.subject) == (bump, "Bump web")
    assert await mirror.last_commit_touching(newest, "untouched.yaml", since=first) is None


async def test_a_branch_that_does_not_exist_stalls_until_it_is_pushed(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    with pytest.raises(Stalled, match="'production' does not exist") as refusal:
        await mirror.poll(Ref(branch="production"))
    assert refusal.value.reason == "BranchNotFound"
    upstream.push("production")
    assert (await mirror.poll(Ref(branch="production"))).branch == "production"


async def test_a_branch_is_not_mistaken_for_one_whose_name_ends_alike(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"}, branch="team/production")
    with pytest.raises(Stalled, match="does not exist"):
        await mirrors.of(upstream.url, "shop/git").poll(Ref(branch="production"))


async def test_an_empty_repository_says_so(mirrors: Mirrors, upstream: Upstream) -> None:
    with pytest.raises(Stalled, match="is it empty") as refusal:
        await mirrors.of(upstream.url, "shop/git").poll()
    assert refusal.value.reason == "BranchNotFound"


async def test_a_server_that_is_not_there_is_tried_again(mirrors: Mirrors) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(Retry, match="Connection refused"):
        await mirrors.of(f"git://127.0.0.1:{port}/web.git", "shop/git").poll()


@pytest.mark.usefixtures("upstream")
async def test_a_repository_that_is_not_there_stalls(mirrors: Mirrors, daemon: str) -> None:
    with pytest.raises(Stalled) as refusal:
        await mirrors.of(daemon.replace("upstream", "nowhere"), "shop/git").poll()
    assert refusal.value.reason == "RepositoryNotFound"


async def test_the_server_going_away_and_coming_back_loses_nothing(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    revision = await mirror.poll()
    upstream.bare.rename(upstream.bare.with_suffix(".away"))
    with pytest.raises(Stalled):
        await mirror.poll()
    assert await mirror.read(revision)
    upstream.bare.with_suffix(".away").rename(upstream.bare)
    assert await mirror.poll() == revision


async def test_a_restarted_operator_goes_on_with_the_mirror_on_disk(
    tmp_path: Path, mirrors: Mirrors, upstream: Upstream
) -> None:
    first = upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    restarted = Mirrors(tmp_path / "mirrors", mirror._clone.repository.policy)
    upstream.commit({"a.yaml": "a: 2\n"})
    again = restarted.of(upstream.url, "shop/git")
    revision = await again.poll()
    found = await again.last_commit_touching(revision, "a.yaml", since=first)
    assert found is not None
    assert not await again.rewritten(first, revision.sha)
    await restarted.close()


async def test_the_locks_of_a_killed_git_do_not_block_the_mirror(
    tmp_path: Path, mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    bare = mirror._clone.repository.directory / "repository.git"
    for lock in ("shallow.lock", "packed-refs.lock", "refs/remotes/origin/main.lock", "HEAD.lock"):
        (bare / lock).touch()
    (bare / "objects/pack/tmp_pack_abc").write_bytes(b"half a pack")
    sha = upstream.commit({"a.yaml": "a: 2\n"})
    restarted = Mirrors(tmp_path / "mirrors", mirror._clone.repository.policy)
    assert (await restarted.of(upstream.url, "shop/git").poll()).sha == sha
    assert not list(bare.rglob("*.lock")) + list(bare.rglob("tmp_*"))
    await restarted.close()


async def test_a_damaged_mirror_is_thrown_away_and_fetched_again(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    revision = await mirror.poll()
    for thing in (mirror._clone.repository.directory / "repository.git" / "objects").rglob("*"):
        if thing.is_file():
            thing.unlink()
    with pytest.raises(Retry):
        await mirror.read(revision)
    revision = await mirror.poll()
    assert [blob.data for blob in await mirror.read(revision)] == [b"a: 1\n"]


async def test_two_threads_are_never_in_one_mirror(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    ask, meeting, met = mirror._clone.refs, threading.Barrier(2), []

    def watched(*wanted: str) -> tuple[dict[str, str], dict[str, str]]:
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.5)
            met.append(True)
        return ask(*wanted)

    mirror._clone.refs = watched  # type: ignore[method-assign]
    await asyncio.gather(mirror.poll(), mirror.poll())
    assert met == []

"""Tags of images on a branch that people merge: it grows, is never forced, and a no is heard."""

from datetime import UTC, datetime

import pytest
from git_servers import Upstream, git

from rollout.api.writeback import Author
from rollout.git.errors import WriteBackRefused
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.tagging import Edit, Tagging

AT = datetime(2026, 1, 1, tzinfo=UTC)
BRANCH = "rollout/images"
A, B = "apps/a.yaml", "apps/b.yaml"


def to(tag: str, path: str = A) -> Edit:
    def change(present: str) -> str:
        return present if present.rpartition(":")[2] >= tag else f"shop:{tag}"

    return Edit(path, "spec.image", f"shop:{tag}", change)


def order(*edits: Edit, branch: str = BRANCH) -> Tagging:
    return Tagging("main", edits, AT, Author(name="bot", email="bot@example.com"), branch)


def manifest(tag: str) -> str:
    return f"kind: A\nspec: {{image: shop:{tag}}} # by hand\n"


@pytest.fixture
async def mirror(mirrors: Mirrors, upstream: Upstream) -> Mirror:
    upstream.commit({A: manifest("v1"), B: manifest("v1")}, "first")
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    return mirror


def content(upstream: Upstream, path: str = A, branch: str = BRANCH) -> str:
    return git(upstream.bare, "show", f"{branch}:{path}") + "\n"


def tip(upstream: Upstream, branch: str = BRANCH) -> str:
    return git(upstream.bare, "rev-parse", branch)


def is_forward(upstream: Upstream, old: str) -> bool:
    return git(upstream.bare, "merge-base", old, BRANCH) == old


async def test_a_newer_tag_goes_on_the_branch_of_the_one_that_waits(
    mirror: Mirror, upstream: Upstream
) -> None:
    main = tip(upstream, "main")
    first = (await mirror.tag(order(to("v2")))).commit
    assert (await mirror.tag(order(to("v2")))).commit == "", "the same again writes nothing"
    upstream.commit({"README": "meanwhile\n"}, "beside")
    second = (await mirror.tag(order(to("v3"), to("v2", B)))).commit
    assert tip(upstream) == second
    assert git(upstream.bare, "rev-parse", f"{second}^") == first, "on top of what waits"
    assert content(upstream) == manifest("v3")
    assert content(upstream, B) == manifest("v2")
    assert content(upstream, branch=main) == manifest("v1"), "the branch itself waits for people"


async def test_once_it_is_merged_it_goes_on_from_there(mirror: Mirror, upstream: Upstream) -> None:
    merged = (await mirror.tag(order(to("v2")))).commit
    git(upstream.bare, "update-ref", "refs/heads/main", merged)
    assert (await mirror.tag(order(to("v2")))).commit == ""
    again = (await mirror.tag(order(to("v3")))).commit
    assert is_forward(upstream, merged)
    assert content(upstream, branch=again) == manifest("v3")


async def test_a_proposal_that_was_removed_is_not_made_again_but_a_newer_one_is(
    mirror: Mirror, upstream: Upstream
) -> None:
    await mirror.tag(order(to("v2")))
    git(upstream.bare, "update-ref", "-d", f"refs/heads/{BRANCH}")
    assert (await mirror.tag(order(to("v2")))).commit == ""
    assert (await mirror.tag(order(to("v3")))).commit != ""


async def test_a_push_that_was_refused_is_no_no_of_people(mirror: Mirror, upstream: Upstream) -> None:
    git(upstream.bare, "config", "transfer.hideRefs", "refs/heads/rollout")
    with pytest.raises(WriteBackRefused):
        await mirror.tag(order(to("v2")))
    git(upstream.bare, "config", "--unset", "transfer.hideRefs")
    assert (await mirror.tag(order(to("v2")))).commit == tip(upstream)


async def test_what_people_added_stays_and_a_branch_of_others_is_left_alone(
    mirror: Mirror, upstream: Upstream
) -> None:
    ours = (await mirror.tag(order(to("v2")))).commit
    upstream.git("fetch", "--quiet", "origin", BRANCH)
    upstream.git("checkout", "--quiet", "-B", "work", "FETCH_HEAD")
    theirs = upstream.commit({"notes.txt": "tried by hand\n"}, "by people", BRANCH)
    last = (await mirror.tag(order(to("v3")))).commit
    assert git(upstream.bare, "rev-parse", f"{last}^", f"{last}~2").split() == [theirs, ours]
    upstream.git("checkout", "--quiet", "--orphan", "other")
    upstream.commit({"x": "y\n"}, "foreign", "of-others")
    with pytest.raises(WriteBackRefused, match="not ours"):
        await mirror.tag(order(to("v4"), branch="of-others"))


async def test_an_operator_that_lost_its_mirror_builds_upon_what_waits(
    mirror: Mirror, mirrors: Mirrors, upstream: Upstream
) -> None:
    first = (await mirror.tag(order(to("v2")))).commit
    upstream.commit({"README": "meanwhile\n"}, "beside")
    other = mirrors.of(upstream.url, "shop/another")
    await other.poll()
    second = (await other.tag(order(to("v3")))).commit
    assert git(upstream.bare, "rev-parse", f"{second}^") == first
    assert content(upstream) == manifest("v3")
    assert git(upstream.bare, "fsck", "--strict") == ""

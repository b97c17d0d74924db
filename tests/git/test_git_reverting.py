"""A refused manifest is put back by one commit of one path, and nobody's work is lost."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from git_servers import Upstream, git

from rollout.api.errors import Stalled
from rollout.api.writeback import Author
from rollout.git.errors import WriteBackRefused
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.reverting import PER_HOUR, Order

AT = datetime(2026, 1, 1, tzinfo=UTC)
PATH = "apps/shop/rollout.yaml"
GOOD, BAD = "image: shop:v1\n", "image: shop:v2\n"


def order(bad: str, good: str, attempt: str = "a1", **more: object) -> Order:
    said = {
        "branch": "main",
        "path": PATH,
        "subject": 'Revert "v2" for shop/checkout',
        "body": "shop:v2 was rolled back at 25 %: errors.",
        "trailers": (("Rollout", "shop/checkout"),),
        "at": AT,
        "author": Author(name="bot", email="bot@example.com"),
    }
    return Order(bad=bad, good=good, attempt=attempt, **{**said, **more})  # type: ignore[arg-type]


@pytest.fixture
def good(upstream: Upstream) -> str:
    return upstream.commit({PATH: GOOD, "apps/beside.yaml": "a: 1\n", "README": "hello\n"}, "first")


@pytest.fixture
def bad(upstream: Upstream, good: str) -> str:
    return upstream.commit({PATH: BAD, "apps/beside.yaml": "a: 2\n"}, "v2")


@pytest.fixture
async def mirror(mirrors: Mirrors, upstream: Upstream, bad: str) -> Mirror:
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    return mirror


def said(upstream: Upstream, form: str) -> str:
    return git(upstream.bare, "log", "-1", f"--format={form}", "main")


def content(upstream: Upstream, path: str = PATH) -> str:
    return git(upstream.bare, "show", f"main:{path}")


async def test_one_path_is_put_back_and_the_log_tells_who_what_and_why(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    commit = await mirror.revert(order(bad, good))
    assert (said(upstream, "%H"), said(upstream, "%P")) == (commit, bad)
    assert (said(upstream, "%an <%ae>"), said(upstream, "%s")) == (
        "bot <bot@example.com>",
        'Revert "v2" for shop/checkout',
    )
    assert said(upstream, "%(trailers:only)").splitlines()[:3] == [
        "Rollout: shop/checkout",
        f"Rollout-Reverts: {bad}",
        "Rollout-Attempt: a1",
    ]
    assert git(upstream.bare, "diff", "--name-only", bad, commit) == PATH
    assert content(upstream) == GOOD.strip()
    assert git(upstream.bare, "fsck", "--strict") == ""


async def test_a_second_time_writes_nothing(mirror: Mirror, upstream: Upstream, good: str, bad: str) -> None:
    commit = await mirror.revert(order(bad, good))
    assert await mirror.revert(order(bad, good)) == ""
    assert said(upstream, "%H") == commit


async def test_git_10_people_who_bring_it_back_are_not_reverted_again(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    await mirror.revert(order(bad, good))
    upstream.git("pull", "--quiet", "--rebase", "origin", "main")
    again = upstream.commit({PATH: BAD}, "we mean it")
    assert await mirror.revert(order(again, good)) == ""
    assert said(upstream, "%H") == again


async def test_a_commit_by_somebody_else_in_between_is_kept(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    upstream.commit({"apps/beside.yaml": "a: 3\n"}, "unrelated")
    await mirror.revert(order(bad, good))
    assert content(upstream) == GOOD.strip()
    assert content(upstream, "apps/beside.yaml") == "a: 3"


async def test_git_08_a_push_between_our_look_and_our_push_is_built_upon(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    push = mirror._clone.push

    def late(refspec: str) -> bool:
        mirror._clone.push = push  # type: ignore[method-assign]
        upstream.commit({"apps/beside.yaml": "a: 4\n"}, "just now")
        return push(refspec)

    mirror._clone.push = late  # type: ignore[method-assign]
    await mirror.revert(order(bad, good))
    assert mirror.counts.pushes == 2
    assert (content(upstream), content(upstream, "apps/beside.yaml")) == (GOOD.strip(), "a: 4")


async def test_git_09_what_somebody_changed_since_is_left_as_it_is(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    mended = upstream.commit({PATH: "image: shop:v3\n"}, "a fix")
    with pytest.raises(WriteBackRefused, match="was changed after"):
        await mirror.revert(order(bad, good))
    assert said(upstream, "%H") == mended


async def test_git_that_is_good_already_is_left_as_it_is(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    reverted = upstream.commit({PATH: GOOD}, "by hand")
    assert await mirror.revert(order(bad, good)) == ""
    assert said(upstream, "%H") == reverted


async def test_a_revert_of_ours_is_never_reverted(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    ours = await mirror.revert(order(bad, good))
    with pytest.raises(WriteBackRefused, match="is a revert of ours"):
        await mirror.revert(order(ours, bad, "a2"))
    assert said(upstream, "%H") == ours


async def test_many_reverts_within_an_hour_are_a_loop(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    for number in range(PER_HOUR):
        await mirror.revert(order(bad, good, f"a{number}"))
        upstream.git("pull", "--quiet", "--rebase", "origin", "main")
        bad = upstream.commit({PATH: f"image: shop:v{number + 3}\n"}, "next try")
    with pytest.raises(WriteBackRefused, match="within an hour"):
        await mirror.revert(order(bad, good, "last"))
    assert await mirror.revert(order(bad, good, "later", at=AT + timedelta(hours=2)))


async def test_a_mirror_that_begins_at_the_bad_commit_fetches_the_good_one(
    mirrors: Mirrors, upstream: Upstream, good: str, bad: str, daemon: str
) -> None:
    git(upstream.bare, "config", "uploadpack.allowReachableSHA1InWant", "true")
    mirror = mirrors.of(daemon, "shop/git")
    await mirror.poll()
    await mirror.revert(order(bad, good))
    assert content(upstream) == GOOD.strip()


async def test_a_protected_branch_is_said_and_polling_goes_on(
    mirrors: Mirrors, upstream: Upstream, good: str, bad: str, daemon: str
) -> None:
    hook = upstream.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    mirror = mirrors.of(daemon, "shop/git")
    await mirror.poll()
    with pytest.raises(WriteBackRefused, match="refs/heads/main can't be pushed"):
        await mirror.revert(order(bad, good))
    assert (await mirror.poll()).sha == bad


PROPOSED = "rollout/revert-shop-checkout-a1"


def tip(upstream: Upstream, branch: str) -> str:
    return git(upstream.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")


async def test_a_proposal_is_a_branch_of_its_own_and_the_same_again_is_the_same(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    commit = await mirror.revert(order(bad, good, proposed=PROPOSED))
    assert (tip(upstream, PROPOSED), tip(upstream, "main")) == (commit, bad)
    assert git(upstream.bare, "diff", "--name-only", bad, commit) == PATH
    upstream.commit({"apps/beside.yaml": "a: 5\n"}, "unrelated")
    assert await mirror.revert(order(bad, good, proposed=PROPOSED)) == commit


async def test_a_proposal_that_was_merged_or_removed_is_not_made_again(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    commit = await mirror.revert(order(bad, good, proposed=PROPOSED))
    git(upstream.bare, "update-ref", "-d", f"refs/heads/{PROPOSED}")
    assert await mirror.revert(order(bad, good, proposed=PROPOSED)) == ""
    git(upstream.bare, "update-ref", "refs/heads/main", commit)
    assert await mirror.revert(order(bad, good, proposed=PROPOSED)) == ""
    assert tip(upstream, PROPOSED) == ""


async def test_a_branch_of_that_name_that_is_not_ours_is_left_as_it_is(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    upstream.push(PROPOSED)
    with pytest.raises(WriteBackRefused, match="not ours"):
        await mirror.revert(order(bad, good, proposed=PROPOSED))
    assert tip(upstream, PROPOSED) == bad


async def test_many_proposals_of_an_hour_wait_for_people(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    for number in range(PER_HOUR):
        name = f"rollout/revert-shop-checkout-{number}"
        await mirror.revert(order(bad, good, f"b{number}", proposed=name))
    with pytest.raises(WriteBackRefused, match="wait for people"):
        await mirror.revert(order(bad, good, proposed=PROPOSED))
    later = order(bad, good, proposed=PROPOSED, at=AT + timedelta(hours=2))
    assert await mirror.revert(later) == tip(upstream, PROPOSED)


@pytest.fixture
def key(tmp_path: Path) -> bytes:
    """An SSH key; who trusts it is beside it."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    (tmp_path / "signers").write_text(f'bot@example.com namespaces="git" {public}\n')
    return key.read_bytes()


def holding(directory: Path, secret: bytes) -> list[Path]:
    return [file for file in directory.rglob("*") if file.is_file() and secret in file.read_bytes()]


async def test_a_signed_commit_is_verified_by_git_and_its_key_is_nowhere(
    mirror: Mirror, upstream: Upstream, good: str, bad: str, tmp_path: Path, key: bytes
) -> None:
    said = order(bad, good, signing_key=key.rstrip(b"\n"))
    commit = await mirror.revert(said)
    git(upstream.bare, "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'signers'}", "verify-commit", commit)
    form = "--format=%an|%ct|%(trailers:key=Rollout-Attempt,valueonly)"
    assert git(upstream.bare, "show", "-s", form, commit) == f"bot|{int(AT.timestamp())}|a1"
    assert holding(tmp_path / "mirrors", key.splitlines()[1]) == []
    assert "PRIVATE" not in repr(said)


async def test_a_key_that_signs_nothing_is_named_by_its_field(
    mirror: Mirror, upstream: Upstream, good: str, bad: str
) -> None:
    with pytest.raises(Stalled, match="signingKeyRef"):
        await mirror.revert(order(bad, good, signing_key=b"no key"))
    assert tip(upstream, "main") == bad

"""Which commit a source means: rows on what a server offers, then real repositories."""

import pytest
from git_servers import Upstream, git
from pydantic import ValidationError

from rollout.api.errors import Stalled
from rollout.api.gitsource import Ref
from rollout.git.mirror import Mirrors
from rollout.git.refs import chosen

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
OFFERED = {
    "HEAD": A,
    "refs/heads/main": A,
    "refs/heads/v1.9.0": B,
    "refs/tags/main": C,
    "refs/tags/v1.2.0": B,
    "refs/tags/v1.9.0": C,
    "refs/tags/v1.9.0^{}": D,
    "refs/tags/v2.0.0-rc.1": A,
    "refs/tags/latest": A,
    "refs/pull/7/head": B,
}


@pytest.mark.parametrize(
    ("ref", "label", "sha"),
    [
        pytest.param(Ref(), "main", A, id="no field means the branch that HEAD names"),
        pytest.param(Ref(branch="main"), "main", A, id="a branch is not the tag of the same name"),
        pytest.param(Ref(tag="main"), "main", C, id="a tag is not the branch of the same name"),
        pytest.param(Ref(tag="v1.9.0"), "v1.9.0", D, id="an annotated tag means the commit it was put on"),
        pytest.param(
            Ref(semver="1.x"), "v1.9.0", D, id="of the tags in a range the highest version is meant"
        ),
        pytest.param(Ref(semver="<1.5"), "v1.2.0", B, id="a range has an upper end"),
        pytest.param(
            Ref(semver=">=2.0.0-rc"), "v2.0.0-rc.1", A, id="a pre-release is meant only if asked for"
        ),
        pytest.param(Ref(name="refs/pull/7/head"), "refs/pull/7/head", B, id="any ref by its full name"),
        pytest.param(Ref(branch="main", tag="v1.2.0"), "v1.2.0", B, id="a tag goes before a branch"),
        pytest.param(Ref(tag="v1.2.0", semver="1.x"), "v1.9.0", D, id="a range goes before a tag"),
        pytest.param(
            Ref(semver="1.x", name="refs/heads/main"), "refs/heads/main", A, id="a name before a range"
        ),
        pytest.param(Ref(name="refs/heads/main", commit=C), "", C, id="a commit goes before everything"),
    ],
)
def test_one_tip_is_meant(ref: Ref, label: str, sha: str) -> None:
    tip = chosen(ref, OFFERED, {"HEAD": "refs/heads/main"})
    assert (tip.label, tip.sha) == (label, sha)


@pytest.mark.parametrize(
    ("ref", "reason", "field"),
    [
        pytest.param(Ref(branch="gone"), "BranchNotFound", "spec.ref.branch", id="a branch"),
        pytest.param(Ref(tag="v9"), "TagNotFound", "spec.ref.tag", id="a tag"),
        pytest.param(Ref(semver=">=2"), "SemverNotFound", "spec.ref.semver", id="a range without a release"),
        pytest.param(Ref(name="refs/pull/8/head"), "RefNotFound", "spec.ref.name", id="a ref"),
    ],
)
def test_what_the_server_does_not_have_is_named(ref: Ref, reason: str, field: str) -> None:
    with pytest.raises(Stalled, match=field) as refused:
        chosen(ref, OFFERED, {"HEAD": "refs/heads/main"})
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "field", ["branch: --upload-pack", "tag: -x", "semver: newest", "name: heads/main", "commit: 1a2b3c4"]
)
def test_what_is_no_ref_is_refused(field: str) -> None:
    name, _, value = field.partition(": ")
    with pytest.raises(ValidationError):
        Ref.model_validate({name: value})


async def test_a_range_follows_the_newest_release(mirrors: Mirrors, upstream: Upstream) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    tagged(upstream, "v1.0.0")
    first = await mirror.poll(Ref(semver="1.x"))
    newest = tagged(upstream, "v1.1.0", "--annotate", "--message", "release")
    tagged(upstream, "v2.0.0")
    revision = await mirror.poll(Ref(semver="1.x"))
    assert (str(first).split("@")[0], revision.branch, revision.sha) == ("v1.0.0", "v1.1.0", newest)
    assert [blob.data for blob in await mirror.read(revision)] == [b"v1.1.0"]


async def test_a_tag_that_was_moved_is_followed(mirrors: Mirrors, upstream: Upstream) -> None:
    mirror = mirrors.of(upstream.url, "shop/git")
    tagged(upstream, "stable")
    await mirror.poll(Ref(tag="stable"))
    moved = tagged(upstream, "stable", "--force")
    assert (await mirror.poll(Ref(tag="stable"))).sha == moved


async def test_a_commit_is_served_though_its_branch_went_on(mirrors: Mirrors, upstream: Upstream) -> None:
    old = upstream.commit({"a.yaml": "old"})
    upstream.commit({"a.yaml": "new"})
    mirror = mirrors.of(upstream.url, "shop/git")
    revision = await mirror.poll(Ref(commit=old))
    assert str(revision) == f"sha1:{old}"
    assert [blob.data for blob in await mirror.read(revision)] == [b"old"]
    fetches = mirror.counts.fetches
    assert await mirror.poll(Ref(commit=old)) == revision
    assert mirror.counts.fetches == fetches


async def test_a_commit_beside_the_branch_that_holds_it_leaves_the_history_whole(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    old = upstream.commit({"a.yaml": "old"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll(Ref(branch="main"))
    new = upstream.commit({"a.yaml": "new"})
    tip = await mirror.poll(Ref(branch="main"))
    await mirror.poll(Ref(commit=new))
    assert tip.sha == new
    assert not await mirror.rewritten(old, new)


async def test_a_commit_that_the_server_lacks_is_named(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"a.yaml": "a"})
    with pytest.raises(Stalled, match=r"spec\.ref\.commit") as refused:
        await mirrors.of(upstream.url, "shop/git").poll(Ref(commit=C))
    assert refused.value.reason == "CommitNotFound"


def tagged(upstream: Upstream, tag: str, *options: str) -> str:
    """A commit of its own, tagged and pushed; its id."""
    commit = upstream.commit({"a.yaml": tag})
    git(upstream.work, "tag", *options, tag)
    git(upstream.work, "push", "--quiet", "--force", "origin", f"refs/tags/{tag}")
    return commit

"""Which files of a revision become manifests, and what hostile contents come to."""

import pytest
from git_servers import Upstream, git

from rollout.api.errors import Stalled
from rollout.api.gitsource import Ref
from rollout.git.errors import ManifestsRefused
from rollout.git.manifests import Parser
from rollout.git.mirror import Mirrors


def manifest(name: str, value: int = 1) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: '{value}'\n"


async def read(mirrors: Mirrors, upstream: Upstream, path: str = "") -> dict[str, bytes]:
    mirror = mirrors.of(upstream.url, "shop/git")
    return {blob.path: blob.data for blob in await mirror.read(await mirror.poll(), path)}


async def test_only_yaml_and_json_under_the_path_is_read_and_hidden_files_are_not(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    wanted = ["apps/web/a.yaml", "apps/web/b.yml", "apps/web/deep/c.json", "apps/web/D.YAML"]
    others = [
        "apps/web/README.md",
        "apps/web/.hidden.yaml",
        "apps/web/.ci/x.yaml",
        "apps/webshop/x.yaml",
        "x.yaml",
    ]
    upstream.commit(dict.fromkeys([*wanted, *others], "{}"))
    assert sorted(await read(mirrors, upstream, "./apps/web/")) == sorted(wanted)


async def test_the_path_may_be_a_single_file(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"apps/a.yaml": "a: 1\n", "apps/b.yaml": "b: 1\n"})
    assert await read(mirrors, upstream, "apps/a.yaml") == {"apps/a.yaml": b"a: 1\n"}


async def test_contents_come_byte_for_byte(mirrors: Mirrors, upstream: Upstream) -> None:
    contents = {
        "a.yaml": b"",
        "b.yaml": b"\r\n\n",
        "c.yaml": b"\xff\x00end",
        "d.yaml": b"no newline",
        "e.yaml": b"\n\n",
    }
    upstream.commit(contents)
    assert await read(mirrors, upstream) == contents


async def test_names_with_spaces_quotes_and_newlines_come_as_they_are(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    names = ["with space.yaml", 'quote".yaml', "ümlaut.yaml", "new\nline.yaml", "--output=x.yaml", "*.yaml"]
    upstream.commit(dict.fromkeys(names, "{}"))
    assert sorted(await read(mirrors, upstream)) == sorted(names)


async def test_a_path_that_does_not_exist_says_so(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    with pytest.raises(Stalled, match=r"spec\.path: 'apps' does not exist") as refusal:
        await read(mirrors, upstream, "apps")
    assert refusal.value.reason == "PathNotFound"


@pytest.mark.parametrize("path", ["../other", "apps/../../x", "/etc", "a\x00b", "a\\b"])
async def test_a_path_that_leaves_the_repository_is_refused(
    mirrors: Mirrors, upstream: Upstream, path: str
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    with pytest.raises(Stalled) as refusal:
        await read(mirrors, upstream, path)
    assert refusal.value.reason == "InvalidPath"


async def test_of_500_manifests_only_the_changed_ones_are_read_and_parsed(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({f"apps/{n}.yaml": manifest(f"app-{n}") for n in range(500)})
    mirror, parser = mirrors.of(upstream.url, "shop/git"), Parser()
    blobs = await mirror.read(await mirror.poll(), "apps")
    assert len(parser.parse(blobs, "shop")) == 500
    assert (mirror.counts.blobs_read, parser.parsed) == (500, 500)
    upstream.commit({f"apps/{n}.yaml": manifest(f"app-{n}", 2) for n in range(5)} | {"README.md": "hi"})
    blobs = await mirror.read(await mirror.poll(), "apps")
    assert len(parser.parse(blobs, "shop")) == 500
    assert (mirror.counts.blobs_read, parser.parsed) == (505, 505)


async def test_a_commit_elsewhere_reads_nothing(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"apps/a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    before = await mirror.read(await mirror.poll(), "apps")
    upstream.commit({"docs/readme.yaml": "b: 1\n"})
    assert await mirror.read(await mirror.poll(), "apps") is before


async def refusal(mirrors: Mirrors, upstream: Upstream) -> tuple[str, str]:
    with pytest.raises(ManifestsRefused) as refused:
        await read(mirrors, upstream, "apps")
    assert refused.value.reason == "EntryRefused"
    (problem,) = refused.value.problems
    return problem.path, problem.message


async def test_a_symbolic_link_is_refused_by_name(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"apps/a.yaml": "a: 1\n"})
    (upstream.work / "apps" / "passwd.yaml").symlink_to("/etc/passwd")
    upstream.commit({})
    path, message = await refusal(mirrors, upstream)
    assert (path, message.split(":")[0]) == ("apps/passwd.yaml", "is a symbolic link")


async def test_a_submodule_is_refused_by_name(mirrors: Mirrors, upstream: Upstream) -> None:
    sha = upstream.commit({"apps/a.yaml": "a: 1\n"})
    upstream.git("update-index", "--add", "--cacheinfo", f"160000,{sha},apps/vendor")
    upstream.git("commit", "--quiet", "-m", "Add a submodule")
    upstream.push()
    path, message = await refusal(mirrors, upstream)
    assert (path, message.split(":")[0]) == ("apps/vendor", "is a submodule")


async def test_an_lfs_pointer_is_refused_by_name(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"apps/a.yaml": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"})
    path, message = await refusal(mirrors, upstream)
    assert (path, message.split(",")[0]) == ("apps/a.yaml", "is a Git LFS pointer")


async def test_a_huge_file_is_refused_before_it_is_read(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"apps/a.yaml": "x" * 100_000, "apps/video.bin": b"x" * 200_000})
    assert await refusal(mirrors, upstream) == ("apps/a.yaml", "has 100000 bytes, at most 65536 are read")
    assert mirrors.of(upstream.url, "shop/git").counts.blobs_read == 0


async def test_too_many_manifests_are_refused(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({f"apps/{n}.yaml": "{}" for n in range(601)})
    with pytest.raises(Stalled, match=r"601 manifests \(at most 600\)"):
        await read(mirrors, upstream, "apps")


async def test_too_many_bytes_are_refused(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({f"apps/{n}.yaml": f"{n}" * 30_000 for n in range(10, 30)})
    with pytest.raises(Stalled, match=r"1200000 bytes of manifests \(at most 1048576\)"):
        await read(mirrors, upstream, "apps")


async def test_a_tree_that_unfolds_to_millions_of_files_is_cut_off(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    blob = upstream.git("hash-object", "-w", "--stdin", stdin=b"{}")
    tree = upstream.git("mktree", stdin=f"100644 blob {blob}\ta.yaml\n".encode())
    for _ in range(7):
        rows = "".join(f"040000 tree {tree}\t{n}\n" for n in range(10))
        tree = upstream.git("mktree", stdin=rows.encode())
    commit = upstream.git("commit-tree", tree, "-m", "bomb")
    upstream.git("push", "--quiet", "origin", f"{commit}:refs/heads/main")
    with pytest.raises(Stalled, match="git printed more than") as refused:
        await read(mirrors, upstream)
    assert refused.value.reason == "RepositoryTooLarge"


async def test_what_a_commit_changes_is_read_with_it_as_if_for_the_first_time(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit(
        {f"apps/{name}/it.yaml": "a: 1\n" for name in ("a", "b", "a-b")} | {"apps/a.yaml": "b: 1\n"}
    )
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.read(await mirror.poll(), "apps")
    for files in (
        {"apps/a/it.yaml": "a: 2\n", "apps/b/new.yaml": "a: 1\n"},
        {"apps/a/it.yaml": None, "apps/b/it.yaml": None, "apps/b/note.txt": "no"},
        {"apps/b/new.yaml": None, "apps/a.yaml": None, "apps/a/it.yaml/deep.yaml": "c: 1\n"},
        {"apps/.hidden/it.yaml": "a: 1\n", "elsewhere.yaml": "a: 1\n"},
    ):
        upstream.commit(files)
        fetched = await mirror.poll()
        fresh = mirrors.of(upstream.url, f"shop/{fetched.sha}")
        assert await mirror.read(fetched, "apps") == await fresh.read(await fresh.poll(), "apps")
        assert fetched == await fresh.poll()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param({"apps/large.yaml": "a: " + "x" * (1 << 17)}, "EntryRefused", id="a file too large"),
        pytest.param(
            {"apps/pointer.yaml": "version https://git-lfs.github.com/spec/v1\n"},
            "EntryRefused",
            id="a pointer",
        ),
        pytest.param({"apps": None}, "PathNotFound", id="the path goes"),
    ],
)
async def test_a_later_commit_is_refused_for_what_a_first_one_is_refused_for(
    mirrors: Mirrors, upstream: Upstream, files: dict[str, str | None], reason: str
) -> None:
    upstream.commit({"apps/a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    good = await mirror.read(await mirror.poll(), "apps")
    if "apps" in files:
        files = {"apps/a.yaml": None}
    upstream.commit(files)
    with pytest.raises(Stalled) as refused:
        await mirror.read(await mirror.poll(), "apps")
    assert refused.value.reason == reason
    upstream.git("revert", "--no-edit", "HEAD")
    upstream.push()
    assert await mirror.read(await mirror.poll(), "apps") == good


async def test_a_link_in_a_later_commit_is_refused(mirrors: Mirrors, upstream: Upstream) -> None:
    upstream.commit({"apps/a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.read(await mirror.poll(), "apps")
    (upstream.work / "apps" / "link.yaml").symlink_to("/etc/passwd")
    upstream.commit({})
    with pytest.raises(ManifestsRefused, match="symbolic link"):
        await mirror.read(await mirror.poll(), "apps")


async def test_a_push_that_was_told_of_is_fetched_without_asking_before(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"apps/a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.read(await mirror.poll(Ref(branch="main"), expected=True), "apps")
    sha = upstream.commit({"apps/a.yaml": "a: 2\n"}, "told")
    found = await mirror.poll(Ref(branch="main"), expected=True)
    assert (found.sha, found.branch, found.subject, found.author) == (sha, "main", "told", "Ann")
    assert [blob.data for blob in await mirror.read(found, "apps")] == [b"a: 2\n"]
    assert await mirror.poll(Ref(branch="main"), expected=True) == found
    assert await mirror.poll(Ref(branch="main")) == found
    git(upstream.bare, "branch", "--quiet", "-m", "main", "gone")
    with pytest.raises(Stalled, match="does not exist"):
        await mirror.poll(Ref(branch="main"), expected=True)

"""Whoever can push can send anything: it is refused by its place, what runs goes on, nothing is pruned."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import manifests
from home import Home, home
from manifests import NAME, Manifest
from repository import git_source, text
from stage import GIT_SOURCES, ROLLOUTS, until

from rollout.demo.repository import git
from rollout.sandbox.apiserver.resource import CONFIG_MAPS

__all__ = ["home"]  # a fixture

REQUESTED = "progressive.delivery/requestedAt"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
EVIL = "deploy/evil.yaml"


def config_map(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


Deed = Callable[[Path], Awaitable[object]]
"""What somebody does to a clone before they commit."""


def writing(content: str | bytes, name: str = EVIL) -> Deed:
    async def write(clone: Path) -> None:
        (clone / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


async def link(clone: Path) -> None:
    (clone / EVIL).symlink_to("/etc/passwd")


async def submodule(clone: Path) -> None:
    (clone / EVIL).mkdir()
    await git(clone, "update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},{EVIL}")


def laughs() -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(rows + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)])


HOSTILE: dict[str, tuple[Deed, str, str]] = {
    "a key twice": (
        writing(text(config_map("evil")) + "data: {}\n"),
        "MalformedManifest",
        "deploy/evil.yaml:7:1: 'data' is already given at line 5",
    ),
    "a billion laughs": (writing(laughs()), "MalformedManifest", "deploy/evil.yaml:2:10: aliases"),
    "half a million brackets": (writing("[" * 500_000), "MalformedManifest", "deploy/evil.yaml:1:65: nested"),
    "UTF-16": (
        writing("a: b".encode("utf-16")),
        "MalformedManifest",
        "deploy/evil.yaml:1:1: the file is not",
    ),
    "a file of two megabytes": (
        writing("#" * (2 << 20)),
        "EntryRefused",
        "deploy/evil.yaml: has 2097152 bytes",
    ),
    "a symbolic link": (link, "EntryRefused", "deploy/evil.yaml: is a symbolic link"),
    "a submodule": (submodule, "EntryRefused", "deploy/evil.yaml: is a submodule"),
    "an LFS pointer": (writing(POINTER), "EntryRefused", "deploy/evil.yaml:1:1: is a Git LFS pointer"),
    "a SOPS document": (
        writing(text({**config_map("evil"), "sops": {"mac": "x"}})),
        "MalformedManifest",
        "the file is encrypted with SOPS",
    ),
}


async def push(home: Home, subject: str, *commit: str) -> str:
    clone = home.repository.clone
    await git(clone, "commit", "--quiet", "--message", subject, *commit)
    await git(clone, "push", "--quiet", "--force", "origin", "main")
    annotations = {"metadata": {"annotations": {REQUESTED: subject}}}
    await home.shop.patch(GIT_SOURCES, NAME, annotations)
    return (await git(clone, "rev-parse", "HEAD")).strip()


async def test_git_30_a_hostile_commit_changes_nothing_and_prunes_nothing(home: Home) -> None:
    clone = home.repository.clone
    kept = await home.repository.commit("a setting", {"deploy/kept.yaml": text(config_map("kept"))})
    await home.applied(kept)
    before = (await home.shop.get(ROLLOUTS))["metadata"]["generation"]
    for subject, (make, reason, said) in HOSTILE.items():
        await git(clone, "rm", "--quiet", "deploy/kept.yaml")
        await writing(text(config_map("beside")), "deploy/beside.yaml")(clone)
        await git(clone, "add", "--all")
        await make(clone)
        if make is not submodule:
            await git(clone, "add", "--all")
        ready = await home.refused(await push(home, subject))
        assert ready["reason"] == reason, subject
        assert said in ready["message"], subject
        assert said in await home.shop.told(reason, said)
        assert await home.shop.exists(CONFIG_MAPS, "kept"), subject
        assert not await home.shop.exists(CONFIG_MAPS, "beside"), subject
        await git(clone, "reset", "--quiet", "--hard", kept)
    assert (await home.shop.get(ROLLOUTS))["metadata"]["generation"] == before
    await home.applied(await push(home, "mended", "--allow-empty"))


async def test_a_branch_that_vanishes_prunes_nothing_and_may_come_back(home: Home) -> None:
    await home.shop.apply(git_source(home.repository.url, ref={"branch": "main"}))
    await git(home.repository.bare, "update-ref", "-d", "refs/heads/main")

    async def missed() -> bool:
        failed = await home.condition("FetchFailed")
        return failed.get("status") == "True" and "BranchNotFound" in failed["reason"]

    await until("the branch to be missed", missed)
    assert "push it or change spec.ref" in await home.shop.told("BranchNotFound")
    assert await home.shop.get(ROLLOUTS)
    await home.shop.patch(ROLLOUTS, NAME, {"spec": {"replicas": 3}})
    await home.shop.told("DriftCorrected", "spec.replicas")
    await git(home.repository.clone, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    await home.applied(await home.push("v2", manifests.rollout("shop:v2")))
    await home.shop.paused(50)


async def test_git_28_a_server_that_says_nothing_is_given_up_at_the_timeout_of_its_source(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/web.git"
        await home.shop.apply(git_source(url, timeout="2s"))
        assert "within 2 s" in await home.shop.told("GitOperationFailed")
        assert (await home.condition("FetchFailed"))["status"] == "True"
        assert await home.shop.get(ROLLOUTS), "what was applied stays"
        await home.shop.apply(git_source(home.repository.url))
        await home.applied(await home.push("on", manifests.rollout("shop:v2")))

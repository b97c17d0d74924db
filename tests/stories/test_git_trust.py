"""Which commits are believed: those that somebody signed who may, and a branch whose history stands."""

import asyncio
import base64
from pathlib import Path

import yaml
from home import Home, home
from manifests import Manifest
from repository import git_source, text
from stage import until

from rollout import manifests as installed
from rollout.demo.repository import git
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.resource import CONFIG_MAPS

__all__ = ["home"]  # a fixture


def config_map(value: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}, "data": {"value": value}}


async def value(home: Home) -> str:
    try:
        return str((await home.shop.get(CONFIG_MAPS, "it"))["data"]["value"])
    except ApiError:
        return ""


async def verified(home: Home, status: str) -> str:
    """Wait for SourceVerified; what it says."""

    async def reached() -> str:
        found = await home.condition("SourceVerified")
        return str(found["message"]) if found.get("status") == status else ""

    message: str = await until(f"SourceVerified={status}", reached)
    return message


async def test_git_24_an_unsigned_commit_is_not_applied_and_a_signed_one_is(
    home: Home, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    assert await (await asyncio.create_subprocess_exec(*make)).wait() == 0
    public = base64.b64encode(key.with_suffix(".pub").read_bytes()).decode()
    signers = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signers"}}
    await home.shop.sandbox.load(list(yaml.safe_load_all(installed.secrets_in([home.shop.namespace]))))
    await home.shop.apply({**signers, "data": {"ann.sshpub": public}})
    verify = {"mode": "range", "secretRef": {"name": "signers"}}
    await home.shop.apply(git_source(home.repository.url, verify=verify))
    assert "'the first' is not signed" in await verified(home, "False")
    bad = await home.repository.commit("unsigned", {"deploy/it.yaml": text(config_map("bad"))})
    assert (await home.refused(bad))["reason"] == "VerificationFailed"
    assert f"{bad[:12]} 'unsigned' is not signed" in await verified(home, "False")
    assert await value(home) == ""

    clone = home.repository.clone
    for setting, wanted in (("gpg.format", "ssh"), ("user.signingkey", str(key))):
        await git(clone, "config", setting, wanted)
    covered = await _signed(home, "covering it up")
    await home.refused(covered)
    assert "'unsigned' is not signed" in await verified(home, "False")
    await git(clone, "reset", "--quiet", "--hard", "HEAD~2")
    good = await _signed(home, "good")
    await home.applied(good)
    assert await value(home) == "good"
    await verified(home, "True")


async def _signed(home: Home, said: str) -> str:
    """Commit with a signature, and push whatever else is there."""
    (home.repository.clone / "deploy/it.yaml").write_text(text(config_map(said)))
    await git(home.repository.clone, "add", "--all")
    await git(home.repository.clone, "commit", "--quiet", "-S", "--message", said)
    await git(home.repository.clone, "push", "--quiet", "--force", "origin", "main")
    return (await git(home.repository.clone, "rev-parse", "HEAD")).strip()


async def test_git_13_a_branch_that_was_forced_back_is_told_and_followed_unless_that_is_refused(
    home: Home,
) -> None:
    first = await home.repository.commit("one", {"deploy/it.yaml": text(config_map("one"))})
    await home.applied(first)
    second = await home.repository.commit("two", {"deploy/it.yaml": text(config_map("two"))})
    await home.applied(second)
    await _force_back(home)
    await home.applied(first)
    assert f"main@{second[:7]}" in await home.shop.told("HistoryRewritten")
    assert await value(home) == "one"

    strict = git_source(home.repository.url, allowHistoryRewrite=False)
    await home.shop.apply(strict)
    third = await home.repository.commit("three", {"deploy/it.yaml": text(config_map("three"))})
    await home.applied(third)
    await _force_back(home)
    assert "spec.allowHistoryRewrite" in (await home.refused(first))["message"]
    assert await value(home) == "three"


async def _force_back(home: Home) -> None:
    await git(home.repository.clone, "reset", "--quiet", "--hard", "HEAD~1")
    await git(home.repository.clone, "push", "--quiet", "--force", "origin", "main")

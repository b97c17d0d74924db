"""Tokens of the host, the registry, the webhook, another cluster and the operator itself, and the key that
signs, are used, and found nowhere but where they belong.
"""

import asyncio
import json
import logging
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import manifests
import pytest
import pytest_asyncio
import yaml
from crew import Crew
from home import ROLLOUT, Home, home
from manifests import NAME
from repository import git_source, text
from stage import GIT_SOURCES, ROLLOUTS, until
from test_git_secrets import watching
from test_git_tenancy import named
from test_write_back import BRIEF, SECRET, post, secret, signed

from rollout.api.status import Phase
from rollout.demo.operator_process import SERVICE_ACCOUNT
from rollout.demo.repository import git
from rollout.manifests import secrets_in
from tests.forge.forge_servers import HOSTS, TOKEN, Host, refuse
from tests.registry.registry_server import PASSWORD, USER, RegistryServer
from tests.registry.registry_server import TOKEN as BEARER

__all__ = ["home"]  # a fixture
REPOSITORY = "team/shop"
NOT_KNOWN, WRONG_HOOK = "planted-t0ken-of-a-cluster", "planted-s3cret-of-a-hook"
RBAC = "rbac.authorization.k8s.io"


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Host]:
    async with HOSTS["gitlab"](repository="shop/env", anything=True) as host:
        yield host


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[RegistryServer]:
    async with RegistryServer({REPOSITORY: ["v1.0.0", "v1.1.0"]}) as server:
        yield server


def holding(folder: Path, words: list[bytes]) -> list[str]:
    """Files that hold one of the words; some go while they are looked at, since git is at work."""
    found = []
    for place, _, names in os.walk(folder):
        for file in (Path(place, name) for name in names):
            with suppress(OSError):
                if file.is_file() and any(word in file.read_bytes() for word in words):
                    found.append(str(file))
    return found


def token_of(kubeconfig: dict[str, Any]) -> str:
    return str(kubeconfig["users"][0]["user"]["token"])


async def abroad(home: Home) -> list[str]:
    """A source of the same repository that applies to another cluster; the tokens, one of them wrong."""
    space, sandbox = home.shop.namespace, home.shop.sandbox
    there = yaml.safe_load(sandbox.kubeconfig_for(space, "abroad").read_text())
    wrong = {**there, "users": [{**there["users"][0], "user": {"token": NOT_KNOWN}}]}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": "abroad", "namespace": space}
    binding = named("RoleBinding", f"{RBAC}/v1", "abroad", roleRef=role, subjects=[subject])
    other = git_source(home.repository.url, path="abroad", kubeConfig={"secretRef": {"name": "abroad"}})
    other["metadata"]["name"] = "abroad"
    await home.repository.pull()
    await home.repository.commit("abroad", {"abroad/more.yaml": text(named("ConfigMap", name="more"))})
    await home.shop.apply(binding, secret("abroad", value=yaml.safe_dump(wrong)), other)

    async def state() -> str:
        status = (await home.shop.get(GIT_SOURCES, "abroad")).get("status") or {}
        return next((str(each["reason"]) for each in status.get("conditions") or ()), "")

    async def refused() -> bool:
        return await state() not in ("", "Applied")

    async def applied() -> bool:
        return await state() == "Applied"

    await until("the wrong token to be refused", refused)
    await home.shop.apply(secret("abroad", value=yaml.safe_dump(there)))
    await until("the other cluster to be reached", applied)
    return [NOT_KNOWN, token_of(there)]


async def signed_revert(home: Home, folder: Path) -> list[str]:
    """A version is aborted and put back by a signed commit; the lines of the key, and one that can't sign."""
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")]
    await asyncio.to_thread(subprocess.run, make, check=True)
    key = (folder / "key").read_text()
    write_back = {"modes": ["revertCommit"], "signingKeyRef": {"name": "signing"}}
    await home.shop.apply(
        secret("signing", identity=key), git_source(home.repository.url, writeBack=write_back)
    )
    await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await home.shop.annotate("abort", "not today")
    assert "puts deploy/rollout.yaml back" in await home.shop.told("WriteBackPushed")
    assert "SSH SIGNATURE" in await git(home.repository.bare, "cat-file", "commit", "main")
    return [line for line in key.splitlines() if len(line) > 16 and "-----" not in line]


async def test_no_secret_is_in_a_log_an_event_a_status_a_note_a_mirror_or_a_child(
    home: Home,
    lab: Host,
    registry: RegistryServer,
    operator: Crew,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    with watching(os.getpid()) as watcher:
        words = await told_everywhere(home, lab, registry, operator)
        words += await abroad(home)
        words += await signed_revert(home, tmp_path)
    words.append(token_of(yaml.safe_load(home.shop.sandbox.kubeconfig_for(*SERVICE_ACCOUNT).read_text())))
    objects = [*await home.shop.every(GIT_SOURCES), *await home.shop.every(ROLLOUTS)]
    commits = (await git(home.repository.bare, "log", "--format=%H", "main")).split()
    notes = "".join([await home.repository.note(each) for each in commits])
    assert '"verdict":"Promoted"' in notes
    told = json.dumps(objects) + str(await home.shop.events()) + caplog.text + notes
    assert [word for word in words if word in told] == []
    mirrors = operator.mirrors
    assert await asyncio.to_thread(holding, mirrors, [word.encode() for word in words]) == []
    assert any(mirrors.iterdir()), "there is something to look through"
    given = b"\0".join(each for seen in watcher.seen.values() for each in seen)
    assert b"ls-remote" in given, "the children were seen at work"
    assert [word for word in words if word.encode() in given] == []


async def told_everywhere(home: Home, lab: Host, registry: RegistryServer, operator: Crew) -> list[str]:
    """The host, the registry and the webhook are asked and heard; what opens them."""
    space, name = home.shop.namespace, f"{registry.address}/{REPOSITORY}"
    await home.shop.sandbox.load(list(yaml.safe_load_all(secrets_in([space]))))
    secrets = (
        secret("git-api", token=TOKEN),
        secret("hook", token=SECRET),
        secret("pull", username=USER, password=PASSWORD),
    )
    await home.shop.apply(*secrets)
    await home.push("of the registry", manifests.rollout(f"{name}:v1.0.0", steps=BRIEF))
    image = {
        "image": name,
        "policy": {"semver": "1.x"},
        "interval": "1s",
        "secretRef": {"name": "pull"},
        "update": {"path": ROLLOUT, "field": "spec.template.spec.containers[name=shop].image"},
    }
    provider = {
        "type": "gitlab",
        "address": lab.address,
        "repository": "shop/env",
        "secretRef": {"name": "git-api"},
    }
    # What a host says of a refusal is told to people; one that repeats the token is no exception.
    lab.weather += [lambda: refuse(403, f"{TOKEN} may not do this")]
    source = git_source(
        home.repository.url,
        images=[image],
        webhook={"secretRef": {"name": "hook"}},
        writeBack={"modes": ["notes", "commitStatus"], "provider": provider},
    )
    await home.shop.apply(source)
    assert "may not do this" in await home.shop.told("WriteBackRefused")
    hook = f"{operator.webhooks}/{space}/{NAME}"
    assert await post(hook, b"{}", **{"X-Gitlab-Token": SECRET}) == 202
    assert await post(hook, b"{}", **signed(b"{}")) == 202
    assert await post(hook, b"{}", **signed(b"{}", WRONG_HOOK)) == 403

    async def newest() -> bool:
        return f"{name}:v1.1.0" in await home.shop.images() and bool(registry.asked)

    await until("the newest tag to be tried", newest)
    await home.shop.phase(Phase.HEALTHY)
    return [TOKEN, SECRET, WRONG_HOOK, PASSWORD, BEARER]

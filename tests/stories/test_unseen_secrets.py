"""Tokens of the host, the registry and the webhook are used, and found nowhere but in their Secrets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import manifests
import pytest
import pytest_asyncio
import yaml
from crew import Crew
from home import ROLLOUT, Home, home
from manifests import NAME
from repository import git_source
from stage import GIT_SOURCES, ROLLOUTS, until
from test_write_back import BRIEF, SECRET, post, secret

from rollout.api.status import Phase
from rollout.manifests import secrets_in
from tests.forge.forge_servers import HOSTS, TOKEN, Host, refuse
from tests.registry.registry_server import PASSWORD, USER, RegistryServer
from tests.registry.registry_server import TOKEN as BEARER

__all__ = ["home"]  # a fixture
REPOSITORY = "team/shop"


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
    for file in folder.rglob("*"):
        with suppress(OSError):
            if file.is_file() and any(word in file.read_bytes() for word in words):
                found.append(str(file))
    return found


async def test_no_secret_is_in_a_log_an_event_a_status_a_note_or_a_mirror(
    home: Home, lab: Host, registry: RegistryServer, operator: Crew, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
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
    assert await post(f"{operator.webhooks}/{space}/{NAME}", b"{}", **{"X-Gitlab-Token": SECRET}) == 202

    async def newest() -> bool:
        return f"{name}:v1.1.0" in await home.shop.images() and bool(registry.asked)

    await until("the newest tag to be tried", newest)
    await home.shop.phase(Phase.HEALTHY)
    words = [TOKEN, SECRET, PASSWORD, BEARER]
    objects = [await home.shop.get(GIT_SOURCES), await home.shop.get(ROLLOUTS)]
    note = await home.repository.note(await home.repository.log("%H"))
    told = json.dumps(objects) + str(await home.shop.events()) + caplog.text + note
    assert [word for word in words if word in told] == []
    mirrors = operator.mirrors
    assert await asyncio.to_thread(holding, mirrors, [word.encode() for word in words]) == []
    assert any(mirrors.iterdir()), "there is something to look through"

"""A newer tag in the registry becomes a commit, and a tag that failed does not come back."""

from collections.abc import AsyncIterator
from typing import Any

import manifests
import pytest_asyncio
import yaml
from home import ROLLOUT, Home, home
from repository import git_source, text
from stage import GIT_SOURCES, until
from test_write_back import hub, secret, writing

from rollout.api.status import Phase
from rollout.demo.repository import git
from rollout.manifests import secrets_in
from tests.forge.forge_servers import TOKEN, Host
from tests.registry.registry_server import PASSWORD, USER, RegistryServer, digest

__all__ = ["home", "hub"]  # fixtures
FIELD = "spec.template.spec.containers[name=shop].image"
REPOSITORY = "team/shop"


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[RegistryServer]:
    async with RegistryServer({REPOSITORY: ["v1.5.0", "latest"]}) as server:
        yield server


@pytest_asyncio.fixture
async def open_home(home: Home) -> Home:
    """An administrator let the operator read the Secrets of this namespace."""
    await home.shop.sandbox.load(list(yaml.safe_load_all(secrets_in([home.shop.namespace]))))
    await home.shop.apply(secret("pull", username=USER, password=PASSWORD))
    return home


def following(home: Home, registry: RegistryServer, **more: Any) -> dict[str, Any]:
    image = {
        "image": f"{registry.address}/{REPOSITORY}",
        "policy": {"semver": "1.x"},
        "interval": "1s",
        "secretRef": {"name": "pull"},
        "update": {"path": ROLLOUT, "field": FIELD},
        **more,
    }
    back = {"modes": ["notes", "revertCommit"], "author": {"name": "bot", "email": "bot@example.com"}}
    return git_source(home.repository.url, images=[image], writeBack=back)


async def content(home: Home) -> str:
    return await git(home.repository.bare, "show", f"main:{ROLLOUT}")


async def test_git_26_a_new_tag_is_committed_and_tried_and_one_that_fails_is_not_committed_again(
    open_home: Home, registry: RegistryServer
) -> None:
    home, name = open_home, f"{registry.address}/{REPOSITORY}"
    commented = f"# by hand\n{text(manifests.rollout(f'{name}:v1.5.0'))}"
    await home.repository.commit("of the registry", {ROLLOUT: commented})
    await home.shop.paused(50)
    await home.shop.annotate("promote")
    await home.shop.phase(Phase.HEALTHY)
    await home.shop.apply(following(home, registry))

    registry.tags[REPOSITORY].append("v1.5.1")
    await home.shop.paused(50)
    assert await content(home) == commented.replace("v1.5.0", "v1.5.1"), "every other byte stays"
    assert await home.repository.log("%an|%s") == "bot|Update to shop:v1.5.1"
    assert await home.repository.log("%(trailers:key=Rollout-Image,valueonly)") == f"{name}:v1.5.1"
    assert f"sets {name}:v1.5.1 on main" in await home.shop.told("ImageUpdated")

    registry.tags[REPOSITORY].append("v1.5.2")
    await home.repository.pull()
    later = await home.repository.commit("beside", {"deploy/it.txt": "a turn of its own"})
    await home.applied(later)
    assert (await home.shop.images()).keys() - {"shop:v1"} == {f"{name}:v1.5.0", f"{name}:v1.5.1"}
    assert "v1.5.2" not in await content(home), "held while the canary is under way"
    registry.tags[REPOSITORY].remove("v1.5.2")

    await home.shop.annotate("abort", "not today")
    await home.shop.phase(Phase.HEALTHY)
    assert await content(home) == commented, "put back"

    async def excluded() -> bool:
        status = (await home.shop.get(GIT_SOURCES)).get("status") or {}
        return status.get("excludedTags") == [f"{name}:v1.5.1"]

    await until("the tag to be excluded", excluded)
    asked = len(registry.asked)
    await until("the registry to be asked again", lambda: len(registry.asked) > asked + 6)
    assert await content(home) == commented, "not committed again"

    registry.tags[REPOSITORY].append("v1.5.3")
    await home.shop.paused(50)
    assert "v1.5.3" in await content(home)


async def test_a_digest_is_pinned_and_a_registry_that_is_down_delays_nothing(
    open_home: Home, registry: RegistryServer
) -> None:
    home, name = open_home, f"{registry.address}/{REPOSITORY}"
    await home.shop.apply(following(home, registry, pinDigest=True, holdDuringCanary=False))
    await home.push("of the registry", manifests.rollout(f"{name}:v1.4.0"))
    pinned = f"{name}:v1.5.0@{digest(REPOSITORY, 'v1.5.0')}"

    async def there() -> bool:
        return pinned in await content(home)

    await until("the digest in Git", there)
    await home.shop.paused(50)
    await registry.__aexit__()
    await home.repository.pull()
    await home.push("by hand", manifests.rollout("shop:v9"))
    assert "ClientConnectorError" in await home.shop.told("ImageScanFailed")
    await until("the version by hand", lambda: _has(home, "shop:v9"))


async def test_a_new_tag_is_proposed_by_one_pull_request_that_grows_and_is_tried_once_it_is_merged(
    open_home: Home, registry: RegistryServer, hub: Host
) -> None:
    home, name = open_home, f"{registry.address}/{REPOSITORY}"
    await home.shop.apply(secret("git-api", token=TOKEN))
    branch = f"rollout/images-{home.shop.namespace}-{manifests.NAME}"
    hub.branches.add(branch)
    await home.push("of the registry", manifests.rollout(f"{name}:v1.4.0"))
    update = {"path": ROLLOUT, "field": FIELD, "mode": "branch"}
    source = following(home, registry, update=update, holdDuringCanary=False)
    source["spec"]["writeBack"] = writing(home, hub)["spec"]["writeBack"]
    await home.shop.apply(source)
    page = f"https://github.example/{hub.repository}/pull/1"
    assert f"sets {name}:v1.5.0 on {branch}: {page}" in await home.shop.told("ImageUpdated")
    assert "v1.4.0" in await content(home), "people have to agree"
    registry.tags[REPOSITORY].append("v1.5.1")
    assert page in await home.shop.told("ImageUpdated", "v1.5.1")
    (proposal,) = hub.proposals
    assert (proposal["head"], proposal["base"]) == (branch, "main")
    await home.repository.merge(branch)
    await until("what was merged", lambda: _has(home, f"{name}:v1.5.1"))


async def _has(home: Home, image: str) -> bool:
    return image in await home.shop.images()

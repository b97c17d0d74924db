"""A GitSource is deleted: what it applied stays, or goes first where that was asked for."""

from typing import Any

import manifests
import pytest
from home import Home, home
from manifests import CANARY, NAME, STABLE, Manifest
from repository import git_source, text
from stage import GIT_SOURCES, ROLLOUTS, ROUTES, until

from rollout.api.meta import APPLIED_FINALIZER
from rollout.gitops.inventory import PRUNE
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, NAMESPACES, PODS, SERVICES

__all__ = ["home"]  # a fixture


def setting(name: str, **annotations: str) -> Manifest:
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


async def has_to_clear_away(home: Home, **spec: Any) -> None:
    """It is asked to delete what it applied, and has taken note of it."""
    await home.shop.apply(git_source(home.repository.url, deletionPolicy="Delete", **spec))

    async def held() -> bool:
        return APPLIED_FINALIZER in ((await home.shop.get(GIT_SOURCES))["metadata"].get("finalizers") or ())

    await until("the finalizer", held)


async def test_what_it_applied_goes_before_it_and_what_pods_need_after_them(home: Home) -> None:
    rollout = manifests.rollout("shop:v2", steps=({"setWeight": 50}, {"pause": {}}))
    rollout["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "needed"}}]
    files = {
        "deploy/needed.yaml": text(setting("needed")),
        "deploy/kept.yaml": text(setting("kept", **{PRUNE: "disabled"})),
        "deploy/rollout.yaml": text(rollout),
    }
    await home.shop.apply(setting("by-hand"))
    await home.applied(await home.repository.commit("v2", files))
    await home.shop.paused(50)
    await has_to_clear_away(home)
    await home.shop.delete(GIT_SOURCES, NAME)
    assert "ConfigMap" in await home.shop.told("Deleting", "needed stays: pods that run need it")
    await home.shop.gone(GIT_SOURCES)
    for resource, name in ((ROLLOUTS, NAME), (ROUTES, NAME), (SERVICES, STABLE), (SERVICES, CANARY)):
        await home.shop.gone(resource, name)
    assert not await home.shop.exists(CONFIG_MAPS, "needed")
    assert await home.shop.exists(CONFIG_MAPS, "kept")
    assert await home.shop.exists(CONFIG_MAPS, "by-hand")
    assert not [each for each in await home.shop.every(PODS) if not each["metadata"].get("deletionTimestamp")]


async def test_by_default_all_of_it_stays(home: Home) -> None:
    assert "finalizers" not in (await home.shop.get(GIT_SOURCES))["metadata"]
    await home.shop.delete(GIT_SOURCES, NAME)
    await home.shop.gone(GIT_SOURCES)
    assert await home.shop.exists(ROLLOUTS)


async def test_nothing_is_let_go_under_an_error_and_orphan_is_the_way_out(home: Home) -> None:
    await has_to_clear_away(home, serviceAccountName="nobody")
    await home.shop.delete(GIT_SOURCES, NAME)
    assert "Orphan" in await home.shop.told(
        "ServiceAccountForbidden", "nothing is deleted until that is mended"
    )
    assert await home.shop.exists(GIT_SOURCES)
    assert await home.shop.exists(ROLLOUTS)
    await home.shop.patch(GIT_SOURCES, NAME, {"spec": {"deletionPolicy": "Orphan"}})
    await home.shop.gone(GIT_SOURCES)
    assert await home.shop.exists(ROLLOUTS)


@pytest.mark.parametrize("account", [pytest.param({"serviceAccountName": "nobody"}, id="even as nobody")])
async def test_a_namespace_that_is_deleted_does_not_wait_for_it(home: Home, account: dict[str, str]) -> None:
    await has_to_clear_away(home, **account)
    client = home.shop.sandbox.client
    await client.delete(NAMESPACES, None, home.shop.namespace)

    async def away() -> bool:
        try:
            await client.get(NAMESPACES, None, home.shop.namespace)
        except ApiError as error:
            return error.status == 404
        return False

    await until("the namespace to be gone", away)

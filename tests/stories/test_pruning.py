"""What leaves Git leaves the cluster: only what came from Git, and nothing that is still needed."""

from typing import Any

import manifests
import pytest
from home import ROLLOUT, TRAFFIC, Home, home
from manifests import CANARY, NAME, STABLE, Manifest
from repository import git_source, text
from stage import GIT_SOURCES, ROLLOUTS, ROUTES, until

from rollout.api.status import Phase
from rollout.gitops.inventory import APPROVED, PRUNE
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, SERVICES

__all__ = ["home"]  # a fixture


def config_map(name: str, **annotations: str) -> Manifest:
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


async def test_git_18_what_leaves_git_goes_and_what_shall_be_kept_or_came_otherwise_stays(home: Home) -> None:
    files = {
        "deploy/a.yaml": text(config_map("a")),
        "deploy/kept.yaml": text(config_map("kept", **{PRUNE: "disabled"})),
    }
    await home.shop.apply(config_map("by-hand"))
    await home.applied(await home.repository.commit("two more", files))
    await home.applied(await home.repository.commit("without them", dict.fromkeys(files)))
    await home.shop.gone(CONFIG_MAPS, "a")
    assert "ConfigMap" in await home.shop.told("Pruned")
    assert await home.shop.exists(CONFIG_MAPS, "kept")
    assert await home.shop.exists(CONFIG_MAPS, "by-hand")


async def test_prune_false_deletes_nothing(home: Home) -> None:
    await home.shop.apply(git_source(home.repository.url, prune=False))
    await home.applied(await home.repository.commit("more", {"deploy/a.yaml": text(config_map("a"))}))
    await home.applied(await home.repository.commit("less", {"deploy/a.yaml": None}))
    assert await home.shop.exists(CONFIG_MAPS, "a")


async def test_a_bad_commit_prunes_nothing(home: Home) -> None:
    await home.applied(await home.repository.commit("more", {"deploy/a.yaml": text(config_map("a"))}))
    slip = await home.repository.commit("slip", {"deploy/a.yaml": None, ROLLOUT: "kind: ["})
    assert (await home.tried(slip))["reason"] == "MalformedManifest"
    assert await home.shop.exists(CONFIG_MAPS, "a")
    mended = await home.push("mended", manifests.rollout())
    await home.applied(mended)
    await home.shop.gone(CONFIG_MAPS, "a")


async def test_git_17_an_empty_directory_waits_until_its_commit_is_approved(home: Home) -> None:
    empty = await home.repository.commit(
        "oops", {ROLLOUT: None, TRAFFIC: None, "deploy/README.yaml": "# none\n"}
    )
    await home.applied(empty)
    assert APPROVED in await home.shop.told("PruneHeld")
    assert await home.shop.exists(ROLLOUTS, NAME)
    await home.shop.phase(Phase.HEALTHY)
    approval = {"metadata": {"annotations": {APPROVED: empty}}}
    await home.shop.patch(GIT_SOURCES, NAME, approval)
    for resource, name in ((ROLLOUTS, NAME), (ROUTES, NAME), (SERVICES, STABLE), (SERVICES, CANARY)):
        await home.shop.gone(resource, name)

    async def told() -> bool:
        return (await home.source()).get("inventory", []) == []

    await until("the inventory is empty", told)


@pytest.mark.parametrize("reference", ["configMapRef"])
async def test_what_running_pods_need_waits_until_they_are_gone(home: Home, reference: str) -> None:
    def version(image: str, **container: Any) -> Manifest:
        rollout = manifests.rollout(image, steps=({"setWeight": 50}, {"pause": {}}))
        rollout["spec"]["template"]["spec"]["containers"][0].update(container)
        rollout["spec"]["strategy"]["canary"]["scaleDownDelaySeconds"] = 0
        return rollout

    old = version("shop:v2", envFrom=[{reference: {"name": "old"}}])
    files = {ROLLOUT: text(old), "deploy/old.yaml": text(config_map("old"))}
    await home.repository.commit("with a setting", files)
    await home.shop.paused(50)
    await home.shop.annotate("promote-full")
    await home.shop.phase(Phase.HEALTHY)
    files = {ROLLOUT: text(version("shop:v3")), "deploy/old.yaml": None}
    await home.applied(await home.repository.commit("without it", files))
    await home.shop.paused(50)
    assert "old" in await home.shop.told("PruneDeferred")
    assert await home.shop.exists(CONFIG_MAPS, "old")
    await home.shop.annotate("promote-full")
    await home.shop.phase(Phase.HEALTHY)
    await home.shop.gone(CONFIG_MAPS, "old")

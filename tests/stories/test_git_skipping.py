"""`onInvalid: SkipObject`: what is wrong stays as it was, all else goes on, and nothing is deleted."""

import manifests
import pytest
from home import ROLLOUT, Home, home
from repository import git_source, text
from stage import ROLLOUTS, until

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.resource import CONFIG_MAPS

__all__ = ["home"]  # a fixture


def setting(name: str, value: str = "b") -> manifests.Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}}


async def skipped(home: Home, commit: str) -> str:
    """Wait until a commit stands but for what is wrong; what is said of that."""

    async def reached() -> str:
        ready = await home.condition("Ready")
        stands = str((await home.source()).get("lastAppliedRevision", "")).endswith(commit)
        return str(ready["message"]) if stands and ready.get("reason") == "ObjectsSkipped" else ""

    found: str = await until(f"{commit} to be applied but for what is wrong", reached)
    return found


@pytest.mark.parametrize(
    ("line", "wrong", "place"),
    [
        pytest.param("kind: Rollout", "kind: [", "deploy/rollout.yaml:", id="a file that is not YAML"),
        pytest.param("containerPort: 8080", "containerPort: 80800", "containerPort", id="a pod refused"),
    ],
)
async def test_the_rest_of_a_commit_is_applied_and_the_last_good_of_what_is_wrong_stays(
    home: Home, line: str, wrong: str, place: str
) -> None:
    await home.shop.apply(git_source(home.repository.url, onInvalid="SkipObject"))
    before = await home.repository.commit("more", {"deploy/old.yaml": text(setting("old"))})
    await home.applied(before)
    bad = text(manifests.rollout("shop:v2")).replace(line, wrong)
    files = {ROLLOUT: bad, "deploy/old.yaml": None, "deploy/new.yaml": text(setting("new"))}
    commit = await home.repository.commit("a slip", files)
    assert place in await skipped(home, commit)
    assert "deploy/rollout.yaml:" in await home.shop.told("ObjectsSkipped")
    assert (await home.shop.get(CONFIG_MAPS, "new"))["data"] == {"a": "b"}
    assert await home.shop.get(CONFIG_MAPS, "old"), "nothing is deleted"

    await home.shop.patch(ROLLOUTS, manifests.NAME, {"spec": {"replicas": 3}})

    async def put_back() -> bool:
        return (await home.shop.get(ROLLOUTS))["spec"]["replicas"] != 3

    await until("what is wrong in Git to be guarded as it was", put_back)
    again = await home.repository.commit("on", {"deploy/new.yaml": text(setting("new", "c"))})
    await skipped(home, again)
    assert (await home.shop.get(CONFIG_MAPS, "new"))["data"] == {"a": "c"}

    await home.applied(await home.push("mended", manifests.rollout()))

    async def pruned() -> bool:
        try:
            await home.shop.get(CONFIG_MAPS, "old")
        except ApiError:
            return True
        return False

    await until("a good revision to delete what left Git", pruned)
    assert (await home.condition("Ready"))["status"] == "True"

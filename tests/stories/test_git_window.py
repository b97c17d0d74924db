"""A `git revert` of what was promoted: within the rollback window it is live as soon as its pods are."""

import manifests
from chronicle import Chronicle
from home import Home, home
from manifests import Manifest
from stage import RUNS

from rollout.api.status import Phase, Verdict
from rollout.demo.repository import git

__all__ = ["home"]  # a fixture


def version(image: str) -> Manifest:
    return manifests.rollout(image, rollbackWindow={"revisions": 1})


async def test_git_12_a_revert_of_a_promotion_takes_its_steps_outside_the_rollback_window_and_none_within(
    home: Home,
) -> None:
    await home.applied(await home.push("a window", version("shop:v1")))
    commits = {}
    for image in ("shop:v2", "shop:v3"):
        commits[image] = await home.push(image, version(image))
        await home.shop.paused(50)
        await home.shop.annotate("promote", image)
        await home.shop.serving(image)
    async with Chronicle.of(home.shop) as told:
        await git(home.repository.clone, "revert", "--no-edit", commits["shop:v3"])
        two_before = await home.repository.revert(commits["shop:v2"])
        await home.shop.paused(50)
        assert "shop:v1" in await home.shop.images()

        one_before = await home.repository.revert(two_before)
        await home.shop.serving("shop:v2")
        status = await home.shop.phase(Phase.HEALTHY)
    assert told.broken() == []
    assert told.weights() == [0, 50, 0, 100, 0]
    assert not told.names(RUNS)
    last = status.history[-1]
    assert (last.version, last.verdict, last.reason) == ("shop:v2", Verdict.PROMOTED, "the rollback window")
    assert '"the rollback window"' in await home.note(one_before, "Promoted")
    assert "within the rollback window" in await home.shop.told("RollbackWithinWindow")

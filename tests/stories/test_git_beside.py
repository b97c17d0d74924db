"""Beside other tools: a manager that strips kubectl's annotations, and health as others compute it."""

from typing import Any

import manifests
from home import Home, home
from manifests import NAME, Manifest
from stage import GIT_SOURCES, ROLLOUTS, until

from rollout.api.status import Phase

__all__ = ["home"]  # a fixture
ABORT = "progressive.delivery/abort"


async def test_git_15_an_abort_counts_though_another_manager_strips_its_annotation(home: Home) -> None:
    await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await home.shop.annotate("abort", "not this one")

    async def heard() -> bool:
        intent = (await home.shop.status()).intent
        return intent is not None and intent.reason == "not this one"

    await until("the intent to be latched", heard)
    await home.shop.patch(ROLLOUTS, NAME, {"metadata": {"annotations": {ABORT: None}}})
    status = await home.shop.phase(Phase.DEGRADED)
    assert "not this one" in status.verdict_reason
    assert await home.shop.weight() == 0
    assert (await home.shop.reasons()).count("Aborted") <= 1


def kstatus(live: Manifest) -> str:
    """Health as tools compute it who know nothing of a kind but the conventions."""
    status: dict[str, Any] = live.get("status") or {}
    if status.get("observedGeneration") != live["metadata"]["generation"]:
        return "InProgress"
    held = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    if held.get("Stalled") == "True":
        return "Failed"
    if held.get("Reconciling") == "True" or held.get("Ready", "True") != "True":
        return "InProgress"
    return "Current"


async def test_git_32_health_is_told_by_the_conventions_and_never_from_an_old_status(home: Home) -> None:
    await home.shop.kubectl("wait", "--for=condition=Ready", f"gitsource/{NAME}", "--timeout=60s")
    assert kstatus(await home.shop.get(GIT_SOURCES)) == "Current"
    seen: list[str] = []
    await home.refused(await home.repository.commit("a slip", {"deploy/slip.yaml": "kind: [\n"}))
    await home.shop.kubectl("wait", "--for=condition=Stalled", f"gitsource/{NAME}", "--timeout=60s")
    seen.append(kstatus(await home.shop.get(GIT_SOURCES)))
    edited = await home.shop.patch(GIT_SOURCES, NAME, {"spec": {"interval": "2s"}})
    seen.append(kstatus(edited))
    assert seen == ["Failed", "InProgress"]
    await home.applied(await home.repository.commit("mended", {"deploy/slip.yaml": None}))
    await home.shop.kubectl("wait", "--for=condition=Ready", f"gitsource/{NAME}", "--timeout=60s")
    assert kstatus(await home.shop.get(GIT_SOURCES)) == "Current"

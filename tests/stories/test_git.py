"""What Git says is what the cluster holds, once all of it is known to be good; the split stays ours."""

import re
from typing import Any

import manifests
import pytest
from chronicle import Chronicle
from home import ROLLOUT, Home, home
from manifests import CANARY, NAME, STABLE, Manifest
from repository import git_source, text
from stage import ROLLOUTS, ROUTES, Shop, until

from rollout.api.status import Phase, Stage
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, SERVICES

__all__ = ["home"]  # a fixture

BAD = [
    pytest.param(
        text(manifests.rollout("shop:v2")).replace("  strategy:\n    canary:\n", "  strategy:\n   canary\n"),
        "MalformedManifest",
        r"deploy/rollout\.yaml:\d+:\d+",
        id="YAML that can't be read",
    ),
    pytest.param(
        text(manifests.rollout("shop:v2")).replace("replicas: 2", "replicaz: 2"),
        "InvalidManifest",
        r"deploy/rollout\.yaml:6:\d+: .*spec\.replicaz: unknown field",
        id="an unknown field",
    ),
    pytest.param(
        text(manifests.rollout("shop:v2")).replace("containerPort: 8080", "containerPort: 80800"),
        "DryRunFailed",
        r"deploy/rollout\.yaml:\d+:\d+: .*spec\.template\.spec\.containers\[0\]\.ports\[0\]\.containerPort",
        id="a pod that the API server refuses",
    ),
]


@pytest.mark.parametrize(("broken", "reason", "place"), BAD)
async def test_a_bad_commit_changes_nothing_and_is_named_by_file_line_and_column(
    home: Home, broken: str, reason: str, place: str
) -> None:
    more = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "beside"}, "data": {"a": "b"}}
    before = (await home.shop.get(ROLLOUTS))["metadata"]["generation"]
    commit = await home.repository.commit("a slip", {ROLLOUT: broken, "deploy/beside.yaml": text(more)})
    ready = await home.refused(commit)
    assert ready["reason"] == reason, ready
    assert _matches(place, ready["message"]), ready["message"]
    assert _matches(place, await home.shop.told(reason))
    assert (await home.shop.get(ROLLOUTS))["metadata"]["generation"] == before
    with pytest.raises(ApiError, match="not found"):
        await home.shop.get(CONFIG_MAPS, "beside")
    mended = await home.push("mended", manifests.rollout("shop:v2"))
    await home.applied(mended)
    await home.shop.paused(50)


def _matches(pattern: str, words: str) -> bool:
    return re.search(pattern, words) is not None


async def test_git_06_27_a_canary_goes_on_and_can_be_aborted_while_the_git_server_is_gone(home: Home) -> None:
    steps = ({"setWeight": 25}, {"pause": {"duration": "2s"}}, {"setWeight": 50}, {"pause": {}})
    await home.push("v2", manifests.rollout("shop:v2", steps=steps, replicas=4))
    await home.shop.weighs(25)
    gone = home.repository.bare.rename(home.repository.bare.with_name("gone.git"))

    async def failed() -> bool:
        return (await home.condition("FetchFailed")).get("status") == "True"

    await until("the poll to fail", failed)
    await home.shop.paused(50)
    await home.shop.annotate("abort")
    await home.shop.phase(Phase.DEGRADED)
    assert await home.shop.weight() == 0
    gone.rename(home.repository.bare)
    commit = await home.push("v3", manifests.rollout("shop:v3", replicas=4))
    await home.applied(commit)
    await home.shop.paused(50)


async def test_git_changes_its_services_and_its_route_mid_canary_and_the_split_stays(home: Home) -> None:
    await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    stable, canary = await home.shop.selected(STABLE), await home.shop.selected(CANARY)
    assert stable != canary
    async with Chronicle.of(home.shop) as told:
        commit = await home.push("polish", traffic=_polished())
        await home.applied(commit)
        service, route = await home.shop.get(SERVICES, STABLE), await home.shop.get(ROUTES)
        assert service["metadata"]["labels"]["team"] == "checkout"
        assert service["spec"]["ports"][0]["name"] == "web"
        assert route["spec"]["rules"][0]["filters"][0]["type"] == "RequestHeaderModifier"
        assert (await home.shop.selected(STABLE), await home.shop.selected(CANARY)) == (stable, canary)
        assert await home.shop.weight() == 50
        status = await home.shop.status()
        assert (status.phase, status.current_step_index) == (Phase.PAUSED, 1)
    assert told.broken() == []
    assert told.weights() == [50]


def _polished() -> tuple[Manifest, ...]:
    stable, canary, route = manifests.traffic()
    for each in (stable, canary):
        each["metadata"]["labels"] = {"team": "checkout"}
        each["spec"]["ports"][0]["name"] = "web"
    header: dict[str, Any] = {"set": [{"name": "x-shop", "value": "1"}]}
    route["metadata"]["annotations"] = {"team": "checkout"}
    route["spec"]["rules"][0]["filters"] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": header}
    ]
    return stable, canary, route


async def test_git_04_05_07_a_refused_commit_is_retried_by_a_new_spec_alone_and_a_revert_is_healthy_at_once(
    home: Home,
) -> None:
    v2 = await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await home.shop.annotate("abort", "looks odd")
    await home.shop.phase(Phase.DEGRADED)
    assert "looks odd" in await home.note(v2, "Aborted")

    unrelated = await home.repository.commit("unrelated", {"deploy/notes.yaml": text(_config("1"))})
    await home.applied(unrelated)
    assert (await home.shop.status()).stage is Stage.REFUSED
    assert (await home.shop.status()).source.commit == v2  # type: ignore[union-attr]

    retried = await home.push("once more", manifests.rollout("shop:v2", retry="1"))
    await home.applied(retried)
    await home.shop.paused(50)
    await home.shop.annotate("abort", "still odd")
    await home.shop.phase(Phase.DEGRADED)
    assert "still odd" in await home.note(retried, "Aborted")

    await home.repository.revert(retried)
    back = await home.repository.revert(v2)
    await home.applied(back)
    status = await home.shop.phase(Phase.HEALTHY, seconds=10)
    assert status.verdict_reason == "the stable template"
    assert await home.shop.weight() == 0
    assert '"the stable template"' in await home.note(back, "Promoted")


def _config(value: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"note": value}}


async def test_scenario_10_a_revert_mid_canary_goes_back_without_steps(home: Home) -> None:
    v2 = await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await home.repository.revert(v2)
    await home.shop.stage(Stage.STABLE)
    await home.shop.phase(Phase.HEALTHY)
    assert await home.shop.weight() == 0
    await home.note(v2, "FastRolledBack")


async def test_a_promotion_is_noted_on_the_commit_that_brought_it(home: Home) -> None:
    steps = ({"setWeight": 50}, {"pause": {"duration": "1s"}})
    commit = await home.push("v2", manifests.rollout("shop:v2", steps=steps))
    await home.shop.stage(Stage.STEPPING)
    await home.shop.phase(Phase.HEALTHY)
    note = await home.note(commit, "Promoted")
    assert f'"{home.shop.namespace}/{NAME}"' in note
    assert '"shop:v2"' in note


async def test_git_08_what_was_aborted_is_put_back_by_a_commit_and_git_no_longer_lies(home: Home) -> None:
    back = {"modes": ["notes", "revertCommit"], "author": {"name": "canary-bot", "email": "bot@example.com"}}
    await home.shop.apply(git_source(home.repository.url, writeBack=back))
    bad = await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await home.shop.annotate("abort", "not today")
    await home.shop.phase(Phase.HEALTHY)
    head = await home.repository.log("%an|%s|%(trailers:key=Rollout-Reverts,valueonly)")
    assert head == f'canary-bot|Revert "v2" for {home.shop.namespace}/{NAME}|{bad}'
    assert "shop:v2 was taken back at 50 %: aborted by hand: not today" in await home.repository.log("%b")
    assert "puts deploy/rollout.yaml back" in await home.shop.told("WriteBackPushed")
    await home.note(bad, "Aborted")
    status = (await home.shop.get(ROLLOUTS))["status"]
    assert [each["verdict"] for each in status["history"]][:2] == ["Promoted", "Aborted"]


async def test_a_suspended_source_applies_nothing_until_it_is_not(home: Home) -> None:
    url = home.repository.url
    await home.shop.apply(git_source(url, suspend=True))
    beside = {
        **git_source(url),
        "metadata": {"name": "beside"},
        "spec": {"url": url, "interval": "1s", "path": "beside"},
    }
    await home.shop.apply(beside)
    for value in ("1", "2"):
        await home.repository.commit(
            value,
            {
                "beside/it.yaml": text(config_map("beside", value)),
                "deploy/it.yaml": text(config_map("it", value)),
            },
        )

        async def reached(value: str = value) -> bool:
            return await _value(home.shop, "beside") == value

        await until("the source beside it to apply the commit", reached)
    assert await _value(home.shop, "it") == ""
    await home.shop.apply(git_source(url, suspend=False))

    async def caught_up() -> bool:
        return await _value(home.shop, "it") == "2"

    await until("the newest commit to be applied", caught_up)


def config_map(name: str, value: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


async def _value(shop: Shop, name: str) -> str:
    try:
        return str((await shop.get(CONFIG_MAPS, name))["data"]["value"])
    except ApiError:
        return ""


async def test_git_11_scenario_11_a_newer_commit_takes_the_place_of_a_canary(home: Home) -> None:
    v2 = await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    async with Chronicle.of(home.shop) as told:
        await home.push("v3", manifests.rollout("shop:v3"))

        async def third() -> bool:
            images = await home.shop.images()
            return "shop:v3" in images and await home.shop.weight() == 50

        await until("the third version at 50 %", third)
    assert told.broken() == []
    assert told.weights() == [50, 0, 50]
    await home.note(v2, "Superseded")

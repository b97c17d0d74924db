"""What somebody changes beside Git is changed back, or told; what is not Git's to decide is left alone."""

from typing import Any

import manifests
import pytest
from home import ROLLOUT, Home, home
from manifests import CANARY, NAME, STABLE, Manifest
from repository import git_source, text
from stage import GIT_SOURCES, ROLLOUTS, ROUTES, Shop, until

from rollout.api.status import Phase
from rollout.gitops.desired import APPLY, IF_NOT_PRESENT
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, SERVICES

__all__ = ["home"]  # a fixture


def config_map(name: str, value: str = "git", **annotations: str) -> Manifest:
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value, "b": "git"}}


async def edit(shop: Shop, patch: pytest.MonkeyPatch, what: str, *rules: str) -> None:
    """`kubectl edit` by somebody who types what a sed script says."""
    with patch.context() as editor:
        script = " ".join(f"-e '{rule}'" for rule in rules)
        editor.setenv("KUBE_EDITOR", f"sed -i {script}")
        await shop.kubectl("edit", what)


async def holds(shop: Shop, name: str, data: dict[str, str]) -> None:
    async def reached() -> bool:
        try:
            return bool((await shop.get(CONFIG_MAPS, name))["data"] == data)
        except ApiError:
            return False

    await until(f"{name} to hold {data}", reached)


async def test_git_19_what_is_edited_by_hand_is_undone_and_told_with_field_and_manager(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = f"rollouts.progressive.delivery/{NAME}"
    await edit(
        home.shop, monkeypatch, rollout, "s/image: shop:v1/image: shop:v9/", "s/replicas: 2/replicas: 7/"
    )
    told = await home.shop.told("DriftCorrected", "image")
    assert "spec.template.spec.containers[name=shop].image by kubectl-edit" in told
    assert "spec.replicas by kubectl-edit" in told

    async def restored() -> bool:
        spec = (await home.shop.get(ROLLOUTS))["spec"]
        image = spec["template"]["spec"]["containers"][0]["image"]
        return (image, spec["replicas"]) == ("shop:v1", 2)

    await until("Git's version and size", restored)
    await edit(
        home.shop, monkeypatch, f"service/{STABLE}", "s/^  name: shop-stable/&\\n  labels: {team: pirates}/"
    )
    assert "metadata.labels.team by kubectl-edit" in await home.shop.told("DriftCorrected", "labels")

    async def unlabelled() -> bool:
        return not (await home.shop.get(SERVICES, STABLE))["metadata"].get("labels")

    await until("the label to go", unlabelled)
    await home.shop.serving("shop:v1")
    await home.shop.annotate("pause", "people may still speak to us")
    assert "annotations" not in " ".join(message for _, message in await home.shop.events())


async def test_git_16_beside_a_bad_commit_the_last_good_one_is_kept_and_the_next_clears_it(
    home: Home,
) -> None:
    bad = await home.repository.commit("a slip", {"deploy/slip.yaml": "kind: [\n"})
    assert "deploy/slip.yaml:2:1" in (await home.refused(bad))["message"]
    await home.shop.patch(SERVICES, STABLE, {"spec": {"ports": [{"port": 80, "targetPort": 9}]}})
    await home.shop.delete(SERVICES, CANARY)

    async def restored() -> bool:
        try:
            ports = (await home.shop.get(SERVICES, STABLE))["spec"]["ports"]
            return ports[0]["targetPort"] == 8080 and bool(await home.shop.get(SERVICES, CANARY))
        except ApiError:
            return False

    await until("both Services as Git has them", restored)
    await home.shop.told("DriftCorrected", "was deleted")
    assert (await home.condition("Ready"))["reason"] == "MalformedManifest"
    await home.applied(await home.repository.commit("mended", {"deploy/slip.yaml": None}))


async def test_git_20_a_weight_and_a_filter_written_by_hand_mid_canary_are_undone(home: Home) -> None:
    route = manifests.route()
    header = {"set": [{"name": "x-shop", "value": "git"}]}
    route["spec"]["rules"][0]["filters"] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": header}
    ]
    await home.push("v2", manifests.rollout("shop:v2"), traffic=(*manifests.traffic()[:2], route))
    await home.shop.paused(50)
    at = "/spec/rules/0"
    await home.shop.patch(
        ROUTES,
        NAME,
        [
            {"op": "replace", "path": f"{at}/backendRefs/1/weight", "value": 900},
            {"op": "replace", "path": f"{at}/filters/0/requestHeaderModifier/set/0/value", "value": "mine"},
        ],
    )

    async def restored() -> bool:
        rule = (await home.shop.get(ROUTES))["spec"]["rules"][0]
        kept = rule["filters"][0]["requestHeaderModifier"]["set"][0]["value"] == "git"
        return kept and await home.shop.weight() == 50

    await until("the step's weight and Git's filter", restored)
    assert (await home.shop.status()).phase is Phase.PAUSED


async def test_git_21_replicas_that_an_autoscaler_sets_are_never_fought(home: Home) -> None:
    scaler: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": NAME},
        "spec": {
            "maxReplicas": 9,
            "scaleTargetRef": {"apiVersion": manifests.API, "kind": "Rollout", "name": NAME},
        },
    }
    await home.applied(await home.repository.commit("scaled", {"deploy/hpa.yaml": text(scaler)}))
    assert f"Rollout {home.shop.namespace}/{NAME}" in await home.shop.told("ReplicasIgnored")
    name = f"rollouts.progressive.delivery/{NAME}"
    await home.shop.kubectl("scale", name, "--replicas=5")
    await home.push("the same size, another revision limit", manifests.rollout(revisionHistoryLimit=3))

    async def limited() -> bool:
        return (await home.shop.get(ROLLOUTS))["spec"].get("revisionHistoryLimit") == 3

    await until("the other field", limited)
    assert (await home.shop.get(ROLLOUTS))["spec"]["replicas"] == 5
    bare = {ROLLOUT: text(manifests.rollout(replicas=None)), "deploy/hpa.yaml": None}
    await home.applied(await home.repository.commit("Git says nothing of a size", bare))
    assert (await home.shop.get(ROLLOUTS))["spec"]["replicas"] == 5
    assert "DriftCorrected" not in await home.shop.reasons()


async def test_kinds_that_are_not_followed_are_compared_once_an_interval_but_for_what_is_ignored(
    home: Home,
) -> None:
    ignore = [{"paths": ["/data/b"], "target": {"kind": "ConfigMap", "name": "ignored"}}]
    await home.shop.apply(git_source(home.repository.url, driftInterval="1s", ignore=ignore))
    files = {
        "deploy/kept.yaml": text(config_map("kept")),
        "deploy/ignored.yaml": text(config_map("ignored")),
        "deploy/once.yaml": text(config_map("once", **{APPLY: IF_NOT_PRESENT})),
    }
    await home.applied(await home.repository.commit("three settings", files))
    mine = {"data": {"a": "mine", "b": "mine"}}
    for name in ("once", "ignored", "kept"):
        await home.shop.patch(CONFIG_MAPS, name, mine)
    await holds(home.shop, "kept", {"a": "git", "b": "git"})
    await holds(home.shop, "ignored", {"a": "git", "b": "mine"})
    await holds(home.shop, "once", {"a": "mine", "b": "mine"})
    await home.shop.delete(CONFIG_MAPS, "kept")
    await holds(home.shop, "kept", {"a": "git", "b": "git"})
    changed = text(config_map("ignored", "new"))
    await home.applied(await home.repository.commit("news", {"deploy/ignored.yaml": changed}))
    await holds(home.shop, "ignored", {"a": "new", "b": "mine"})


async def test_drift_is_told_alone_where_that_is_asked_for_and_once(home: Home) -> None:
    url = home.repository.url
    await home.shop.apply(git_source(url, driftInterval="1s", driftPolicy="Detect"))
    await home.applied(await home.repository.commit("a setting", {"deploy/a.yaml": text(config_map("a"))}))
    await home.shop.patch(CONFIG_MAPS, "a", {"data": {"a": "mine"}})
    assert "ConfigMap" in await home.shop.told("DriftDetected", "data.a")
    await _drifted(home, "True")
    assert (await home.condition("Ready"))["status"] == "True"
    assert (await home.shop.get(CONFIG_MAPS, "a"))["data"]["a"] == "mine"
    assert (await home.shop.reasons()).count("DriftDetected") == 1
    await home.shop.patch(GIT_SOURCES, NAME, {"spec": {"driftPolicy": "Correct"}})
    await holds(home.shop, "a", {"a": "git", "b": "git"})
    await _drifted(home, "")


async def _drifted(home: Home, value: str) -> None:
    async def reached() -> bool:
        return (await home.condition("Drifted")).get("status", "") == value

    await until(f"Drifted={value}", reached)


async def test_an_object_of_two_sources_is_refused_to_the_second_until_the_first_lets_go(home: Home) -> None:
    both = {
        "deploy/shared.yaml": text(config_map("shared")),
        "beside/shared.yaml": text(config_map("shared")),
    }
    await home.applied(await home.repository.commit("twice", both))
    beside = git_source(home.repository.url, path="beside")
    await home.shop.apply({**beside, "metadata": {"name": "beside"}})

    async def reason() -> str:
        status = (await home.shop.get(GIT_SOURCES, "beside")).get("status") or {}
        said = {each["type"]: each for each in status.get("conditions") or ()}
        return str(said["Ready"]["message"]) if "Ready" in said else ""

    message = str(await until("the second to be heard", reason))
    assert f"the GitSource {home.shop.namespace}/{NAME} holds it, too" in message
    assert "beside/shared.yaml:4:3" in message
    await home.applied(await home.repository.commit("once", {"deploy/shared.yaml": None}))

    async def taken() -> bool:
        return (await reason()).endswith("is applied") or "changed ConfigMap" in await reason()

    await until("the second to hold it", taken)
    await holds(home.shop, "shared", {"a": "git", "b": "git"})
    assert "DriftCorrected" not in await home.shop.reasons()

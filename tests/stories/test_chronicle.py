"""The checker of invariants finds each damage: what it is for is seen to fail here."""

from dataclasses import replace
from typing import Any

import manifests
import pytest
from chronicle import HASH, Chronicle, World, entries
from manifests import CANARY, STABLE, Manifest

Told = tuple[str, Manifest]


def route(canary: int) -> Told:
    found = manifests.route()
    refs = found["spec"]["rules"][0]["backendRefs"]
    refs[0]["weight"], refs[1]["weight"] = 100 - canary, canary
    return "httproutes", found


def service(name: str, revision: str) -> Told:
    found = manifests.service(name)
    found["spec"]["selector"] = {"app": "shop", **({HASH: revision} if revision else {})}
    return "services", found


def reaches(name: str, revision: str, count: int) -> Told:
    ends = [
        {"conditions": {"ready": True}, "targetRef": {"name": f"shop-{revision}-{n:05}"}}
        for n in range(count)
    ]
    labels = {"kubernetes.io/service-name": name}
    return "endpointslices", {"metadata": {"name": f"{name}-x", "labels": labels}, "endpoints": ends}


def pods(revision: str, count: int) -> Told:
    labels = {HASH: revision}
    return "replicasets", {
        "metadata": {"name": f"shop-{revision}", "labels": labels},
        "spec": {"replicas": count},
    }


def recorded(weight: int, stable: str = "old") -> Told:
    status: dict[str, Any] = {"canary": {"desiredWeight": weight}, "stableRS": stable}
    return "rollouts", {**manifests.rollout(replicas=2), "status": status}


AT_REST = (
    recorded(0),
    route(0),
    service(STABLE, "old"),
    service(CANARY, "old"),
    reaches(STABLE, "old", 2),
    reaches(CANARY, "old", 2),
    pods("old", 2),
)
AT_HALF = (
    *AT_REST,
    pods("new", 1),
    service(CANARY, "new"),
    reaches(CANARY, "new", 1),
    recorded(50),
    route(50),
)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        pytest.param((*AT_HALF, recorded(0), route(0), service(CANARY, "old")), [], id="a good story"),
        pytest.param((*AT_HALF, route(60)), ["I3", "I4"], id="weight written before it was recorded"),
        pytest.param(
            (
                *AT_REST,
                pods("new", 1),
                service(CANARY, "new"),
                reaches(CANARY, "new", 0),
                recorded(50),
                route(50),
            ),
            ["I4"],
            id="traffic before pods",
        ),
        pytest.param((*AT_HALF, recorded(100), route(100)), ["I4"], id="all traffic on half of the pods"),
        pytest.param((*AT_HALF, service(CANARY, "old")), ["I4"], id="the canary's selector under traffic"),
        pytest.param((*AT_HALF, service(STABLE, "")), ["I4"], id="Git's selector written raw"),
        pytest.param((*AT_HALF, pods("new", 0)), ["I2"], id="pods removed from under traffic"),
        pytest.param(
            (*AT_HALF, recorded(0), route(0), pods("new", 0)), ["I2"], id="pods removed before they drained"
        ),
        pytest.param((*AT_HALF, pods("old", 1)), ["I5"], id="stable below what it may have to carry"),
        pytest.param((*AT_HALF, reaches(STABLE, "old", 0), route(0)), ["I1"], id="stable without endpoints"),
    ],
)
def test_each_damage_is_found(told: tuple[Told, ...], said: list[str]) -> None:
    found = Chronicle(list(entries(*told))).broken()
    assert [words.partition(":")[0] for words in found] == said, found


@pytest.mark.parametrize(
    ("left", "said"),
    [
        pytest.param(1, [], id="as many as its share needs are left"),
        pytest.param(0, ["I2"], id="pods removed from under traffic"),
    ],
)
def test_a_selector_that_somebody_opens_takes_no_share_away(left: int, said: list[str]) -> None:
    told = list(entries(*AT_HALF, pods("new", 2), service(CANARY, ""), pods("new", left)))
    told[-2] = replace(told[-2], ours=False)
    world = World()
    found = [words for entry in told for words in world.becomes(entry)]
    assert [words.partition(":")[0] for words in found] == said, found


def test_weights_are_told_in_their_order() -> None:
    assert Chronicle(list(entries(*AT_HALF, recorded(0), route(0)))).weights() == [0, 50, 0]

"""The invariants that a run reads off the watches: one history for each that breaks it."""

from collections.abc import Sequence
from typing import Any

import pytest

from conformance.api import PODS, REPLICA_SETS, ROLLOUTS, ROUTES, SERVICES, SLICES, Resource
from conformance.history import broken
from conformance.manifests import CANARY, HASH, NAME, STABLE
from conformance.mirror import Entry

Told = tuple[Resource, dict[str, Any]]


def rollout(recorded: int, **meta: Any) -> Told:
    status = {"stableRS": "old", "canary": {"desiredWeight": recorded}}
    return ROLLOUTS, {"metadata": {"name": NAME, **meta}, "spec": {"replicas": 2}, "status": status}


def route(canary: int) -> Told:
    refs = [{"name": STABLE, "weight": 100 - canary}, {"name": CANARY, "weight": canary}]
    return ROUTES, {"metadata": {"name": NAME}, "spec": {"rules": [{"backendRefs": refs}]}}


def service(name: str, revision: str) -> Told:
    return SERVICES, {"metadata": {"name": name}, "spec": {"selector": {HASH: revision} if revision else {}}}


def pod(name: str, revision: str) -> Told:
    return PODS, {"metadata": {"name": name, "labels": {HASH: revision}}}


def behind(service: str, *pods: str) -> Told:
    endpoints = [{"conditions": {"ready": True}, "targetRef": {"name": each}} for each in pods]
    meta = {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}}
    return SLICES, {"metadata": meta, "endpoints": endpoints}


def sized(revision: str, replicas: int) -> Told:
    meta = {"name": f"shop-{revision}", "labels": {HASH: revision}}
    return REPLICA_SETS, {"metadata": meta, "spec": {"replicas": replicas}}


def entries(*told: Told) -> list[Entry]:
    return [Entry(at, kind.plural, found) for at, (kind, found) in enumerate(told, 1)]


PREPARED: Sequence[Told] = (
    *(sized("old", 2), pod("a", "old"), pod("b", "old"), sized("new", 1), pod("c", "new")),
    *(service(STABLE, "old"), behind(STABLE, "a", "b"), service(CANARY, "new"), behind(CANARY, "c")),
    *(route(0), rollout(50)),
)
UNDER_WAY = (*PREPARED, route(50))


def test_a_canary_that_is_raised_as_recorded_to_ready_pods_breaks_nothing() -> None:
    assert broken(entries(*UNDER_WAY)) == []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param((*PREPARED, route(60)), "I3: the canary is raised to 60 %", id="more than recorded"),
        pytest.param(
            (*PREPARED, behind(CANARY), route(50)), "I4: the canary is raised to 50 %", id="no endpoint"
        ),
        pytest.param(
            (*PREPARED, behind(CANARY, "a"), route(50)), "its Service reaches {'old': 1}", id="others' pods"
        ),
        pytest.param(
            (*PREPARED, rollout(100), route(100)), "with 1 of 2 pods", id="fewer pods than the weight needs"
        ),
        pytest.param(
            (*UNDER_WAY, service(CANARY, "old")),
            "I4: shop-canary turns from new to old",
            id="canary's selector",
        ),
        pytest.param(
            (*UNDER_WAY, service(STABLE, "")), "I4: shop-stable turns from old to all", id="stable's selector"
        ),
        pytest.param((*UNDER_WAY, sized("new", 0)), "I2: new is sized from 1 to 0", id="the canary's pods"),
        pytest.param((*UNDER_WAY, sized("old", 1)), "I5: stable is sized from 2 to 1", id="the stable pods"),
        pytest.param(
            (*UNDER_WAY, behind(STABLE), route(0)), "I1: stable is raised to 100 %", id="back to nobody"
        ),
        pytest.param(
            (*UNDER_WAY, rollout(50, deletionTimestamp="x", finalizers=["y"]), service(CANARY, "")),
            "I4: shop-canary turns from new to all pods",
            id="a deletion that forgets the traffic",
        ),
    ],
)
def test_what_breaks_an_invariant_is_named(told: Sequence[Told], words: str) -> None:
    found = broken(entries(*told))
    assert any(words in each for each in found), found


def test_what_others_write_breaks_nothing_of_the_operators() -> None:
    assert broken(entries(*PREPARED, route(60)), [range(12, 13)]) == []


def test_what_happens_when_the_rollout_is_gone_is_nobodys_fault() -> None:
    told = (*UNDER_WAY, rollout(50, deletionTimestamp="x"), sized("new", 0), sized("old", 0))
    assert broken(entries(*told)) == []

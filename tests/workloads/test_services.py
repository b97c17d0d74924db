"""Services and whom they reach."""

from copy import deepcopy
from typing import Any

import jsonpatch
import pytest

from rollout.workloads import endpoints, services

HASH = "rollouts-pod-template-hash"


def service(revision: str | None = None, **selector: str) -> dict[str, Any]:
    chosen = dict(selector or {"app": "checkout"}) | ({HASH: revision} if revision else {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "stable", "namespace": "shop", "resourceVersion": "7", "labels": {"a": "b"}},
        "spec": {"selector": chosen, "ports": [{"port": 80}], "clusterIP": "10.0.0.1"},
    }


@pytest.mark.parametrize(
    ("before", "wanted", "selector"),
    [
        pytest.param(service(), "v1", {"app": "checkout", HASH: "v1"}, id="adopted"),
        pytest.param(service("v1"), "v2", {"app": "checkout", HASH: "v2"}, id="moved on"),
        pytest.param(service("v1"), "v1", {"app": "checkout", HASH: "v1"}, id="already there"),
        pytest.param(service("v1"), None, {"app": "checkout"}, id="given back"),
        pytest.param(service(), None, {"app": "checkout"}, id="never had one"),
    ],
)
def test_render_and_patch_name_the_revision_and_change_nothing_else(
    before: dict[str, Any], wanted: str | None, selector: dict[str, str]
) -> None:
    kept = deepcopy(before)
    after = services.render(before, wanted)
    assert after == {**kept, "spec": {**kept["spec"], "selector": selector}}
    operations = services.patch(before, wanted)
    assert jsonpatch.apply_patch(before, list(operations)) == after
    assert before == kept
    assert services.selected_hash(after) == wanted
    assert bool(operations) == (after != before)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**service("v1"), "metadata": {"resourceVersion": "8"}}, id="another resourceVersion"),
        pytest.param(service("v3"), id="another revision"),
        pytest.param(service("v1", app="else"), id="another selector"),
    ],
)
def test_the_patch_fails_on_any_other_object(other: dict[str, Any]) -> None:
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(other, list(services.patch(service("v1"), "v2")))


@pytest.mark.parametrize(
    ("live", "recorded", "chosen"),
    [
        pytest.param(service("v2"), "v1", "v2", id="the live revision stays"),
        pytest.param(service(), "v1", "v1", id="where somebody wiped it, the recorded one"),
        pytest.param(None, "v1", "v1", id="where there is no Service, the recorded one"),
        pytest.param(None, None, None, id="before adoption none"),
    ],
)
def test_compose_puts_the_revision_into_gits_service(
    live: dict[str, Any] | None, recorded: str | None, chosen: str | None
) -> None:
    git = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stable", "namespace": "shop"}}
    git["spec"] = {"selector": {"app": "checkout-2"}, "ports": [{"port": 81}]}
    composed = services.compose(git, live, recorded)
    assert services.selected_hash(composed) == chosen
    assert composed["spec"]["selector"]["app"] == "checkout-2"
    assert composed["spec"]["ports"] == [{"port": 81}]
    assert composed["metadata"].get("resourceVersion") == ("7" if live else None)


LABELS = {"app": "checkout", "tier": "web"}


@pytest.mark.parametrize(
    ("made", "says", "remedy"),
    [
        pytest.param(None, "does not exist", "create it", id="a missing Service"),
        pytest.param(
            {**service(), "spec": {"externalName": "x"}}, "no selector", "give it", id="no selector"
        ),
        pytest.param(
            {**service(), "spec": {"selector": {HASH: "v1"}}}, "no selector", "give it", id="our hash alone"
        ),
        pytest.param(service(app="other"), "selects app=other", "spec.template", id="other pods"),
    ],
)
def test_problems_name_the_field_what_is_wrong_and_the_remedy(
    made: dict[str, Any] | None, says: str, remedy: str
) -> None:
    (found,) = services.problems(made, "stable", LABELS, "spec.strategy.canary.stableService")
    assert found.path == "spec.strategy.canary.stableService"
    assert "'stable'" in found.message
    assert says in found.message
    assert remedy in found.remedy


def test_no_problem_with_a_service_that_selects_our_pods_of_one_revision() -> None:
    assert services.problems(service("v1"), "stable", LABELS, "spec") == ()


def endpoint(pod: str | None, **conditions: bool | None) -> dict[str, Any]:
    target = {"targetRef": {"kind": "Pod", "name": pod}} if pod else {}
    return {"addresses": ["10.0.0.9"], "conditions": conditions, **target}


def endpoint_slice(
    *members: dict[str, Any], of: str = "stable", name: str = "stable-x"
) -> endpoints.EndpointSlice:
    metadata = {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": of}}
    return endpoints.read({"metadata": metadata, "endpoints": list(members), "addressType": "IPv4"})


HASHES = {"a": "v1", "b": "v1", "c": "v2"}


@pytest.mark.parametrize(
    ("slices", "ready"),
    [
        pytest.param([], (), id="no slice"),
        pytest.param([endpoint_slice(endpoint("a", ready=True))], (("v1", 1),), id="one ready pod"),
        pytest.param([endpoint_slice(endpoint("a"))], (("v1", 1),), id="silence about ready means ready"),
        pytest.param([endpoint_slice(endpoint("a", ready=False))], (), id="not ready"),
        pytest.param([endpoint_slice(endpoint("a", ready=True, terminating=True))], (), id="on its way out"),
        pytest.param(
            [endpoint_slice(endpoint("a", ready=True), endpoint("c", ready=True))],
            (("v1", 1), ("v2", 1)),
            id="two revisions",
        ),
        pytest.param(
            [
                endpoint_slice(endpoint("a", ready=True)),
                endpoint_slice(endpoint("a", ready=True), name="stable-ipv6"),
            ],
            (("v1", 1),),
            id="a pod in two slices counts once",
        ),
        pytest.param([endpoint_slice(endpoint("z", ready=True))], (("", 1),), id="a pod that is not ours"),
        pytest.param([endpoint_slice(endpoint(None, ready=True))], (("", 1),), id="an address without a pod"),
        pytest.param([endpoint_slice(endpoint("a", ready=True), of="canary")], (), id="another Service's"),
    ],
)
def test_ready_endpoints_are_counted_by_revision(
    slices: list[endpoints.EndpointSlice], ready: tuple[tuple[str, int], ...]
) -> None:
    assert endpoints.ready_by_hash(slices, "stable", HASHES) == ready


def test_a_turn_sees_whom_the_service_reaches() -> None:
    slices = [endpoint_slice(endpoint("a", ready=True), endpoint("b", ready=True))]
    seen = services.read(service("v1"), slices, HASHES, settled=True)
    assert seen.serves_only("v1")
    assert (seen.name, seen.hash, seen.ready_of("v1"), seen.resource_version, seen.settled) == (
        "stable",
        "v1",
        2,
        "7",
        True,
    )

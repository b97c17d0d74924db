"""Git's Services and routes never undo what stands in traffic."""

import json
from datetime import UTC, datetime
from typing import Any

from rollout.git.revision import Revision
from rollout.gitops import composing
from rollout.observe.reading import Reading, read
from rollout.workloads.labels import HASH_LABEL

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rollout(**status: Any) -> Reading:
    spec = {
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": []}},
        "strategy": {
            "canary": {
                "stableService": "shop-stable",
                "canaryService": "shop-canary",
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
            }
        },
    }
    return read(
        {
            "apiVersion": "progressive.delivery/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": spec,
            "status": status,
        },
        NOW,
    )


def service(name: str, revision: str = "") -> dict[str, Any]:
    selector = {"app": "shop", **({HASH_LABEL: revision} if revision else {})}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "7"},
        "spec": {"selector": selector},
    }


def route(stable: int, canary: int, hostname: str = "old") -> dict[str, Any]:
    backends = [
        {"name": "shop-stable", "port": 80, "weight": stable},
        {"name": "shop-canary", "port": 80, "weight": canary},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop", "resourceVersion": "9"},
        "spec": {"hostnames": [hostname], "rules": [{"backendRefs": backends}]},
    }


def weights(manifest: dict[str, Any]) -> list[int]:
    return [ref["weight"] for ref in manifest["spec"]["rules"][0]["backendRefs"]]


def test_a_service_keeps_the_hash_that_is_live_when_git_applies_its_own() -> None:
    live = service("shop-canary", "v2hash")
    composed = composing.compose(service("shop-canary"), live, [rollout(stableRS="v1hash")])
    assert composed["spec"]["selector"] == {"app": "shop", HASH_LABEL: "v2hash"}
    assert composed["metadata"]["resourceVersion"] == "7"


def test_a_service_that_is_gone_comes_back_with_the_recorded_hash() -> None:
    composed = composing.compose(service("shop-stable"), None, [rollout(stableRS="v1hash")])
    assert composed["spec"]["selector"][HASH_LABEL] == "v1hash"


def test_a_route_keeps_the_live_split_and_takes_gits_other_changes() -> None:
    under_way = rollout(canary={"desiredWeight": 25})
    composed = composing.compose(route(100, 0, hostname="new"), route(75, 25), [under_way])
    assert (weights(composed), composed["spec"]["hostnames"]) == ([75, 25], ["new"])


def test_a_stale_route_of_git_never_raises_the_canary_above_what_is_recorded() -> None:
    rolled_back = rollout(canary={"desiredWeight": 0})
    assert weights(composing.compose(route(50, 50), route(50, 50), [rolled_back])) == [100, 0]


def test_only_what_a_rollout_names_is_composed() -> None:
    reading = rollout()
    named = [("Service", "shop-stable"), ("Service", "other"), ("HTTPRoute", "shop"), ("HTTPRoute", "other")]
    assert [composing.uses(reading, *each) for each in named] == [True, False, True, False]


def test_the_same_content_keeps_the_commit_that_brought_it() -> None:
    wanted = {"kind": "Rollout", "metadata": {"name": "shop"}}
    first = Revision("main", "a" * 40, "bump", "dev", NOW)
    live = composing.with_source(wanted, None, "shop", first, "shop.yaml", "blob1")
    second = Revision("main", "b" * 40, "unrelated", "dev", NOW)
    same = composing.with_source(wanted, live, "shop", second, "shop.yaml", "blob1")
    other = composing.with_source(wanted, live, "shop", second, "shop.yaml", "blob2")
    commits = [
        json.loads(each["metadata"]["annotations"]["progressive.delivery/source"])["commit"]
        for each in (live, same, other)
    ]
    assert commits == ["a" * 40, "a" * 40, "b" * 40]

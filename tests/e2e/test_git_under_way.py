"""A commit changes the very Service and route that a canary runs on: Git has its way, and the split stays."""

import pytest
from e2e_oracles import differs, weight_of
from e2e_stage import CANARY, NAME, STABLE, Shop

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

HASH = "rollouts-pod-template-hash"
WEIGHT = 25
LABELS = {"team": "checkout"}
SEEN_BY = {"name": "X-Seen", "value": "yes"}
ENOUGH = 2000
"""Requests after the change, enough to see a wrong split."""


def test_services_and_route_applied_again_by_git_keep_hash_and_split(shop: Shop) -> None:
    shop.open("v1")
    shop.canary_strategy["steps"] = [{"setWeight": WEIGHT}, {"pause": {}}]
    shop.commit("bump shop to v2, pause", "v2")
    shop.until(lambda: shop.phase == "Paused" and shop.report.requests("v2") > 50, 60, "v2 pauses")
    hashes = {STABLE: shop.status["stableRS"], CANARY: shop.status["currentPodHash"]}
    assert len(set(hashes.values())) == 2

    before, began = shop.report, shop.report.at
    other_host = f"other.{shop.host}"
    for name in hashes:
        shop.objects[f"Service/{name}"]["metadata"]["labels"] = LABELS.copy()
    route = shop.objects[f"HTTPRoute/{NAME}"]["spec"]
    route["hostnames"].append(other_host)
    route["rules"][0]["filters"] = [
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [SEEN_BY]}}
    ]
    shop.commit("label the Services, another host and a header for the route")
    shop.until(lambda: all(shop.labels(name) == LABELS for name in hashes), 20, "both Services are as in Git")
    shop.until(lambda: shop.stage.do(shop.witness.answered(other_host)), 10, "the proxy knows the other host")
    applied = shop.report.sent
    shop.until(lambda: shop.report.sent > applied + ENOUGH, 20, "users go on")

    assert (
        shop.witness.last("httproutes", NAME)["spec"]["rules"][0]["filters"] == route["rules"][0]["filters"]
    )
    for name, expected in hashes.items():
        selectors = [
            each.object["spec"]["selector"] for each in shop.witness.versions("services", name, began)
        ]
        assert {selector.get(HASH) for selector in selectors} == {expected}
    routes = shop.witness.versions("httproutes", NAME, began)
    assert {weight_of(each.object, CANARY) for each in routes} == {WEIGHT}
    after = shop.report
    to_canary, to_stable = (after.requests(each) - before.requests(each) for each in ("v2", "v1"))
    assert not differs(to_canary, to_canary + to_stable, WEIGHT), f"{to_canary} to v2, {to_stable} to v1"

    shop.annotate("promote", "looks good")
    shop.until(lambda: shop.at_rest("v2"), 40, "v2 has come to its end")
    assert shop.newest()["verdict"] == "Promoted"
    assert shop.lost() == {}
    assert shop.over_allowance() == []

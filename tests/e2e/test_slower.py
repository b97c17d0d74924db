"""Latency on real parts: a version that answers slower is rolled back by its whole histogram."""

from copy import deepcopy

import pytest
from e2e_stage import Shop

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

LATENCY = {
    "name": "latency",
    "interval": "1s",
    "compare": {
        "histogram": {"buckets": "http_request_duration_seconds_bucket", "slo": ["100ms"]},
        "unacceptable": {"relative": "100%", "absolute": "1pp"},
        "warmUp": "0s",
    },
}


def test_a_slower_version_is_rolled_back_by_latency_while_the_route_is_verified(shop: Shop) -> None:
    metrics = shop.objects["AnalysisTemplate/errors"]["spec"]["metrics"]
    metrics.append({**LATENCY, "provider": deepcopy(metrics[0]["provider"])})
    shop.canary_strategy["steps"] = [{"setWeight": 25}, {"judge": {"minDuration": "3s", "maxDuration": "2m"}}]
    shop.open("v1")
    commit = shop.commit("bump shop to v2", "v2-slow-50ms")
    shop.until(lambda: shop.at_rest("v2-slow-50ms"), 150, "v2 has come to its end")

    entry = shop.newest()
    assert (entry["verdict"], entry["commit"]) == ("RolledBack", commit)
    assert "latency: canary" in entry["reason"]
    assert "p99" in entry["reason"]
    latency = next(each for each in shop.status["evidence"] if each["metric"] == "latency")
    assert latency["canary"]["perPod"] > 0
    assert not latency.get("unequalLoad")
    assert not shop.condition("Misrouted")
    assert shop.lost() == {}

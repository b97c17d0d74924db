"""The main job: a commit is promoted by its metrics, another rolled back by them, a third stopped by hand."""

from datetime import datetime

import pytest
from e2e_oracles import carried, changes, differs, weight_of
from e2e_replaying import drawn, replayed
from e2e_stage import CANARY, NAME, STABLE, Shop, is_true

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

SETTLED_S = 1.0
STEPS = (5, 25, 50)
SLOW_TO_BE_READY_S = 4
"""Longer than the operator waits for anything else: weight given to pods that are not ready is seen."""


def test_a_commit_is_promoted_step_by_step_and_no_request_is_lost(shop: Shop) -> None:
    shop.open("v1")
    began = shop.report.at
    shop.pod_spec["containers"][0]["readinessProbe"]["initialDelaySeconds"] = SLOW_TO_BE_READY_S
    commit = shop.commit("bump shop to v2, slow to be ready", "v2")
    shop.until(lambda: shop.at_rest("v2"), 150, "v2 has come to its end")

    assert (shop.newest()["verdict"], shop.newest()["commit"]) == ("Promoted", commit)
    assert shop.phase == "Healthy"
    assert shop.newest()["reason"] == "every guardrail was proved not worse"
    shop.until(lambda: shop.note_says(commit, "Promoted"), 15, "the verdict is noted on the commit")
    shop.until(lambda: old_pods_are_gone(shop, "v1"), 30, "the old version is taken down")
    assert shop.lost() == {}

    routes = shop.witness.versions("httproutes", NAME, began)
    assert changes(weight_of(each.object, CANARY) for each in routes) == [0, *STEPS, 100, 0]
    assert shop.over_allowance() == []
    for weight in STEPS:
        since = next(each.at for each in routes if weight_of(each.object, CANARY) == weight)
        until = next(
            each.at for each in routes if each.at > since and weight_of(each.object, CANARY) != weight
        )
        count, total = carried(
            shop.witness.proxy, since + SETTLED_S, until, shop.service(STABLE), shop.service(CANARY)
        )
        assert total > 0
        assert not differs(count, total, weight), f"{count} of {total} at {weight} %"


def old_pods_are_gone(shop: Shop, version: str) -> bool:
    newest = {each.name: each for each in shop.witness.seen["pods"]}
    own = [
        each for each in newest.values() if each.object["spec"]["containers"][0]["image"] == f"shop:{version}"
    ]
    return bool(own) and all(each.gone for each in own)


def test_a_version_that_fails_six_percent_is_rolled_back_by_evidence(shop: Shop) -> None:
    shop.open("v1")
    commit = shop.commit("bump shop to v2", "v2-6pct")
    shop.until(lambda: shop.at_rest("v2-6pct"), 120, "v2 has come to its end")
    shop.until(lambda: old_pods_are_gone(shop, "v2-6pct"), 30, "the canary is taken down")

    entry = shop.newest()
    assert (entry["verdict"], entry["commit"]) == ("RolledBack", commit)
    assert "worse" in entry["reason"]
    assert "errors: canary" in entry["reason"]
    assert shop.phase == "Degraded"
    assert shop.condition("RolledBack")
    assert shop.weight() == 0
    shop.until(lambda: shop.note_says(commit, "RolledBack"), 15, "the verdict is noted on the commit")

    decided = datetime.fromisoformat(entry["decidedAt"]).timestamp()
    last_answer = shop.report.last["v2-6pct"]
    print(f"the canary was silent {last_answer - decided:.2f} s after the deciding scrape")
    recorded = next(e.at for e in shop.witness.seen["rollouts"] if e.status.get("stage") == "RollingBack")
    routes = shop.witness.versions("httproutes", NAME)
    zero = next(e.at for e in routes if e.at >= recorded and weight_of(e.object, CANARY) == 0)
    ended = next(e.at for e in shop.witness.seen["rollouts"] if e.status.get("stage") == "Refused")
    assert decided < recorded <= zero < ended
    assert last_answer < ended, "the canary still answered when its end was told"
    assert last_answer < shop.scaled_down_at(entry["hash"]), "its pods were told to go while it answered"

    assert shop.lost() == {}
    assert shop.over_allowance() == []

    told = replayed(shop, entry["hash"])
    (errors,) = told["evidence"]
    # It looks at other moments, and a second less of a canary that lived for two may be all that there was.
    assert told["end"] in ("rolledBack", "unfinished"), f"the same samples say otherwise: {told}"
    least = 1 if told["end"] == "rolledBack" else 0
    assert least <= errors["canary"]["total"] <= shop.report.requests("v2-6pct"), told
    picture = drawn(shop)
    assert f"Canary {entry['hash']} against {shop.status['stableRS']}" in picture
    assert "rolled back after" in picture


def test_kubectl_annotate_stops_a_version_at_five_percent(shop: Shop) -> None:
    shop.open("v1")
    shop.canary_strategy["steps"] = [{"setWeight": 5}, {"pause": {}}]
    commit = shop.commit("bump shop to v2, pause at 5 %", "v2")
    shop.until(lambda: shop.phase == "Paused" and shop.report.requests("v2") > 20, 60, "v2 pauses at 5 %")
    assert shop.weight() == 5

    shop.annotate("abort", "it looks odd")
    shop.until(lambda: shop.at_rest("v2"), 30, "v2 has come to its end")
    assert (shop.newest()["verdict"], shop.newest()["commit"]) == ("Aborted", commit)
    assert "it looks odd" in shop.newest()["reason"]
    assert shop.phase == "Degraded"
    assert shop.weight() == 0
    assert shop.status["intent"] | {"action": "abort", "outcome": "Acted"} == shop.status["intent"]
    shop.until(lambda: shop.status["intent"]["state"] == "Cleared", 10, "the intent is cleared")
    assert "progressive.delivery/abort" not in shop.rollout["metadata"].get("annotations", {})
    shop.until(lambda: shop.note_says(commit, "Aborted"), 15, "the verdict is noted on the commit")
    shop.until(lambda: old_pods_are_gone(shop, "v2"), 30, "the canary is taken down")
    gone = shop.scaled_down_at(shop.newest()["hash"])
    assert shop.report.last["v2"] < gone, "its pods were told to go while it answered"

    assert shop.lost() == {}
    assert shop.over_allowance() == []


def test_two_lines_are_a_policy_where_the_proxy_is_a_known_one(shop: Shop) -> None:
    (metric,) = shop.objects["AnalysisTemplate/errors"]["spec"]["metrics"]
    metric["compare"] = {"preset": "errors"}
    shop.canary_strategy["steps"] = [{"setWeight": 25}, {"judge": {"minDuration": "3s", "maxDuration": "2m"}}]
    shop.open("v1")
    shop.commit("bump shop to v2", "v2-6pct")
    shop.until(lambda: shop.at_rest("v2-6pct"), 120, "v2 has come to its end")

    assert shop.newest()["verdict"] == "RolledBack"
    assert "errors: canary" in shop.newest()["reason"]
    (judged,) = shop.status["evidence"]
    assert judged["query"].startswith('traefik_service_requests_total{code=~"5.."} ; ')
    said = [is_true(each.status, "InvalidSpec") for each in shop.witness.seen["rollouts"] if each.status]
    assert changes(said) == [False], "nothing was amiss at any time"

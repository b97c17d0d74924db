"""Prometheus is gone for half a minute while a canary is judged: nothing moves, the clock stands still."""

import time

import pytest
from e2e_oracles import changes, weight_of
from e2e_stage import CANARY, NAME, Shop, is_true

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

OUTAGE_S = 30.0
LONGEST_S = 25
"""How long a judgement may take: less than the outage, so that it would end in it if its clock ran."""


def test_an_outage_of_prometheus_holds_the_rollout_and_its_clock(shop: Shop) -> None:
    shop.open("v1")
    judge = {"minDuration": "10s", "maxDuration": f"{LONGEST_S}s", "onInconclusive": "rollback"}
    shop.canary_strategy["steps"] = [{"setWeight": 50}, {"judge": judge}]
    commit = shop.commit("bump shop to v2", "v2")
    shop.until(lambda: judged(shop), 60, "v2 is judged by its first samples")

    prometheus = shop.stage.sandbox.prometheus
    assert prometheus is not None
    began = time.time()
    shop.stage.do(prometheus.stop())
    shop.until(lambda: shop.condition("AnalysisBlind"), 15, "it says that it is blind")
    shop.until(lambda: time.time() >= began + OUTAGE_S, OUTAGE_S, "the outage is over")
    ended = time.time()
    shop.stage.do(prometheus.start())

    during = [each for each in shop.witness.versions("rollouts", NAME, began) if each.at < ended]
    assert {(e.status["stage"], e.status["currentStepIndex"], e.status["verdict"]) for e in during} == {
        ("Stepping", 1, "Undecided")
    }
    routes = [each for each in shop.witness.versions("httproutes", NAME, began) if each.at < ended]
    assert {weight_of(each.object, CANARY) for each in routes} == {50}
    blind = changes(is_true(each.status, "AnalysisBlind") for each in during)
    assert blind == [False, True], "blind once and to the end of the outage"

    shop.until(lambda: shop.at_rest("v2"), 60, "v2 has come to its end")
    assert (shop.newest()["verdict"], shop.newest()["commit"]) == ("Promoted", commit)
    assert shop.newest()["reason"] == "every guardrail was proved not worse"
    assert not shop.condition("AnalysisBlind")
    assert shop.lost() == {}
    assert shop.over_allowance() == []


def judged(shop: Shop) -> bool:
    return any(each["canary"]["total"] > 0 for each in shop.status.get("evidence", ()))

"""Threshold metrics, as Argo Rollouts has them: they promote, roll back, pause and hold; over restarts."""

import asyncio
from pathlib import Path
from typing import Any

import manifests
import pytest
from crew import Crew
from manifests import Manifest
from prometheus_fake import FakePrometheus, Mode
from stage import RUNS, Shop, until

from rollout.api.status import Phase, Verdict
from rollout.sandbox.cluster import Sandbox

SUCCESS = 'shop:success:ratio{namespace="{{namespace}}",pod=~"shop-{{canary.hash}}-.+"}'


def template(prometheus: str, *metrics: Manifest, **spec: Any) -> Manifest:
    asked = [
        {"provider": {"prometheus": {"address": prometheus, "query": SUCCESS}}, "interval": "1s", **metric}
        for metric in metrics
    ]
    return {
        "apiVersion": manifests.API,
        "kind": "AnalysisTemplate",
        "metadata": {"name": "success"},
        "spec": {"metrics": asked, **spec},
    }


def judged_at_half(**analysis: Any) -> Any:
    asked = {"templates": [{"templateName": "success"}], **analysis}
    return {"steps": ({"setWeight": 50}, {"analysis": asked})}


async def results(shop: Shop) -> dict[str, Manifest]:
    """What the run of the whole rollout says of each threshold metric."""
    runs = [each for each in await shop.every(RUNS) if each["spec"]["role"] == "background"]
    found = runs[-1].get("status", {}).get("metricResults", ()) if runs else ()
    return {each["name"]: each for each in found}


async def test_a_good_version_is_promoted_by_as_many_measurements_as_its_arguments_ask_for(
    shop: Shop,
) -> None:
    metric = {
        "name": "success-rate",
        "count": "{{args.count}}",
        "interval": "{{args.every}}",
        "failureLimit": "{{args.count}}",
        "successCondition": "all(result, {# >= {{args.least}}})",
    }
    args = [{"name": "count"}, {"name": "every", "value": "1s"}, {"name": "least", "value": "0.95"}]
    kept = [{"metricName": "success.*", "limit": 2}]
    await shop.apply(template(shop.prometheus.url, metric, args=args, measurementRetention=kept))
    await shop.healthy(**judged_at_half(args=[{"name": "count", "value": "3"}]))
    await shop.set_image("shop:v2")
    await shop.serving("shop:v2")
    said = (await results(shop))["success-rate@1"]
    assert (said["phase"], said["count"], said["successful"]) == ("Successful", 3, 3)
    assert [each["value"] for each in said["measurements"]] == ["[0.99]", "[0.99]"]
    assert "shop-" in said["metadata"]["ResolvedPrometheusQuery"]
    assert (await shop.status()).history[-1].verdict is Verdict.PROMOTED


async def test_scenario_26_a_version_that_fails_its_condition_is_rolled_back_and_its_sibling_is_no_success(
    shop: Shop,
) -> None:
    failing = {"name": "success-rate", "count": 9, "failureLimit": 1, "successCondition": "result[0] >= 0.95"}
    sibling = {"name": "sibling", "count": 9, "successCondition": "len(result) > 0"}
    watched = {"name": "watched", "count": 9, "successCondition": "result[0] > 2"}
    dry = [{"metricName": "watch"}]
    await shop.apply(template(shop.prometheus.url, failing, sibling, watched, dryRun=dry))
    await shop.healthy(**judged_at_half())
    await shop.set_image("shop:bad")
    status = await shop.phase(Phase.DEGRADED)
    assert status.verdict is Verdict.ROLLED_BACK
    for words in ("failed its condition", "success-rate", "failureLimit", "[0.94]", "result[0] >= 0.95"):
        assert words in status.verdict_reason
    await shop.told("AnalysisFailed", "success-rate")
    await shop.weighs(0)

    async def ended() -> dict[str, Manifest]:
        found = await results(shop)
        return found if found["sibling@1"]["phase"] != "Running" else {}

    said = await until("the run to end", ended)
    assert {name: each["phase"] for name, each in said.items()} == {
        "success-rate@1": "Failed",
        "sibling@1": "Inconclusive",
        "watched@1": "Failed",
    }
    assert said["watched@1"]["dryRun"]
    phases = {run["spec"]["role"]: run["status"]["phase"] for run in await shop.every(RUNS)}
    assert phases == {"background": "Failed", "1": "Failed"}


async def test_scenario_25_a_value_in_the_gap_pauses_and_a_timed_pause_does_not_end_it(shop: Shop) -> None:
    metric = {
        "name": "success-rate",
        "inconclusiveLimit": 1,
        "successCondition": "all(result, {# > 0.995})",
        "failureCondition": "any(result, {# < 0.5})",
    }
    await shop.apply(template(shop.prometheus.url, metric))
    steps = ({"setWeight": 50}, {"pause": {"duration": "5s"}}, {"setWeight": 60}, {"pause": {}})
    await shop.healthy(steps=steps, canary={"analysis": {"templates": [{"templateName": "success"}]}})
    await shop.set_image("shop:v2")

    async def held() -> str:
        message = (await shop.status()).message
        return message if "InconclusiveAnalysisRun" in message else ""

    message = await until("a pause that says why", held)
    assert "success-rate: 2 inconclusive, of at most 1" in message
    await asyncio.sleep(6)  # longer than the timed pause: it must not end
    assert await shop.weight() == 50
    assert (await shop.status()).phase is Phase.PAUSED
    await shop.annotate("promote")
    await shop.weighs(60)


async def test_scenario_27_an_outage_holds_and_the_first_good_reply_ends_it(shop: Shop) -> None:
    metric = {
        "name": "success-rate",
        "count": 3,
        "consecutiveErrorLimit": 1,
        "successCondition": "result[0] > 0.9",
    }
    await shop.apply(template(shop.prometheus.url, metric))
    await shop.healthy(**judged_at_half())
    shop.prometheus.modes[shop.namespace] = Mode.FAILING
    await shop.set_image("shop:v2")
    assert "consecutiveErrorLimit" in await shop.holds("AnalysisBlind")
    assert await shop.weight() == 50
    said = (await results(shop))["success-rate@1"]
    assert (said["phase"], said["count"]) == ("Error", 0)
    del shop.prometheus.modes[shop.namespace]
    await shop.serving("shop:v2")
    said = (await results(shop))["success-rate@1"]
    assert (said["phase"], said["count"], said["consecutiveError"]) == ("Successful", 3, 0)


@pytest.mark.parametrize(
    ("mode", "condition", "words"),
    [
        pytest.param(Mode.EMPTY, "len(result) == 0", "no data", id="an empty vector"),
        pytest.param(Mode.NAN, "isNaN(result[0])", "no number: the query gives nan", id="NaN"),
    ],
)
async def test_scenario_36_no_number_is_neither_a_pass_nor_a_failure(
    shop: Shop, mode: Mode, condition: str, words: str
) -> None:
    metric = {
        "name": "success-rate",
        "count": 3,
        "successCondition": condition,
        "failureCondition": condition,
    }
    await shop.apply(template(shop.prometheus.url, metric))
    await shop.healthy(**judged_at_half())
    shop.prometheus.modes[shop.namespace] = mode
    await shop.set_image("shop:v2")
    status = await shop.paused(50)
    assert words in status.message
    del shop.prometheus.modes[shop.namespace]


async def test_scenario_36_several_series_where_one_is_meant_are_named_with_the_remedy(shop: Shop) -> None:
    await shop.apply(
        template(shop.prometheus.url, {"name": "success-rate", "successCondition": "result[0] > 0.9"})
    )
    await shop.healthy(**judged_at_half())
    shop.prometheus.modes[shop.namespace] = Mode.SEVERAL
    await shop.set_image("shop:v2")
    message = await shop.holds("InvalidSpec", "2 series where successCondition speaks of 1")
    assert "spec.strategy.canary.steps[1].analysis" in message
    assert "all(result" in message
    del shop.prometheus.modes[shop.namespace]
    await shop.serving("shop:v2")


async def test_a_condition_in_cel_decides_likewise(shop: Shop) -> None:
    metric = {
        "name": "success-rate",
        "count": 2,
        "conditionLanguage": "cel",
        "successCondition": "size(result) > 0 && result.all(x, x >= 0.95)",
    }
    await shop.apply(template(shop.prometheus.url, metric))
    await shop.healthy(**judged_at_half())
    await shop.set_image("shop:bad")
    status = await shop.phase(Phase.DEGRADED)
    assert "result.all(x, x >= 0.95) is false" in status.verdict_reason


async def test_a_restart_in_the_middle_forgets_no_measurement_and_repeats_none(
    lonely: Sandbox, judge: FakePrometheus, tmp_path: Path
) -> None:
    shop = await Shop.open(lonely, judge)
    metric = {"name": "success-rate", "count": 8, "failureLimit": 7, "successCondition": "result[0] < 0.5"}
    await shop.apply(template(judge.url, metric))
    first = Crew.of(lonely, tmp_path / "first")
    first.start()
    await shop.healthy(**judged_at_half())
    await shop.set_image("shop:v2")

    async def some() -> list[Manifest]:
        found: list[Manifest] = (await results(shop)).get("success-rate@1", {}).get("measurements", [])
        return found if len(found) >= 3 else []

    before = await until("three measurements", some)
    first.stop()
    second = Crew.of(lonely, tmp_path / "second")
    second.start()
    try:
        status = await shop.phase(Phase.DEGRADED, seconds=60)
        assert "8 failed, of at most 7" in status.verdict_reason
        said = (await results(shop))["success-rate@1"]
        assert said["measurements"][: len(before)] == before
        times = [each["startedAt"] for each in said["measurements"]]
        assert (len(times), times) == (8, sorted(set(times)))
    finally:
        second.stop()

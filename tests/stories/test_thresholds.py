"""Threshold metrics, as Argo Rollouts has them: they promote, roll back, pause and hold; over restarts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import manifests
import pytest
import pytest_asyncio
from crew import Crew
from manifests import Manifest
from prometheus_fake import FakePrometheus, Mode
from stage import RUNS, Shop, side_by_side, until

from rollout.api.status import Phase, Verdict
from rollout.sandbox.cluster import Sandbox

Story = Callable[[Shop], Awaitable[None]]
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


async def promoted(shop: Shop) -> None:
    metric = {
        "name": "success-rate",
        "count": "{{args.count}}",
        "interval": "{{args.every}}",
        "failureLimit": "{{args.count}}",
        "successCondition": "all(result, {# >= {{args.least}}})",
        "provider": {
            "prometheus": {
                "address": shop.prometheus.url,
                "query": SUCCESS.replace("canary.hash", "args.hash"),
            }
        },
    }
    args = [
        {"name": "count"},
        {"name": "hash"},
        {"name": "every", "value": "1s"},
        {"name": "least", "value": "0.95"},
    ]
    kept = [{"metricName": "success.*", "limit": 2}]
    await shop.apply(template(shop.prometheus.url, metric, args=args, measurementRetention=kept))
    await shop.healthy(**judged_at_half(args=GIVEN))
    await shop.set_image("shop:v2")
    await shop.serving("shop:v2")
    said = (await results(shop))["success-rate@1"]
    assert (said["phase"], said["count"], said["successful"]) == ("Successful", 3, 3)
    assert [each["value"] for each in said["measurements"]] == ["[0.99]", "[0.99]"]
    assert "shop-" in said["metadata"]["ResolvedPrometheusQuery"]
    assert (await shop.status()).history[-1].verdict is Verdict.PROMOTED


async def failed(shop: Shop) -> None:
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


async def in_the_gap(shop: Shop) -> None:
    metric = {
        "name": "success-rate",
        "inconclusiveLimit": 1,
        "successCondition": "all(result, {# > 0.995})",
        "failureCondition": "any(result, {# < 0.5})",
    }
    await shop.apply(template(shop.prometheus.url, metric))
    steps = ({"setWeight": 50}, {"pause": {"duration": "15s"}}, {"setWeight": 60}, {"pause": {}})
    await shop.healthy(steps=steps, canary={"analysis": {"templates": [{"templateName": "success"}]}})
    await shop.set_image("shop:v2")

    async def held() -> str:
        message = (await shop.status()).message
        return message if "InconclusiveAnalysisRun" in message else ""

    message = await until("a pause that says why", held)
    assert "success-rate: 2 inconclusive, of at most 1" in message
    began = (await shop.status()).step_since
    assert began is not None
    over = began + timedelta(seconds=16)
    await until("the end of the timed pause", lambda: datetime.now(UTC) > over)
    assert await shop.weight() == 50
    assert (await shop.status()).phase is Phase.PAUSED
    await shop.annotate("promote")
    await shop.weighs(60)


async def outage(shop: Shop) -> None:
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


async def no_number(mode: Mode, condition: str, words: str, shop: Shop) -> None:
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


async def several(shop: Shop) -> None:
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


async def in_cel(shop: Shop) -> None:
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


GIVEN = [{"name": "count", "value": "3"}, {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}]

STORIES: tuple[tuple[str, Story], ...] = (
    ("a good version is promoted by as many measurements as its arguments ask for", promoted),
    ("scenario 26: who fails its condition is rolled back, and its sibling is no success", failed),
    ("scenario 25: a value in the gap pauses, and a timed pause does not end it", in_the_gap),
    ("scenario 27: an outage holds, and the first good reply ends it", outage),
    (
        "scenario 36: an empty answer is no evidence",
        partial(no_number, Mode.EMPTY, "len(result) == 0", "no data"),
    ),
    ("scenario 36: NaN is no evidence", partial(no_number, Mode.NAN, "isNaN(result[0])", "query gives nan")),
    ("scenario 36: several series where one is meant are named with the remedy", several),
    ("a condition in CEL decides likewise", in_cel),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    sandbox: Sandbox, metrics: FakePrometheus, operator: Crew
) -> AsyncIterator[dict[str, "asyncio.Task[None]"]]:
    stories = dict(STORIES)

    async def play(name: str) -> None:
        await stories[name](await Shop.open(sandbox, metrics))

    async with side_by_side(stories, play) as tasks:
        yield tasks


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("story", [name for name, _ in STORIES])
async def test_a_threshold_metric(played: dict[str, "asyncio.Task[None]"], story: str) -> None:
    await played[story]


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

"""Scenarios of threshold metrics: the planner beside the very code that measures, which forgets nothing.

The operator is restarted before every turn: what it knows of the metrics is what the AnalysisRun says.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from situations import degraded, healthy, paused
from world import World, spec, steady

from analysis.sources import SourceDownError
from analysis.sources.evaluating import Answer
from rollout.api.analysis import TEMPLATE_KIND
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec
from rollout.api.naming import DryRun
from rollout.api.parsing import parse
from rollout.api.status import Stage, Verdict
from rollout.measure.held import Held
from rollout.measure.policy import active_in
from rollout.plan import schedule
from rollout.plan.evidence import Evidence, Outcome
from rollout.workloads import thresholds

BACKGROUND = {"analysis": {"templates": [{"templateName": "golden"}]}}
INLINE = ({"setWeight": 25}, {"analysis": {"templates": [{"templateName": "golden"}]}})
GOOD = "result >= 0.95"


def metric(name: str = "success", **words: Any) -> Manifest:
    provider = {"prometheus": {"address": "http://prometheus", "query": name}}
    return {"name": name, "interval": "5s", "successCondition": GOOD, "provider": provider, **words}


@dataclass
class Watch:
    """A Prometheus that answers by the query's name, and the metrics of one attempt."""

    asked: AnalysisRunSpec
    answers: dict[str, Callable[[World], Answer]]
    world: World | None = None
    attempt: str = ""
    results: list[Manifest] = field(default_factory=list)
    measured: list[tuple[str, datetime]] = field(default_factory=list)

    async def query(self, *_: object) -> Any:
        raise AssertionError("threshold metrics ask expressions")

    instant = query

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        assert self.world is not None
        self.measured.append((expression, at))
        return self.answers[expression](self.world)

    def __call__(self, world: World) -> Evidence:
        """What the judge says in this turn."""
        self.world, status = world, world.status
        carrying = status.stage in {Stage.STEPPING, Stage.PROMOTING}
        if (
            world.spec is None
            or not carrying
            or not any(r.attempt == status.attempt for r in world.runs.values())
        ):
            return Evidence(Outcome.UNDECIDED)
        if status.attempt != self.attempt:
            self.attempt, self.results = status.attempt, []
        held = Held.read(self.asked, {"metricResults": self.results})
        step = str(status.current_step_index)
        key = schedule.evidence_key(world.spec.strategy.canary.steps, status.current_step_index)
        if status.step_effect_since is not None:
            held.begin_step(step, key, status.step_effect_since)
        asyncio.run(held.measure(step, lambda _: self, world.now, world.now))
        self.results = [each.manifest() for each in held.results()]
        return held.joined(Evidence(Outcome.NOT_WORSE, step_key=key), active_in(self.asked, step), step)

    def says(self, name: str) -> Manifest:
        return next(each for each in self.results if each["name"] == name)


def watching(*metrics: Manifest, suffix: str = "", **answers: Callable[[World], Answer] | float) -> Watch:
    """Metrics of the background, or of the step in `suffix`."""
    said = {name: each if callable(each) else (lambda _, each=each: each) for name, each in answers.items()}
    named = [{**each, "name": each["name"] + suffix} for each in metrics]
    return Watch(AnalysisRunSpec.model_validate({"metrics": named}), said)


def judged(watch: Watch, *steps: Manifest, background: bool = True) -> World:
    world = steady(spec(*steps, canary=BACKGROUND if background else None))
    world.judge = watch
    world.push("v2")
    return world


def test_scenario_23_a_background_metric_is_awaited_at_the_end_and_one_run_carries_it() -> None:
    watch = watching(metric(), success=0.99)
    world = judged(watch, {"setWeight": 25}, {"setWeight": 50})
    world.run(healthy)
    assert world.status.history[-1].verdict is Verdict.PROMOTED
    assert world.status.history[-1].reason == "every guardrail was proved not worse"
    assert [each.phase for each in world.runs.values()] == ["Successful"]
    assert watch.says("success")["step"] == "1", "what let it pass was measured at the last weight"


def test_scenario_24_an_inline_metric_that_fails_rolls_back_with_its_reason() -> None:
    watch = watching(metric(count=3, failureLimit=1), suffix="@1", success=0.5)
    world = judged(watch, *INLINE, background=False)
    world.run(degraded)
    assert "a metric failed its condition: success@1: 2 failed, of at most 1 (failureLimit)" in (
        world.status.verdict_reason
    )
    assert {each.phase for each in world.runs.values()} == {"Failed"}
    assert len(watch.measured) == 2, "nobody measures on after the verdict"


@pytest.mark.parametrize("step", [{"pause": {"duration": "30s"}}, {"judge": {"maxDuration": "10m"}}], ids=str)
def test_scenario_25_a_value_in_the_gap_pauses_and_no_timer_goes_on(step: Manifest) -> None:
    gap = metric(inconclusiveLimit=3, failureCondition="result < 0.5")
    watch = watching(gap, success=0.8)
    world = judged(watch, {"setWeight": 25}, step, {"setWeight": 50}, {"pause": {}})
    world.run(lambda world: "InconclusiveAnalysisRun" in world.status.message)
    assert "success: 4 inconclusive, of at most 3 (inconclusiveLimit)" in world.status.message
    world.wait(120)
    assert (world.weight, world.status.current_step_index) == (25, 1)
    world.annotate("resume")
    world.wait(1)
    world.run(lambda world: "InconclusiveAnalysisRun" in world.status.message)
    assert watch.says("success")["inconclusive"] == 8, "whoever resumes has it measured anew"
    world.annotate("promote")
    world.run(lambda world: world.weight == 50)


def test_scenario_26_one_of_two_fails_the_other_is_stopped_and_is_no_success() -> None:
    watch = watching(metric(), metric("sibling"), success=0.5, sibling=0.99)
    world = judged(watch, {"setWeight": 25}, {"pause": {}})
    world.run(degraded)
    stopped = len(watch.measured)
    world.wait(60)
    assert len(watch.measured) == stopped
    assert watch.says("sibling")["phase"] == "Running", "not Successful: ending the run says Inconclusive"
    assert "sibling" not in world.status.verdict_reason


def test_scenario_27_a_provider_that_is_away_holds_and_its_first_good_reply_starts_the_count_anew() -> None:
    def away(world: World) -> Answer:
        if (world.now - began).total_seconds() < 120:
            raise SourceDownError("prometheus can't be reached")
        return 0.99

    watch = watching(metric(count=3), suffix="@1", success=away)
    world = judged(watch, *INLINE, background=False)
    began = world.now
    world.run(lambda world: world.condition("AnalysisBlind") == "True")
    said = watch.says("success@1")
    assert (said["consecutiveError"], said["count"], said["phase"]) == (5, 0, "Error")
    assert world.weight == 25
    world.run(healthy)
    said = watch.says("success@1")
    assert (said["consecutiveError"], said["successful"], said["phase"]) == (0, 3, "Successful")


def test_scenario_28_arguments_are_filled_in_wherever_they_stand() -> None:
    written = {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "golden"},
        "spec": {
            "args": [{"name": "n"}, {"name": "every", "value": "2s"}, {"name": "least", "value": "0.9"}],
            "metrics": [
                metric(
                    count="{{args.n}}",
                    interval="{{args.every}}",
                    initialDelay="{{args.every}}",
                    failureLimit="{{args.n}}",
                    inconclusiveLimit="{{args.n}}",
                    consecutiveErrorLimit="{{args.n}}",
                    consecutiveSuccessLimit="{{args.n}}",
                    successCondition="result >= {{args.least}}",
                    failureCondition="result < {{args.least}}",
                )
            ],
        },
    }
    template = parse(TEMPLATE_KIND, written).spec
    ask = thresholds.Ask(
        "spec.analysis", "@1", template, {"args.n": "2", "args.every": "2s", "args.least": "0.9"}
    )
    found = thresholds.chosen([ask], {"canary.hash": "abc"})
    watch = Watch(AnalysisRunSpec(metrics=found), {"success": lambda _: 0.95})
    world = judged(watch, *INLINE, background=False)
    world.run(healthy)
    first, second = (at for _, at in watch.measured)
    assert (second - first).total_seconds() == 2
    wrong = replace(ask, args={"args.n": "many", "args.every": "soon", "args.least": "lots"})
    with pytest.raises(InvalidSpec) as caught:
        thresholds.chosen([wrong], {})
    told = [f"{each.path}: {each.message}" for each in caught.value.problems]
    assert told[0] == (
        "spec.analysis.args: metric 'success' with these arguments: interval: write a duration such as 30s, "
        "5m, 1h30m, or a number of seconds"
    )
    assert len(told) == 7


@pytest.mark.parametrize(
    "answer", [(), (math.nan,), math.nan, (math.inf,)], ids=["nothing", "NaN", "a scalar", "Inf"]
)
@pytest.mark.parametrize("condition", ["true", "isNaN(result[0])", "len(result) == 0"])
def test_scenario_36_no_number_is_no_pass_and_no_failure(answer: Answer, condition: str) -> None:
    watch = watching(
        metric(successCondition=condition, failureCondition="result > 1"), success=lambda _: answer
    )
    world = judged(watch, {"setWeight": 25}, {"judge": {}})
    world.run(paused)
    assert watch.says("success")["inconclusive"] == 1
    assert world.weight == 25


def test_scenario_36_without_conditions_nothing_is_proved() -> None:
    watch = watching(metric(successCondition=None), success=0.99)
    world = judged(watch, {"setWeight": 25}, {"judge": {}})
    world.run(paused)
    assert "give successCondition" in world.status.message


def test_a_dry_run_decides_nothing() -> None:
    watch = watching(metric(), metric("watched"), success=0.99, watched=0.1)
    watch.asked = watch.asked.model_copy(update={"dry_run": (DryRun(metric_name="^watched$"),)})
    world = judged(watch, {"setWeight": 25}, {"judge": {"minDuration": "5s"}})
    world.run(healthy)
    assert (watch.says("watched")["phase"], watch.says("watched")["dryRun"]) == ("Failed", True)


def test_a_step_waits_for_measurements_at_its_own_weight() -> None:
    """What was measured at 25 % says nothing of 50 %."""
    watch = watching(metric(count=2), success=lambda world: 0.99 if world.weight == 25 else 0.2)
    world = judged(
        watch, {"setWeight": 25}, {"judge": {"minDuration": "1s"}}, {"setWeight": 50}, {"judge": {}}
    )
    world.run(degraded)
    assert world.status.history[-1].top_weight == 50


def test_failures_of_the_background_are_counted_over_the_whole_rollout() -> None:
    """One failure a step, of at most two, is the third one in the third step."""
    seen: dict[int | None, int] = {}

    def once_bad(world: World) -> Answer:
        step = world.weight
        seen[step] = seen.get(step, 0) + 1
        return 0.1 if seen[step] == 1 else 0.99

    watch = watching(metric(failureLimit=2), success=once_bad)
    gates = [({"setWeight": weight}, {"judge": {"minDuration": "1s"}}) for weight in (10, 20, 30)]
    world = judged(watch, *(step for pair in gates for step in pair))
    world.run(degraded)
    assert world.status.history[-1].top_weight == 30
    assert "3 failed, of at most 2" in world.status.verdict_reason

"""The scenarios that the controller is held to, by their numbers: state in, turns, state out."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from situations import CRASH, HALF, JUDGED, TENTH, aborted_at_half, at, degraded, healthy, paused
from world import CANARY, STABLE, World, says, spec, steady

from rollout.api.errors import Problem
from rollout.api.status import Phase, Stage, Verdict
from rollout.plan.actions import (
    EnsureSelector,
    EnsureWeights,
)
from rollout.plan.evidence import Evidence, Outcome, Sent

STORIES: list[Any] = []


def story(number: int, sentence: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """One case whose id is `scenario-NN sentence`."""

    def told(tell: Callable[[], None]) -> Callable[[], None]:
        STORIES.append(pytest.param(tell, id=f"scenario-{number:02d} {sentence}"))
        return tell

    return told


@story(1, "the first deploy takes no steps and asks for no analysis")
def first() -> None:
    world = World(spec({"setWeight": 50}, {"pause": {}}, analysis=True))
    world.push("v1")
    world.run(healthy)
    assert (world.status.stable_rs, world.weight, world.runs) == ("v1", 0, {})
    assert world.status.history[-1].reason == "first deploy"
    assert (world.stable.hash, world.canary.hash) == ("v1", "v1")


@story(2, "a new image gets 10 % and waits, stable stays fully scaled")
def first_step() -> None:
    world = steady(spec(*TENTH))
    world.push("v2")
    world.run(paused)
    assert (world.weight, world.count("v1"), world.count("v2")) == (10, 4, 1)


@story(3, "promoted: all traffic, the stable Service, the weight back, the old pods stay for their delay")
def promotion() -> None:
    world = steady(spec(*TENTH))
    world.push("v2")
    world.run(paused)
    seen = len(world.writes)
    world.annotate("promote")
    world.run(healthy)
    assert (world.status.stable_rs, world.weight, world.stable.hash) == ("v2", 0, "v2")
    moves = [each for each in world.writes[seen:] if isinstance(each, EnsureWeights | EnsureSelector)]
    assert moves == [EnsureWeights(100), EnsureSelector(STABLE, "v2"), EnsureWeights(0)]
    assert world.count("v1") == 4
    world.wait(25)
    assert world.count("v1") == 4
    world.wait(10)
    assert world.count("v1") == 0


@story(4, "a timed pause ends by itself, at its second")
def timed_pause() -> None:
    world = steady(spec({"setWeight": 50}, {"pause": {"duration": "3s"}}))
    world.push("v2")
    world.run(paused)
    began = world.status.step_since
    assert began is not None
    world.run(lambda world: world.status.current_step_index == 2)
    assert world.now == began + timedelta(seconds=3)
    world.run(healthy)
    assert [reason for reason in world.reasons() if reason.startswith("Rollout")] == [
        "RolloutCompleted",
        "RolloutStepCompleted",
        "RolloutStepCompleted",
        "RolloutCompleted",
    ]


@story(5, "paused at 50 %, abort: weight 0, Degraded, stable serves all")
def abort() -> None:
    world = aborted_at_half()
    assert (world.weight, world.canary.hash, world.count("v1")) == (0, "v1", 4)
    assert world.condition("RolledBack") == "True"
    assert world.status.history[-1].verdict is Verdict.ABORTED
    assert world.status.intent is not None
    assert (world.status.intent.state, world.status.intent.by) == ("Cleared", "kubectl-annotate")


@story(6, "retried: starts again at the first step, as a new attempt with a new run")
def retry() -> None:
    world = steady(spec(*JUDGED, {"pause": {}}, analysis=True))
    world.judge = says(Outcome.NOT_WORSE)
    world.push("v2")
    world.run(paused)
    world.annotate("abort")
    world.run(degraded)
    first = world.status.attempt
    world.wait(2)
    world.annotate("retry")
    world.run(paused)
    assert world.status.attempt == first + ".2"
    assert len(world.runs) == 2
    assert world.status.refused == ()
    world.annotate("promote")
    world.run(healthy)
    assert world.status.stable_rs == "v2"


@story(
    7, "aborted, then a new template: the abort is cleared, stable is still the first, steps from the start"
)
def abort_then_new() -> None:
    world = aborted_at_half()
    world.push("v3")
    world.run(paused)
    assert (world.status.stable_rs, world.weight, world.status.abort) == ("v1", 50, False)
    assert (world.count("v2"), world.count("v3")) == (0, 2)


@story(8, "aborted, the same manifest again: stays aborted, and nothing is written")
def abort_then_same() -> None:
    world = aborted_at_half()
    world.wait(60)
    world.quiet()
    written = len(world.writes)
    world.source = world.source and world.source.model_copy(update={"commit": "unrelated"})
    world.wait(120)
    assert (world.phase, len(world.writes)) == (Phase.DEGRADED, written)


@story(9, "aborted, the stable manifest again: Healthy at once, without steps")
def abort_then_stable() -> None:
    world = aborted_at_half()
    world.push("v1")
    world.turn()
    assert (world.phase, world.stage) == (Phase.HEALTHY, Stage.STABLE)
    assert world.status.history[-1].reason == "the stable template"
    assert world.condition("RolledBack") == "False"


@story(10, "paused at a step, the stable manifest again: back at once without analysis, Healthy")
def stable_again() -> None:
    world = steady(spec(*HALF, analysis=True))
    world.push("v2")
    world.run(paused)
    runs = len(world.runs)
    world.push("v1")
    world.turn()
    assert world.weight == 0
    world.run(healthy)
    assert len(world.runs) == runs
    assert [each.verdict for each in world.status.history[-2:]] == [
        Verdict.FAST_ROLLED_BACK,
        Verdict.PROMOTED,
    ]
    assert world.status.refused == ()


@story(11, "a third revision at 1 %: the second's pods go, its runs end, stable is untouched")
def superseded() -> None:
    world = steady(spec({"setWeight": 1}, {"pause": {}}, analysis=True))
    world.push("v2")
    world.run(paused)
    world.push("v3")
    world.run(lambda world: paused(world) and world.status.current_pod_hash == "v3")
    world.wait(10)
    assert (world.status.stable_rs, world.count("v1"), world.count("v2")) == ("v1", 4, 0)
    assert [run.phase for run in world.runs.values()] == ["Inconclusive", "Running"]
    assert world.status.history[-1].verdict is Verdict.SUPERSEDED


@story(12, "a third revision that never starts gets no traffic, and the second's pods go all the same")
def superseded_by_a_dead_one() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.working["v3"] = 0
    world.push("v3")
    world.wait(60)
    assert (world.weight, world.canary.hash, world.count("v2"), world.count("v3")) == (0, "v2", 0, 2)


@story(13, "a third revision at weight 50: weight 0 is read back before the canary Service moves")
def weight_before_selector() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    seen = len(world.writes)
    world.push("v3")
    world.run(lambda world: world.canary.hash == "v3")
    moves = [each for each in world.writes[seen:] if isinstance(each, EnsureWeights | EnsureSelector)]
    assert moves == [EnsureWeights(0), EnsureSelector(CANARY, "v3")]


@story(14, "edited steps start again at the first")
def steps_edited() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.push("v2", spec=spec({"setWeight": 25}, {"pause": {}}), attempt="edited")
    world.run(lambda world: paused(world) and world.weight == 25)
    assert (world.status.current_step_index, world.status.attempt) == (1, "edited")


@story(15, "replicas and template changed together end complete")
def scale_and_template() -> None:
    world = steady(spec())
    world.push("v2")
    world.scale(6)
    world.run(healthy)
    assert world.count("v2") == 6
    assert world.status.available_replicas >= 6


@story(16, "scaled to 8 and to 4 while paused at 25 %: two pods, then one, still paused")
def scaled_while_paused() -> None:
    world = steady(spec({"setWeight": 25}, {"pause": {}}))
    world.push("v2")
    world.run(paused)
    world.scale(8)
    world.wait(10)
    assert (world.count("v1"), world.count("v2"), world.phase) == (8, 2, Phase.PAUSED)
    world.scale(4)
    world.wait(10)
    assert (world.count("v1"), world.count("v2"), world.phase) == (4, 1, Phase.PAUSED)


@story(17, "a crashing image past its deadline: Degraded with one bad pod, the good ones stay")
def crashing_image() -> None:
    world = good_to_bad()
    assert (world.count("v1"), world.count("v2"), world.weight) == (4, 1, 0)
    assert "ProgressDeadlineExceeded" in world.status.message


def good_to_bad() -> World:
    world = steady(spec({"setWeight": 25}, progressDeadlineSeconds=10))
    world.working |= {"v2": 0, "v3": 0}
    world.push("v2")
    world.turn()
    world.pods["shop-v2"].troubles = CRASH
    world.run(degraded)
    return world


@story(18, "then a second bad image: the first bad one goes")
def second_bad_image() -> None:
    world = good_to_bad()
    world.push("v3")
    world.wait(30)
    assert (world.count("v1"), world.count("v2"), world.count("v3"), world.phase) == (4, 0, 1, Phase.DEGRADED)


@story(19, "a first revision that crashes recovers with a fixed image, by itself")
def bad_to_good() -> None:
    world = World(spec({"setWeight": 25}, {"pause": {}}, progressDeadlineSeconds=10))
    world.working["v1"] = 0
    world.push("v1")
    world.run(degraded)
    world.push("v2")
    world.run(healthy)
    world.wait(15)
    assert (world.count("v1"), world.count("v2"), world.status.stable_rs) == (0, 4, "v2")


@story(20, "past the deadline with progressDeadlineAbort: rolled back, canary pods go after their delay")
def deadline_abort() -> None:
    world = steady(spec({"setWeight": 25}, progressDeadlineSeconds=5, progressDeadlineAbort=True))
    world.working["v2"] = 0
    world.push("v2")
    world.run(at(Stage.REFUSED), limit=60)
    assert world.status.abort
    assert world.status.history[-1].reason == "no progress within the deadline"
    world.wait(40)
    assert (world.count("v1"), world.count("v2")) == (4, 0)


@story(21, "a pause longer than the deadline is no lack of progress")
def pause_beyond_deadline() -> None:
    asked = spec({"setWeight": 25}, {"pause": {"duration": "30s"}}, progressDeadlineSeconds=5)
    world = steady(asked)
    world.push("v2")
    phases = set()
    while world.stage is not Stage.PROMOTING:
        world.turn()
        phases.add(world.phase)
        world._pass(1.0)
    assert Phase.DEGRADED not in phases
    world.run(healthy)


@story(22, "promoted, the old pods wait longer than the deadline: still Healthy")
def delay_beyond_deadline() -> None:
    world = steady(spec({"setWeight": 25}, progressDeadlineSeconds=5))
    world.push("v2")
    world.run(lambda world: healthy(world) and world.status.stable_rs == "v2")
    world.wait(15)
    assert (world.phase, world.count("v1")) == (Phase.HEALTHY, 4)


@story(23, "the background run lasts while it is paused, then ends; there is exactly one")
def background() -> None:
    world = steady(spec({"setWeight": 25}, {"pause": {}}, analysis=True))
    world.judge = says(Outcome.NOT_WORSE)
    world.push("v2")
    world.run(paused)
    world.wait(60)
    assert [run.phase for run in world.runs.values()] == ["Running"]
    world.annotate("promote")
    world.run(healthy)
    assert [run.phase for run in world.runs.values()] == ["Successful"]


@story(24, "an inline analysis that finds harm: rolled back, the reason in the status")
def inline_fails() -> None:
    world = steady(spec({"setWeight": 25}, {"analysis": {"templates": [{"templateName": "errors"}]}}))
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    world.wait(5)
    world.judge = says(Outcome.WORSE, "errors 6 % against 1 %")
    world.run(degraded)
    assert "errors 6 % against 1 %" in world.status.message
    assert {run.phase for run in world.runs.values()} == {"Failed"}
    assert {run.role for run in world.runs.values()} == {"background", "1"}


@story(25, "no proof in time: paused with the reason, and no timed pause lets it pass")
def inconclusive() -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.judge = says(Outcome.UNDECIDED, "too few requests")
    world.push("v2")
    world.run(paused)
    assert "InconclusiveAnalysisRun" in world.status.message
    assert "too few requests" in world.status.message
    world.judge = says(Outcome.NOT_WORSE)
    world.wait(300)
    assert (world.phase, world.weight) == (Phase.PAUSED, 25)
    world.annotate("resume")
    world.run(healthy)


@story(27, "the metrics are gone: it holds, says so, and never rolls back for it")
def blind() -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.judge = says(Outcome.BLIND, "no series for the selector")
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    world.wait(600)
    assert (world.weight, world.stage) == (25, Stage.STEPPING)
    assert world.condition("AnalysisBlind") == "True"
    world.judge = says(Outcome.NOT_WORSE)
    world.run(healthy)


MISROUTED = Evidence(
    Outcome.MISROUTED,
    "the canary gets about 13 % of the requests",
    share=Sent.ELSEWHERE,
    routing="the canary gets about 13 % of the requests",
)


def test_requests_that_go_elsewhere_hold_every_step_and_no_clock_runs_meanwhile() -> None:
    """D2: what was read back is contradicted by the real requests, which is a veto."""
    world = steady(spec({"setWeight": 25}, {"pause": {"duration": "30s"}}, *JUDGED, analysis=True))
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    world.judge = lambda world: MISROUTED
    world.wait(900)
    assert (world.status.current_step_index, world.weight, world.stage) == (1, 25, Stage.STEPPING)
    assert world.condition("Misrouted") == "True"
    assert "misrouted (the canary gets about 13 % of the requests)" in world.status.message
    assert world.reasons().count("TrafficMisrouted") == 1
    world.judge = says(Outcome.NOT_WORSE)
    world.run(healthy)
    assert world.condition("Misrouted") == "False"
    assert "TrafficMisroutedOver" in world.reasons()


def test_a_judgement_that_is_misrouted_comes_to_no_maximum() -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    world.judge = lambda world: MISROUTED
    world.wait(3600)
    assert (world.status.current_step_index, world.phase) == (1, Phase.PROGRESSING)
    world.judge = says(Outcome.WORSE)
    world.run(degraded)


@story(29, "a template is missing: InvalidSpec, an abort works, and it recovers by itself")
def missing_reference() -> None:
    world = steady(spec(*HALF))
    world.problems = (Problem("spec.strategy.canary.analysis", "no such template"),)
    world.push("v2")
    world.turn()
    assert (world.phase, world.condition("InvalidSpec"), world.count("v2")) == (Phase.DEGRADED, "True", 0)
    world.problems = ()
    world.run(paused)
    assert world.weight == 50


@story(31, "aborted, then promote-full: Healthy without another run")
def promote_full_after_abort() -> None:
    world = steady(spec(*HALF, analysis=True))
    world.push("v2")
    world.run(paused)
    world.annotate("abort")
    world.run(degraded)
    runs = len(world.runs)
    world.wait(2)
    world.annotate("promote-full")
    world.run(healthy)
    assert (world.status.stable_rs, len(world.runs)) == ("v2", runs)
    assert world.status.history[-1].reason == "promote-full"


@story(33, "the controller restarts in a timed pause: same step, same end, no second run")
def restart() -> None:
    world = steady(spec({"setWeight": 25}, {"pause": {"duration": "30s"}}, analysis=True))
    world.push("v2")
    world.run(paused)
    began = world.status.step_since
    assert began is not None
    world.turn()
    world.now += timedelta(seconds=12)
    world.turn()
    assert (world.wake, len(world.runs), world.weight) == (began + timedelta(seconds=30), 1, 25)


@story(34, "the route can't be written: no step passes, the deadline runs, an abort still works")
def router_fails() -> None:
    world = steady(spec(*HALF, progressDeadlineSeconds=30))
    world.deny = lambda action: isinstance(action, EnsureWeights)
    world.push("v2")
    world.run(degraded)
    assert (world.weight, world.status.current_step_index) == (0, 0)
    world.deny = lambda action: False
    world.run(paused)
    world.weight = None
    world.annotate("abort")
    world.turn()
    assert world.stage is Stage.ROLLING_BACK
    world.weight = 50
    world.run(at(Stage.REFUSED))
    assert world.weight == 0


@story(35, "somebody else writes the weight: undone in the turn that sees it, with an Event, no step moves")
def foreign_weight() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    for foreign in (100, 70, 0):
        world.wait(10)
        world.meddle(foreign)
        world.turn()
        assert world.weight == 50
        assert world.reasons()[-1] == "WeightDrift"
        assert (world.status.current_step_index, world.phase) == (1, Phase.PAUSED)


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Outcome.BLIND, id="scenario-36 no data, or not a number, is never a pass"),
        pytest.param(Outcome.NONE, id="scenario-36 a judge that was not asked is never a pass"),
        pytest.param(Outcome.UNDECIDED, id="scenario-37 too few requests are never a pass"),
    ],
)
def test_no_evidence_is_no_pass(outcome: Outcome) -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.judge = says(outcome)
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    world.wait(100)
    assert (world.status.current_step_index, world.weight) == (1, 25)


@story(36, "several series where one is meant are a configuration error that names itself")
def configuration_error() -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.judge = lambda world: Evidence(Outcome.UNDECIDED, problems=("errors: 3 series where one is meant",))
    world.push("v2")
    world.run(degraded)
    assert "3 series" in world.status.message
    world.judge = says(Outcome.NOT_WORSE)
    world.run(healthy)


@story(38, "harm in the background ends any step, an open pause too")
def background_harm() -> None:
    world = steady(spec({"setWeight": 25}, {"pause": {}}, analysis=True))
    world.push("v2")
    world.run(paused)
    world.wait(5)
    world.judge = says(Outcome.WORSE, "errors 5 % against 1 %")
    world.turn()
    assert (world.stage, world.weight) == (Stage.ROLLING_BACK, 0)


@story(39, "an abort under InvalidSpec, twice: within one turn, once, with who and when")
def abort_while_invalid() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.spec = None
    world.problems = (Problem("spec.strategy", "unknown field"),)
    world.annotate("abort", "stop it")
    world.annotate("abort", "stop it")
    world.turn()
    assert (world.weight, world.intents) == (0, {})
    world.run(at(Stage.REFUSED))
    intent = world.status.intent
    assert intent is not None
    assert (intent.reason, intent.by, intent.outcome) == ("stop it", "kubectl-annotate", "Acted")
    assert len(world.status.history) == 2


@story(40, "pods that flip ready every few seconds do not hold the deadline off")
def flapping() -> None:
    world = steady(spec({"setWeight": 50}, progressDeadlineSeconds=60, progressDeadlineAbort=True))
    world.push("v2")
    began = world.now
    while world.stage is not Stage.ROLLING_BACK:
        world.working["v2"] = 1 if int((world.now - began).total_seconds()) % 4 < 2 else 0
        world.turn()
        assert world.now - began < timedelta(seconds=75), str(world)
        world._pass(1.0)
    assert world.weight == 0


@pytest.mark.parametrize("tell", STORIES)
def test_scenario(tell: Callable[[], None]) -> None:
    tell()

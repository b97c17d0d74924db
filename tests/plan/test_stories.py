"""Stories: state in, turns, state out."""

from dataclasses import replace
from datetime import timedelta

import pytest
from situations import CRASH, HALF, JUDGED, aborted_at_half, at, degraded, healthy, paused
from world import CANARY, STABLE, World, says, spec, steady

from rollout.api.status import MetricEvidence, Phase, Stage, Verdict
from rollout.plan.actions import (
    Action,
    EnsureReplicas,
    EnsureRun,
    EnsureSelector,
    EnsureWeights,
    WakeAt,
)
from rollout.plan.evidence import Evidence, Outcome
from rollout.plan.observed import PodTrouble


def test_canary_pods_that_crash_under_traffic_roll_it_back_at_once() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.pods["shop-v2"].troubles = CRASH
    world.turn()
    assert (world.weight, world.stage) == (0, Stage.ROLLING_BACK)
    assert "shop-v2-abc: CrashLoopBackOff" in world.status.verdict_reason


def test_a_trouble_that_stable_has_too_says_nothing_about_the_canary() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    pull = (PodTrouble("a", "ImagePullBackOff"),)
    world.pods["shop-v2"].troubles = world.pods["shop-v1"].troubles = pull
    world.wait(5)
    assert world.phase is Phase.PAUSED


def test_a_canary_that_loses_all_its_pods_loses_its_traffic_in_the_next_turn_and_gets_it_back() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.working["v2"] = 0
    world.turn()
    assert (world.weight, world.stage) == (0, Stage.STEPPING)
    del world.working["v2"]
    world.run(lambda world: world.weight == 50)
    assert world.status.current_step_index == 1


def test_a_stable_version_that_loses_all_its_pods_leaves_the_traffic_to_the_canary_meanwhile() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.working["v1"] = 0
    world.wait(2)
    assert world.weight == 100
    del world.working["v1"]
    world.wait(10)
    assert (world.weight, world.phase) == (50, Phase.PAUSED)


def test_a_new_version_that_loses_all_its_pods_while_it_switches_leaves_the_traffic_to_the_old_one() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.annotate("promote")
    world.run(lambda world: world.stage is Stage.SWITCHING and world.stable.hash == "v2")
    world.working["v2"] = 0
    world.turn()
    assert (world.stable.hash, world.weight) == ("v1", 100)
    world.turn()
    assert (world.stable.hash, world.weight, world.stage) == ("v1", 0, Stage.SWITCHING)
    del world.working["v2"]
    world.run(healthy)
    assert (world.stable.hash, world.status.stable_rs) == ("v2", "v2")


def test_where_neither_arm_has_pods_nothing_is_written() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.working |= {"v1": 0, "v2": 0}
    world.wait(5)
    written = len([each for each in world.writes if isinstance(each, EnsureWeights)])
    world.meddle(30)
    world.wait(5)
    assert len([each for each in world.writes if isinstance(each, EnsureWeights)]) == written


@pytest.mark.parametrize("stage", [Stage.PROMOTING, Stage.SWITCHING])
@pytest.mark.parametrize("by", ["deadline", "abort"])
def test_a_new_stable_that_never_becomes_ready_is_left_by_deadline_and_by_hand(stage: Stage, by: str) -> None:
    world = steady(
        spec({"setWeight": 25}, progressDeadlineSeconds=30, progressDeadlineAbort=by == "deadline")
    )
    world.push("v2")
    world.run(at(Stage.PROMOTING))
    if stage is Stage.PROMOTING:
        world.working["v2"] = 2
    else:
        world.deny = lambda action: isinstance(action, EnsureSelector) and action.service == STABLE
        world.run(at(stage))
        world.turn()
        world.deny = lambda action: isinstance(action, EnsureSelector) and action.hash == "v2"
    world.wait(20)
    assert world.stage is stage
    if by == "abort":
        world.wait(30)
        assert (world.phase, world.stage) == (Phase.DEGRADED, stage)
        world.annotate("abort")
    world.run(at(Stage.REFUSED))
    assert (world.weight, world.stable.hash, world.canary.hash) == (0, "v1", "v1")


def test_out_of_switching_the_stable_service_goes_back_before_the_weight() -> None:
    world = steady(spec({"setWeight": 25}))
    world.push("v2")
    world.run(lambda world: world.stable.hash == "v2")
    assert world.stage is Stage.SWITCHING
    seen = len(world.writes)
    world.annotate("abort")
    world.run(at(Stage.REFUSED))
    moves = [each for each in world.writes[seen:] if isinstance(each, EnsureWeights | EnsureSelector)]
    assert moves == [EnsureSelector(STABLE, "v1"), EnsureWeights(0), EnsureSelector(CANARY, "v1")]


def test_a_selector_that_git_wiped_is_restored_at_once_with_an_event() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.wait(10)
    world.meddle_selector(world.canary, None)
    world.turn()
    assert (world.canary.hash, world.reasons()[-1]) == ("v2", "SelectorDrift")
    world.wait(10)
    assert (world.phase, world.weight) == (Phase.PAUSED, 50)


def test_a_quiet_rollout_is_asked_for_nothing() -> None:
    world = steady(spec(*HALF))
    world.wait(60)
    assert world.turn() == []


def test_a_paused_rollout_causes_no_write() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.wait(30)
    written = len(world.writes)
    world.wait(120)
    assert len(world.writes) == written
    assert world.wake is not None


def test_a_refused_revision_that_git_brings_back_stays_refused() -> None:
    world = aborted_at_half()
    world.push("v3")
    world.run(paused)
    world.annotate("promote-full")
    world.run(healthy)
    world.quiet()
    world.push("v2")
    world.run(degraded)
    world.wait(30)
    assert (world.weight, world.count("v2"), world.stage) == (0, 0, Stage.REFUSED)


def test_a_changed_spec_of_a_refused_revision_is_a_new_attempt() -> None:
    world = aborted_at_half()
    world.push("v2", attempt="with another retry value")
    world.run(paused)
    assert world.weight == 50


def test_zero_keeps_the_canarys_pods_after_an_abort() -> None:
    world = steady(spec(*HALF, canary={"abortScaleDownDelaySeconds": 0}))
    world.push("v2")
    world.run(paused)
    world.annotate("abort")
    world.run(degraded)
    world.wait(120)
    assert world.count("v2") == 2


def test_old_replica_sets_beyond_the_history_limit_go() -> None:
    world = steady(spec(revisionHistoryLimit=1))
    for revision in ("v2", "v3", "v4"):
        world.push(revision)
        world.run(lambda world, revision=revision: healthy(world) and world.status.stable_rs == revision)
        world.wait(40)
    assert sorted(each.hash for each in world.pods.values()) == ["v3", "v4"]


def test_promotion_without_a_proof_at_the_last_weight_waits() -> None:
    world = steady(spec(*JUDGED, {"setWeight": 50}, analysis=True))
    world.judge = says(Outcome.NOT_WORSE)
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 2)
    stale = Evidence(Outcome.NOT_WORSE, step_key="0")
    world.judge = lambda world: stale
    world.wait(120)
    assert (world.stage, world.status.current_step_index, world.weight) == (Stage.STEPPING, 3, 50)
    world.annotate("promote")
    world.run(healthy)
    assert world.status.history[-1].reason == "promote"


@pytest.mark.parametrize(
    ("policy", "compatible", "end"),
    [
        pytest.param("rollback", False, Verdict.ROLLED_BACK, id="rollback: rolled back"),
        pytest.param(
            "promoteIfCompatible", True, Verdict.INCONCLUSIVE, id="compatible: promoted, not proved"
        ),
        pytest.param("promoteIfCompatible", False, Verdict.UNDECIDED, id="not compatible: paused"),
    ],
)
def test_on_inconclusive(policy: str, compatible: bool, end: Verdict) -> None:
    judge = {"minDuration": "5s", "maxDuration": "1m", "onInconclusive": policy}
    world = steady(spec({"setWeight": 25}, {"judge": judge}, {"setWeight": 30}, analysis=True))

    def undecided(world: World) -> Evidence:
        if (world.status.current_step_index or 0) >= 2:
            return says(Outcome.NOT_WORSE)(world)
        return Evidence(Outcome.UNDECIDED, "too few", "0", compatible=compatible)

    world.judge = undecided
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    world.wait(90)
    assert world.status.verdict is end


def test_a_pause_by_hand_holds_the_judge_and_its_clock() -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.judge = says(Outcome.UNDECIDED)
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    world.wait(30)
    world.annotate("pause")
    world.wait(600)
    assert "PausedByUser" in world.status.message
    world.annotate("resume")
    world.wait(80)
    assert world.phase is Phase.PROGRESSING
    world.wait(15)
    assert "Inconclusive" in world.status.message


def test_evidence_of_harm_does_not_stop_what_a_person_promotes_in_full() -> None:
    world = steady(spec(*HALF, analysis=True))
    world.push("v2")
    world.run(paused)
    world.annotate("promote-full")
    world.turn()
    world.judge = says(Outcome.WORSE)
    world.run(healthy)
    assert world.status.stable_rs == "v2"


def test_a_route_that_is_not_accepted_lets_no_step_pass() -> None:
    world = steady(spec(*HALF))
    world.accepted = False
    world.push("v2")
    world.wait(60)
    assert (world.status.current_step_index, world.stage) == (0, Stage.RESETTING)


def test_a_route_whose_status_says_nothing_is_believed_after_ten_seconds() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(lambda world: world.stage is Stage.STEPPING)
    world.accepted = None
    world.run(lambda world: world.weight == 50)
    written = world.now
    world.run(paused)
    assert timedelta(seconds=10) <= world.now - written <= timedelta(seconds=13)


def test_argo_rollouts_tools_are_heard_too() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.status = world.status.model_copy(update={"pause_conditions": ()})
    world.run(healthy)
    world.quiet()
    world.push("v3")
    world.run(paused)
    world.status = world.status.model_copy(update={"abort": True})
    world.run(degraded)
    assert world.weight == 0
    world.status = world.status.model_copy(update={"abort": False})
    world.condemned.clear()
    world.run(paused)
    world.status = world.status.model_copy(update={"promote_full": True})
    world.run(healthy)
    assert world.status.stable_rs == "v3"


def test_a_rollout_at_zero_replicas_waits_without_a_deadline() -> None:
    world = steady(spec(*HALF, progressDeadlineSeconds=20))
    world.scale(0)
    world.push("v2")
    world.wait(60)
    assert (world.phase, world.status.message) == (Phase.PROGRESSING, "scaled to zero: waits for replicas")
    world.scale(4)
    world.run(paused)
    assert world.weight == 50


def test_every_waiting_turn_says_when_to_look_again() -> None:
    world = steady(spec(*HALF))
    world.push("v2")
    world.working["v2"] = 0
    for _ in range(30):
        actions: list[Action] = world.turn()
        assert any(isinstance(action, WakeAt) for action in actions)
        world._pass(7.0)


def test_the_runs_of_one_attempt_begin_once_traffic_was_seen() -> None:
    world = steady(spec({"setWeight": 25}, {"pause": {}}, analysis=True))
    world.push("v2")
    world.run(lambda world: bool(world.runs))
    first = next(each for each in world.writes if isinstance(each, EnsureRun))
    assert first.role == "background"
    assert world.weight == 25


def test_pods_are_there_before_their_traffic() -> None:
    world = steady(spec({"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}))
    world.push("v2")
    world.run(paused)
    seen = len(world.writes)
    world.annotate("promote")
    world.run(lambda world: world.weight == 75)
    moves = [each for each in world.writes[seen:] if isinstance(each, EnsureWeights | EnsureReplicas)]
    assert moves == [EnsureReplicas("shop-v2", 3), EnsureWeights(75)]


def test_a_canary_service_does_not_move_while_its_weight_can_not_be_taken() -> None:
    """Stable has no pods to take it: the canary under way keeps what it has, a newer one gets nothing."""
    world = steady(spec(*HALF), ready_after=timedelta(0))
    world.push("v2")
    world.run(paused)
    world.accepted = False
    world.working["v1"] = 0
    world.push("v3")
    world.wait(30)
    assert (world.weight, world.canary.hash) == (50, "v2")
    world.accepted = True
    del world.working["v1"]
    world.run(lambda world: world.weight == 0)
    taken = world.now
    world.run(lambda world: world.canary.hash == "v3")
    assert world.now - taken >= timedelta(seconds=2)


def test_a_stable_service_does_not_switch_while_stable_has_weight() -> None:
    world = steady(spec({"setWeight": 25}))
    world.push("v2")
    world.deny = lambda action: isinstance(action, EnsureSelector) and action.service == STABLE
    world.run(at(Stage.SWITCHING))
    world.meddle(40)
    world.deny = lambda action: False
    world.turn()
    assert (world.weight, world.stable.hash) == (100, "v1")
    world.run(healthy)


def test_old_pods_stay_while_somebody_still_sends_them_traffic() -> None:
    world = steady(spec({"setWeight": 25}))
    world.push("v2")
    world.run(lambda world: healthy(world) and world.status.stable_rs == "v2")
    world.wait(5)
    world.working["v2"] = 0
    world.meddle_selector(world.stable, "v1")
    world.wait(60)
    assert world.count("v1") == 4
    del world.working["v2"]
    world.wait(45)
    assert (world.stable.hash, world.count("v1")) == ("v2", 0)


def test_a_new_revision_on_the_way_back_starts_at_once() -> None:
    world = steady(spec({"setWeight": 25}))
    world.push("v2")
    world.run(at(Stage.RETURNING))
    world.push("v3")
    world.run(lambda world: healthy(world) and world.status.stable_rs == "v3")
    assert [each.verdict for each in world.status.history] == [Verdict.PROMOTED] * 3


def test_a_status_that_lost_its_memory_of_the_weight_takes_it_from_the_canary() -> None:
    """An empty status beside live traffic: recorded and found agree on nothing more than 0."""
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    canary = world.status.canary.model_copy(update={"desired_weight": 0})
    world.status = world.status.model_copy(update={"canary": canary})
    world.turn()
    assert world.weight == 0
    world.run(lambda world: world.weight == 50)


def test_the_evidence_that_decided_is_the_last_word() -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.push("v2")
    world.run(lambda world: world.status.current_step_index == 1)
    numbers = iter(range(1, 1000))

    def judge(world: World) -> Evidence:
        heard = says(Outcome.WORSE if world.status.evidence else Outcome.UNDECIDED)(world)
        return replace(heard, metrics=(MetricEvidence(metric=str(next(numbers)), verdict=heard.outcome),))

    world.judge = judge
    world.run(degraded)
    assert [each.verdict for each in world.status.evidence] == [Outcome.WORSE]


def test_a_superseded_revision_that_comes_back_is_judged_by_a_run_of_its_own() -> None:
    world = steady(spec(*JUDGED, analysis=True))
    world.push("v2")
    world.run(lambda world: bool(world.runs))
    world.push("v3")
    world.run(lambda world: len(world.runs) == 2)
    world.push("v2")
    world.judge = says(Outcome.NOT_WORSE)
    world.run(healthy)
    assert world.status.attempt == "v2-attempt.2"
    assert [run.phase for run in world.runs.values()] == ["Inconclusive", "Inconclusive", "Successful"]


def test_a_policy_with_an_analysis_and_no_steps_claims_no_proof() -> None:
    world = steady(spec(analysis=True))
    world.push("v2")
    world.run(healthy)
    assert world.status.history[-1].reason == "a policy without steps"

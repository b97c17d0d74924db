"""Somebody else sets the replicas while traffic is split (D5): scale-ups hold at once, scale-downs wait."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from situations import HALF, aborted_at_half, at, degraded, healthy, paused
from world import World, spec, steady

from rollout.api.status import Stage
from rollout.plan.actions import EnsureReplicas, EnsureReplicaSet, WakeAt

NINETY: tuple[dict[str, Any], ...] = ({"setWeight": 90}, {"pause": {}})


def at_ninety(replicas: int = 10) -> World:
    world = steady(spec(*NINETY, replicas=replicas))
    world.push("v2")
    return world.run(paused)


def test_one_replica_written_at_90_percent_shrinks_nothing() -> None:
    world = at_ninety()
    world.scale(1)
    world.wait(60)
    assert (world.count("v1"), world.count("v2"), world.weight) == (10, 9, 90)


def test_a_scale_up_holds_at_once_and_may_be_taken_back_to_what_was_there_at_the_start() -> None:
    world = at_ninety()
    world.scale(20)
    world.turn()
    assert (world.count("v1"), world.count("v2")) == (20, 18)
    world.scale(12)
    world.wait(10)
    assert (world.count("v1"), world.count("v2")) == (12, 11)
    world.scale(3)
    world.wait(10)
    assert (world.count("v1"), world.count("v2")) == (10, 9)


@pytest.mark.parametrize(
    ("ending", "over", "revision"),
    [
        pytest.param("promote", healthy, "v2", id="a promotion"),
        pytest.param("abort", degraded, "v1", id="a rollback"),
    ],
)
def test_the_floor_stands_until_5_minutes_after(
    ending: str, over: Callable[[World], bool], revision: str
) -> None:
    world = at_ninety()
    world.scale(1)
    world.annotate(ending)
    world.run(over)
    world.wait(299)
    assert world.count(revision) == 10
    world.wait(2)
    assert world.count(revision) == 1


def test_a_turn_comes_by_itself_when_the_floor_ends() -> None:
    world = at_ninety()
    world.annotate("promote")
    world.run(healthy)
    world.scale(1)
    world.wait(60)
    looks = [each.when for each in world.turn() if isinstance(each, WakeAt)]
    assert looks == [world.status.least_replicas_until]


def test_a_quiet_rollout_that_nobody_scales_is_not_woken_for_the_floor() -> None:
    world = at_ninety()
    world.annotate("promote")
    world.run(healthy)
    world.quiet()
    assert world.wake is None
    world.writes.clear()
    world.now += timedelta(minutes=10)
    world.turn()
    assert world.writes == []


def test_before_the_first_weight_and_long_after_the_last_a_scale_down_holds_at_once() -> None:
    world = steady(spec(*NINETY, replicas=10), working={"v2": 0})
    world.push("v2")
    world.run(at(Stage.RESETTING))
    world.scale(4)
    world.wait(5)
    assert world.count("v1") == 4
    del world.working["v2"]
    world.annotate("promote-full")
    world.run(healthy)
    world.wait(400)
    world.scale(2)
    world.wait(2)
    assert world.count("v2") == 2


def test_a_new_revision_on_the_way_keeps_the_floor() -> None:
    world = at_ninety()
    world.scale(1)
    world.push("v3")
    world.run(paused)
    assert (world.count("v1"), world.count("v3"), world.weight) == (10, 9, 90)


def test_the_next_rollout_begins_with_what_is_there() -> None:
    world = at_ninety()
    world.annotate("promote")
    world.run(healthy)
    world.scale(6)
    world.push("v3")
    world.run(paused)
    world.wait(400)
    assert world.count("v2") == 10
    world.annotate("promote")
    world.run(healthy)
    world.wait(400)
    assert world.count("v3") == 6


def test_people_are_told_why_a_scale_down_waits() -> None:
    world = at_ninety()
    world.scale(1)
    world.wait(30)
    told = [each for each in world.events if each.reason == "ReplicasKept"]
    assert len(told) == 1
    assert "1 wanted, 10 stay" in told[0].message


def test_what_an_autoscaler_counts_is_the_stable_side() -> None:
    world = at_ninety()
    assert world.status.hpa_replicas == 10
    assert world.status.replicas == 19
    assert world.status.selector == "app=shop,rollouts-pod-template-hash=v1"
    world.annotate("promote")
    world.run(healthy)
    world.wait(60)
    assert world.status.hpa_replicas == 10
    assert world.status.selector == "app=shop,rollouts-pod-template-hash=v2"


@pytest.mark.parametrize(
    ("seconds", "left"), [pytest.param(29, 10, id="not before"), pytest.param(33, 0, id="then")]
)
def test_old_pods_go_after_the_scale_down_delay(seconds: float, left: int) -> None:
    world = at_ninety()
    world.annotate("promote")
    world.run(healthy)
    world.wait(seconds)
    assert world.count("v1") == left


def test_a_delay_goes_on_under_a_new_revision() -> None:
    """The pods of the version before were promised for a while; a push does not take them."""
    world = at_ninety()
    world.annotate("promote")
    world.run(healthy)
    world.push("v3")
    world.wait(20)
    assert world.count("v1") == 10
    world.wait(15)
    assert world.count("v1") == 0


def test_a_version_that_is_wanted_again_within_its_delay_keeps_its_pods() -> None:
    world = at_ninety()
    world.annotate("promote")
    world.run(healthy)
    world.wait(5)
    world.push("v1", attempt="v1-again")
    world.writes.clear()
    world.run(paused)
    world.wait(40)
    resized = [each.replicas for each in world.writes if isinstance(each, EnsureReplicas | EnsureReplicaSet)]
    assert (min(resized), world.count("v1")) == (9, 9)


@pytest.mark.parametrize(
    ("limit", "kept"), [pytest.param(None, [10, 10], id="no limit"), pytest.param(1, [0, 10], id="one")]
)
def test_of_the_old_versions_only_the_newest_keep_their_pods_for_the_delay(
    limit: int | None, kept: list[int]
) -> None:
    canary = {"scaleDownDelaySeconds": 300} | (
        {} if limit is None else {"scaleDownDelayRevisionLimit": limit}
    )
    world = steady(spec({"setWeight": 50}, replicas=10, canary=canary))
    for revision in ("v2", "v3"):
        world.push(revision)
        world.turn()
        world.run(healthy)
    world.wait(15)
    assert [world.count("v1"), world.count("v2")] == kept


def test_zero_keeps_the_canary_for_good_after_a_rollback() -> None:
    world = steady(spec(*HALF, canary={"abortScaleDownDelaySeconds": 0}))
    world.push("v2")
    world.run(paused)
    world.annotate("abort")
    world.run(degraded)
    world.wait(600)
    assert world.count("v2") == 2


def test_a_refused_canary_goes_after_its_delay() -> None:
    world = aborted_at_half()
    world.wait(40)
    assert world.count("v2") == 0

"""Rows: a situation, and the whole list of what is to be done to the world in it, in its order."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from world import CANARY, STABLE, World, says, spec, steady

from rollout.api.status import Phase
from rollout.plan.actions import (
    Action,
    Announce,
    ClearIntent,
    EnsureReplicas,
    EnsureReplicaSet,
    EnsureRun,
    EnsureSelector,
    EnsureWeights,
    FinishRun,
    RecordStatus,
    WakeAt,
)
from rollout.plan.evidence import Outcome
from rollout.plan.planner import plan

HALF = spec({"setWeight": 50}, {"pause": {}}, analysis=True)
RECORD, ABORT = "RecordStatus", ClearIntent("progressive.delivery/abort", "because")
RUN = "shop-v2-v2-attem-background"


def first() -> World:
    world = World(HALF)
    world.push("v1")
    return world


def quiet() -> World:
    return steady(HALF)


def new() -> World:
    world = steady(HALF)
    world.push("v2")
    return world


def until(holds: Callable[[World], bool]) -> Callable[[], World]:
    def situation() -> World:
        return new().run(holds)

    return situation


def paused() -> World:
    world = until(lambda world: world.phase is Phase.PAUSED)()
    world.wait(10)
    return world


def aborted() -> World:
    world = paused()
    world.annotate("abort")
    return world


def worse() -> World:
    world = paused()
    world.judge = says(Outcome.WORSE, "errors")
    return world


def foreign() -> World:
    world = paused()
    world.meddle(80)
    return world


def dead_canary() -> World:
    world = paused()
    world.working["v2"] = 0
    return world


def both_dead() -> World:
    world = dead_canary()
    world.working["v1"] = 0
    return world


def scaled() -> World:
    world = paused()
    world.scale(8)
    return world


def serving_all() -> World:
    world = paused()
    world.annotate("promote-full")
    return world.run(lambda world: world.weight == 100)


def weightless() -> World:
    world = aborted()
    world.turn()
    world.turn()
    world.now += timedelta(seconds=3)
    return world


@pytest.mark.parametrize(
    ("situation", "deeds"),
    [
        pytest.param(first, [RECORD, EnsureReplicaSet("v1", 1, 4)], id="a first version: all its pods"),
        pytest.param(quiet, [], id="a quiet rollout: nothing"),
        pytest.param(new, [RECORD, EnsureReplicaSet("v2", 2, 2)], id="a new version: a first step's pods"),
        pytest.param(paused, [], id="an open pause: nothing"),
        pytest.param(
            aborted,
            [RECORD, EnsureWeights(0), ABORT, FinishRun(RUN, "Inconclusive", "aborted by hand: because")],
            id="an abort: the record, the weight, then the annotation",
        ),
        pytest.param(
            worse,
            [
                RECORD,
                EnsureWeights(0),
                FinishRun(RUN, "Failed", "the canary is worse than the stable version: errors"),
            ],
            id="proved worse: the record, then the weight",
        ),
        pytest.param(weightless, [RECORD, EnsureSelector(CANARY, "v1")], id="weight 0 settled: the Service"),
        pytest.param(foreign, [RECORD, EnsureWeights(50)], id="somebody raised the weight: undone"),
        pytest.param(dead_canary, [RECORD, EnsureWeights(0)], id="the canary is gone: its weight goes"),
        pytest.param(both_dead, [RECORD], id="both arms are gone: only a record of it"),
        pytest.param(
            scaled,
            [RECORD, EnsureReplicas("shop-v1", 8), EnsureReplicas("shop-v2", 4)],
            id="scaled while paused: both arms",
        ),
        pytest.param(
            serving_all,
            [RECORD, EnsureSelector(STABLE, "v2")],
            id="the canary serves all: the stable Service",
        ),
    ],
)
def test_what_is_to_be_done(situation: Callable[[], World], deeds: list[Action | str]) -> None:
    world = situation()
    planned = plan(world.observed(), world.judge(world), world.now)
    done = [RECORD if isinstance(each, RecordStatus) else each for each in planned]
    assert [each for each in done if not isinstance(each, Announce | WakeAt)] == deeds


def test_the_background_run_begins_in_the_turn_that_sees_traffic() -> None:
    world = until(lambda world: world.weight == 50)()
    planned = plan(world.observed(), world.judge(world), world.now)
    assert EnsureRun(RUN, "background", "v2-attempt", "v2") in planned

"""Pods leave at any time (evictions, drains, crashes): what each stage does, and that it goes on after.

Every write on the way is held to the invariants by the world itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from situations import at, healthy, paused
from world import World, says, spec, steady

from rollout.api.status import Phase, Stage
from rollout.plan.actions import EnsureReplicas, EnsureSelector, EnsureWeights, RecordStatus
from rollout.plan.evidence import Outcome

LADDER = spec(
    {"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}, {"setWeight": 100}, {"pause": {}}
)
JUDGE = {"judge": {"minDuration": "1s", "maxDuration": "5m"}}


def paused_at(percent: int) -> Callable[[], World]:
    def situation() -> World:
        world = steady(LADDER)
        world.push("v2")
        world.run(paused)
        while world.weight != percent:
            world.annotate("promote")
            world.wait(1)
            world.run(paused)
        return world

    return situation


def resetting() -> World:
    world = steady(LADDER)
    world.push("v2")
    return world.run(at(Stage.RESETTING))


def promoting() -> World:
    """The last step's weight holds: a pod is missing."""
    world = steady(spec({"setWeight": 50}), working={"v2": 3})
    world.push("v2")
    world.run(at(Stage.PROMOTING))
    return world.wait(3)


def switching() -> World:
    world = steady(spec({"setWeight": 50}))
    world.push("v2")
    return world.run(lambda world: world.stage is Stage.SWITCHING and world.stable.hash == "v2")


def returning() -> World:
    world = steady(spec({"setWeight": 50}))
    world.push("v2")
    return world.run(at(Stage.RETURNING))


def rolling_back() -> World:
    world = paused_at(50)()
    world.annotate("abort")
    world.turn()
    assert world.stage is Stage.ROLLING_BACK
    return world


def stable() -> World:
    return steady(LADDER)


@dataclass(frozen=True)
class Loss:
    """Whose pods go, and what the canary has some seconds later."""

    revisions: tuple[str, ...]
    weight: int


CANARY, STABLE, BOTH = ("v2",), ("v1",), ("v1", "v2")


@pytest.mark.parametrize(
    ("situation", "loss"),
    [
        pytest.param(resetting, Loss(CANARY, 0), id="resetting, the canary: it gets nothing"),
        pytest.param(resetting, Loss(STABLE, 0), id="resetting, stable: the canary gets nothing unasked"),
        pytest.param(resetting, Loss(BOTH, 0), id="resetting, both: nothing moves"),
        pytest.param(paused_at(10), Loss(CANARY, 0), id="at 10 %, the canary: stable takes all"),
        pytest.param(paused_at(10), Loss(STABLE, 100), id="at 10 %, stable: the canary takes all"),
        pytest.param(paused_at(10), Loss(BOTH, 10), id="at 10 %, both: nothing moves"),
        pytest.param(paused_at(50), Loss(CANARY, 0), id="at 50 %, the canary: stable takes all"),
        pytest.param(paused_at(50), Loss(STABLE, 100), id="at 50 %, stable: the canary takes all"),
        pytest.param(paused_at(50), Loss(BOTH, 50), id="at 50 %, both: nothing moves"),
        pytest.param(paused_at(100), Loss(CANARY, 0), id="at 100 %, the canary: stable takes all"),
        pytest.param(paused_at(100), Loss(STABLE, 100), id="at 100 %, stable: the canary keeps all"),
        pytest.param(paused_at(100), Loss(BOTH, 100), id="at 100 %, both: nothing moves"),
        pytest.param(promoting, Loss(CANARY, 0), id="promoting, the canary: stable takes all"),
        pytest.param(promoting, Loss(STABLE, 100), id="promoting, stable: the canary takes all"),
        pytest.param(promoting, Loss(BOTH, 50), id="promoting, both: nothing moves"),
        pytest.param(switching, Loss(CANARY, 0), id="switching, the canary: the old version takes all"),
        pytest.param(switching, Loss(STABLE, 0), id="switching, the old version: it goes on"),
        pytest.param(switching, Loss(BOTH, 100), id="switching, both: nothing moves"),
        pytest.param(returning, Loss(CANARY, 0), id="returning, the new version: nothing moves back"),
        pytest.param(returning, Loss(STABLE, 0), id="returning, the old version: it goes on"),
        pytest.param(rolling_back, Loss(CANARY, 0), id="rolling back, the canary: it goes on"),
        pytest.param(rolling_back, Loss(STABLE, 0), id="rolling back, stable: the canary gets nothing back"),
        pytest.param(stable, Loss(STABLE, 0), id="at rest, stable: nothing moves"),
    ],
)
def test_whose_traffic_it_is_when_all_pods_of_a_version_are_gone(
    situation: Callable[[], World], loss: Loss
) -> None:
    world = situation()
    world.working |= dict.fromkeys(loss.revisions, 0)
    world.wait(5)
    assert world.weight == loss.weight
    world.working.clear()
    if world.stage is Stage.ROLLING_BACK or world.status.abort:
        world.run(lambda world: world.phase is Phase.DEGRADED)
    else:
        _to_the_end(world)
    assert world.weight == 0
    assert world.stable.hash == world.canary.hash == world.status.stable_rs


def _to_the_end(world: World) -> None:
    for _ in range(300):
        if healthy(world):
            return
        if paused(world) and not world.intents:
            world.annotate("promote")
        world.wait(1)
    raise AssertionError(f"never ends: {world}")


@pytest.mark.parametrize("percent", [10, 50, 100])
def test_the_weight_of_an_empty_canary_goes_in_the_very_next_turn(percent: int) -> None:
    world = paused_at(percent)()
    world.wait(5)
    world.working["v2"] = 0
    done = [each for each in world.turn() if isinstance(each, EnsureWeights)]
    assert done == [EnsureWeights(0)]


def test_a_canary_that_lost_some_of_its_pods_keeps_its_weight_and_gets_no_more() -> None:
    world = paused_at(50)()
    world.working["v2"] = 1
    world.annotate("promote")
    world.wait(30)
    assert world.weight == 50
    del world.working["v2"]
    world.run(lambda world: world.weight == 100)


def test_no_size_is_changed_for_pods_that_are_on_their_way_back() -> None:
    world = paused_at(50)()
    world.wait(60)
    world.writes.clear()
    world.evict("v1", 3)
    world.wait(20)
    world.evict("v2", 2)
    world.wait(20)
    assert not [each for each in world.writes if isinstance(each, EnsureReplicas | EnsureSelector)]
    assert (world.weight, world.count("v1"), world.count("v2")) == (50, 4, 2)


def test_a_node_after_the_other_is_drained_and_traffic_never_waits() -> None:
    """One pod at a time, as a budget allows: nothing is written but a record of it."""
    world = paused_at(50)()
    world.wait(60)
    world.writes.clear()
    for revision in ("v1", "v2", "v1", "v2"):
        world.evict(revision, 1)
        world.wait(10)
    assert {type(each) for each in world.writes} <= {RecordStatus}


def test_a_judgement_begins_anew_when_the_weight_is_back_in_effect() -> None:
    world = steady(spec({"setWeight": 50}, JUDGE, analysis=True))
    world.push("v2")
    world.run(lambda world: world.weight == 50)
    world.wait(10)
    began = world.status.step_effect_since
    world.working["v2"] = 0
    world.wait(5)
    assert world.status.step_effect_since is None
    world.judge = says(Outcome.NOT_WORSE)
    world.wait(5)
    assert world.stage is Stage.STEPPING, "a proof passes no step whose weight is not in effect"
    del world.working["v2"]
    world.run(lambda world: world.status.step_effect_since is not None)
    assert began is not None
    assert world.status.step_effect_since is not None
    assert world.status.step_effect_since > began

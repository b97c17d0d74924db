"""What has to be seen of a Service before traffic moves to it (invariant I4): each of it, and all of it."""

from dataclasses import replace
from typing import Any

import pytest
from situations import at, paused
from world import World, spec, steady

from rollout.api.status import Stage
from rollout.plan.actions import EnsureSelector, EnsureWeights
from rollout.plan.evidence import NO_EVIDENCE
from rollout.plan.planner import plan


def due_at_half() -> World:
    """The weight of the first step is recorded and not written yet; 2 of 4 pods are needed for it."""
    world = steady(spec({"setWeight": 50}, {"pause": {}}))
    world.push("v2")
    world.run(lambda world: world.status.canary.desired_weight == 50)
    world.now = max(world.now, world.canary.since) + (world.ready_after * 2)
    assert world.weight == 0
    return world


def back_from_all() -> World:
    """Rolled back out of Switching: all traffic is at the canary, the stable Service names v1 again."""
    world = steady(spec({"setWeight": 50}))
    world.push("v2")
    world.run(lambda world: world.stage is Stage.SWITCHING and world.stable.hash == "v2")
    world.annotate("abort")
    world.deny = lambda action: isinstance(action, EnsureWeights)
    world.run(lambda world: world.stable.hash == "v1")
    world.now += world.ready_after * 2
    world.observed()
    world.now += world.ready_after
    assert (world.stage, world.weight) == (Stage.ROLLING_BACK, 100)
    return world


CASES = [
    pytest.param({}, True, id="as it shall be: it moves"),
    pytest.param({"settled": False}, False, id="it has not stood for 2 s"),
    pytest.param({"hash": "v0"}, False, id="it names another revision"),
    pytest.param({"hash": None}, False, id="it names none"),
    pytest.param({"ready": ()}, False, id="nobody is ready"),
    pytest.param({"ready": (("v0", 4),)}, False, id="only pods of another revision are ready"),
    pytest.param({"ready": (("v1", 4), ("v2", 4))}, False, id="pods of the other revision stand beside"),
    pytest.param({"ready": (("", 1), ("v1", 0), ("v2", 4))}, False, id="somebody else's endpoint does"),
]


@pytest.mark.parametrize(
    ("seen", "moves"), [*CASES, pytest.param({"ready": (("v2", 1),)}, False, id="one of two pods is ready")]
)
def test_the_canary_is_raised_only_on_a_service_that_can_carry_it(seen: dict[str, Any], moves: bool) -> None:
    world = due_at_half()
    observed = world.observed()
    assert observed.canary_service is not None
    changed = replace(observed, canary_service=replace(observed.canary_service, **seen))
    assert (EnsureWeights(50) in plan(changed, NO_EVIDENCE, world.now)) is moves


@pytest.mark.parametrize(
    ("seen", "moves"),
    [
        *(each for each in CASES if each.id != "somebody else's endpoint does"),
        pytest.param({"ready": (("", 1), ("v1", 4))}, False, id="somebody else's endpoint does"),
        pytest.param({"ready": (("v1", 1),)}, True, id="one pod will do: it has to go somewhere"),
    ],
)
def test_all_traffic_is_given_back_only_to_a_service_that_can_carry_it(
    seen: dict[str, Any], moves: bool
) -> None:
    world = back_from_all()
    observed = world.observed()
    assert observed.stable_service is not None
    changed = replace(observed, stable_service=replace(observed.stable_service, **seen))
    assert (EnsureWeights(0) in plan(changed, NO_EVIDENCE, world.now)) is moves


@pytest.mark.parametrize(
    ("live", "exact", "switched"),
    [
        pytest.param(100, True, True, id="all traffic was read back"),
        pytest.param(99, True, False, id="a percent is left"),
        pytest.param(100, False, False, id="a trace is left"),
        pytest.param(None, True, False, id="the route can't be read"),
    ],
)
def test_the_stable_service_changes_hands_only_at_weight_0(
    live: int | None, exact: bool, switched: bool
) -> None:
    world = steady(spec({"setWeight": 50}))
    world.push("v2")
    world.deny = lambda action: action == EnsureSelector(world.stable.name, "v2")
    world.run(at(Stage.SWITCHING))
    observed = world.observed()
    routes = tuple(replace(each, canary_percent=live, exact=exact) for each in observed.routes)
    actions = plan(replace(observed, routes=routes), NO_EVIDENCE, world.now)
    assert (EnsureSelector(world.stable.name, "v2") in actions) is switched


@pytest.mark.parametrize(
    ("live", "exact", "moved"),
    [
        pytest.param(0, True, True, id="weight 0 was read back"),
        pytest.param(1, True, False, id="a percent is left"),
        pytest.param(1, False, False, id="a trace is left"),
        pytest.param(None, True, False, id="the route can't be read"),
    ],
)
def test_the_canary_service_changes_hands_only_at_weight_0(
    live: int | None, exact: bool, moved: bool
) -> None:
    world = steady(spec({"setWeight": 50}, {"pause": {}}))
    world.push("v2")
    world.run(paused)
    world.annotate("abort")
    world.run(lambda world: world.weight == 0)
    world.deny = lambda action: isinstance(action, EnsureSelector)
    world.wait(4)
    observed = world.observed()
    routes = tuple(replace(each, canary_percent=live, exact=exact) for each in observed.routes)
    actions = plan(replace(observed, routes=routes), NO_EVIDENCE, world.now)
    assert (EnsureSelector(world.canary.name, "v1") in actions) is moved


def test_a_stable_service_that_is_missing_makes_one_pod_no_rescue() -> None:
    """Pods behind it may be well; where they are gone, all is better with the canary than nothing."""
    world = due_at_half()
    observed = world.observed()
    assert observed.canary_service is not None
    assert observed.stable_service is not None
    short = replace(observed, canary_service=replace(observed.canary_service, ready=(("v2", 1),)))
    missing = replace(short, stable_service=None)
    assert EnsureWeights(50) not in plan(missing, NO_EVIDENCE, world.now)
    dead = replace(short, stable_service=replace(observed.stable_service, ready=()))
    assert EnsureWeights(50) in plan(dead, NO_EVIDENCE, world.now)

"""Situations that several stories begin with, and what they wait for."""

from collections.abc import Callable

from world import World, spec, steady

from rollout.api.status import Phase, Stage
from rollout.plan.observed import PodTrouble

HALF = ({"setWeight": 50}, {"pause": {}})
TENTH = ({"setWeight": 10}, {"pause": {}})
JUDGED = ({"setWeight": 25}, {"judge": {"minDuration": "5s", "maxDuration": "2m"}})
CRASH = (PodTrouble("shop-v2-abc", "CrashLoopBackOff"),)


def paused(world: World) -> bool:
    return world.phase is Phase.PAUSED


def healthy(world: World) -> bool:
    return world.phase is Phase.HEALTHY


def degraded(world: World) -> bool:
    return world.phase is Phase.DEGRADED


def at(stage: Stage) -> Callable[[World], bool]:
    return lambda world: world.stage is stage


def aborted_at_half() -> World:
    world = steady(spec(*HALF))
    world.push("v2")
    world.run(paused)
    world.annotate("abort", "looks odd")
    world.turn()
    assert world.weight == 0, "an abort takes the weight in the very turn that sees it"
    world.run(degraded)
    return world.quiet()

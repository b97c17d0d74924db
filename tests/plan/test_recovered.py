"""A cluster that was rebuilt: the last good version serves first, and what was refused stays refused."""

from situations import HALF, at, degraded, healthy, paused
from world import START, World, spec

from rollout.api.status import RefusedAttempt, Stage, Verdict

REFUSAL = RefusedAttempt(
    attempt="v2-attempt", hash="v2", verdict=Verdict.ROLLED_BACK, reason="errors 6 %", at=START
)


def rebuilt(*refused: RefusedAttempt) -> World:
    """The last good version stands, as the Git applier brought it."""
    world = World(spec(*HALF))
    world.recovered = refused
    world.push("v1")
    world.run(healthy)
    world.recovered = None
    return world


def test_what_was_refused_before_stays_refused_with_its_reason() -> None:
    world = rebuilt(REFUSAL)
    assert world.status.history[-1].reason == "first deploy, recovered from Git"
    world.push("v2")
    world.run(degraded)
    assert (world.stage, world.weight, world.count("v2")) == (Stage.REFUSED, 0, 0)
    assert world.status.verdict_reason == "errors 6 %"
    assert world.condition("RolledBack") == "True"
    world.wait(2)
    world.annotate("retry")
    world.run(paused)
    assert world.weight == 50


def test_a_version_that_nothing_was_decided_of_begins_its_steps() -> None:
    world = rebuilt()
    world.push("v2")
    world.run(at(Stage.STEPPING))
    assert world.status.stable_rs == "v1"

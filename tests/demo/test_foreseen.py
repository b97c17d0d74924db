"""What the plan foretells of the demo's versions, and how the time of evidence is taken."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analysis.simulation import World, courses
from rollout.cli.planned import rollouts_in
from rollout.demo.foreseen import Foreseen, Stopwatch, foreseen
from rollout.demo.glimpse import Glimpse
from rollout.demo.player import content
from rollout.sandbox.shop.load import LoadReport
from rollout.show.sight import sight

SHOP = content() / "shop"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fails", "seconds"),
    [
        pytest.param(0.01, (15, 40), id="a good version is through in half a minute"),
        pytest.param(0.06, (3, 10), id="a bad one is found in seconds"),
    ],
)
def test_the_plan_of_the_demo(fails: float, seconds: tuple[float, float]) -> None:
    plan = foreseen(SHOP, rps=600, stable=0.01, canary=fails)
    assert seconds[0] < plan.expected_s < seconds[1]
    assert plan.low_s < plan.expected_s < plan.high_s
    slower = foreseen(SHOP, rps=300, stable=0.01, canary=fails)
    assert slower.expected_s > 1.3 * plan.expected_s


@pytest.mark.parametrize("fails", [0.01, 0.06])
def test_rollouts_in_seeded_worlds_lie_in_the_range(fails: float) -> None:
    plan = foreseen(SHOP, rps=600, stable=0.01, canary=fails)
    (shop,) = rollouts_in(SHOP)
    world = World(60 * 600.0, {"errors": 0.01}, {"errors": fails}, shop.look)
    played = courses(shop.policy, shop.holds, world, 60, np.random.default_rng(11))
    assert all(plan.holds(60 * course.minutes) for course in played)


def test_a_range_holds_what_lies_in_it_and_what_scrapes_add() -> None:
    plan = Foreseen(10.0, 25.0, 88.0, judgements=3)
    assert [plan.holds(seconds) for seconds in (9.9, 10, 88, 97, 97.1)] == [False, True, True, True, False]


def glimpse(index: int, second: float, commit: str = "a", effect: float | None = 0) -> Glimpse:
    since = None if effect is None else (START + timedelta(seconds=effect)).isoformat()
    steps = [{"setWeight": 5}, {"judge": {}}, {"setWeight": 50}, {"judge": {}}]
    status = {
        "stage": "Stepping",
        "currentStepIndex": index,
        "stepEffectSince": since,
        "source": {"commit": commit},
    }
    rollout = {
        "metadata": {"name": "shop"},
        "spec": {"strategy": {"canary": {"steps": steps}}},
        "status": status,
    }
    at = START + timedelta(seconds=second)
    return Glimpse(at, sight(rollout), "", "", LoadReport(), {})


def test_only_judgements_in_effect_of_this_commit_take_time_of_evidence() -> None:
    watch = Stopwatch()
    for seen in (
        glimpse(0, 5),
        glimpse(1, 6, effect=None),
        glimpse(1, 8, effect=6.5),
        glimpse(1, 9, effect=6.5),
        glimpse(1, 50, commit="b"),
        glimpse(2, 12),
        glimpse(3, 20, effect=14),
        glimpse(4, 30),
    ):
        watch.see(seen, "a")
    assert watch.seconds == 2.5 + 6

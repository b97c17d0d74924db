"""All pods of one version, of the other, or of both are gone at once, at each step of a canary.

Whoever is left serves: the weight moves in the first turns that see it, before the pods are back. Only what
goes where nobody is, until the proxy knows better, is lost.
"""

from collections.abc import Mapping
from concurrent.futures import Future

import pytest
from e2e_hands import Place, Thief
from e2e_losses import Names, beyond_excuse, moments, needless
from e2e_playing import Story, name_of
from e2e_stage import CANARY, NAME, STABLE, Shop

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]

RATE = 200.0
AT_ONCE = 3
SLOW_TO_BE_READY_S = 5
"""Longer than the operator takes to move a weight, be the machine crowded: who waits for the pods is seen."""
STEPS = [
    {"setWeight": 20},
    {"pause": {"duration": "1s"}},
    {"setWeight": 60},
    {"pause": {"duration": "1s"}},
]
MOST_TURNS = 4
"""To see it, to record it, to act on a selector and on the weight."""


def goes_through(shop: Shop, *arms: str, places: list[Place]) -> None:
    """v2 is promoted although pods are taken at all these places; what that cost has an excuse."""
    shop.pod_spec["containers"][0]["readinessProbe"]["initialDelaySeconds"] = SLOW_TO_BE_READY_S
    shop.canary_strategy["steps"] = STEPS
    del shop.canary_strategy["analysis"]
    shop.open("v1")
    thief = Thief(shop, arms, places)
    shop.stage.interfering.append(thief)
    shop.commit("bump shop to v2", "v2")
    shop.until(lambda: shop.at_rest("v2"), 120, f"v2 has come to its end; still due: {thief.due}")
    assert thief.due == []
    assert shop.newest()["verdict"] == "Promoted"
    assert shop.phase == "Healthy"

    the_proxys = {f"{code} by nobody" for code in (500, 502, 503)}
    assert {what: pair for what, pair in shop.lost().items() if what not in the_proxys} == {}
    states = moments(shop.witness.seen, Names(NAME, STABLE, CANARY, NAME))
    for each in needless(states):
        assert each.by_weight, f"{each.since - states[0].at:.2f} s: nobody moved the weight: {each}"
        assert each.turns <= MOST_TURNS, f"{each.since - states[0].at:.2f} s: late: {each}"
    assert beyond_excuse(shop.reports, states) == []


def the_canary_goes(shop: Shop) -> None:
    places = [
        Place("Resetting"),
        Place("Stepping", 0, "/httproutes/"),
        Place("Stepping", 3),
        Place("Promoting"),
        Place("Switching", 0, "/services/"),
    ]
    goes_through(shop, "currentPodHash", places=places)


def stable_goes(shop: Shop) -> None:
    places = [
        Place("Stepping", 0),
        Place("Stepping", 0, "/httproutes/"),
        Place("Stepping", 3),
        Place("Promoting"),
    ]
    goes_through(shop, "stableRS", places=places)


def both_go(shop: Shop) -> None:
    goes_through(shop, "stableRS", "currentPodHash", places=[Place("Stepping", 1), Place("Stepping", 3)])


STORIES = (the_canary_goes, stable_goes, both_go)


@pytest.mark.parametrize("story", STORIES, ids=name_of)
def test_whoever_is_left_serves(played: Mapping[Story, Future[None]], story: Story) -> None:
    played[story].result()

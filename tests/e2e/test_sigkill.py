"""The operator is killed by SIGKILL at seeded moments, between two of its writes: the end is the same.

Two shops at a time, so that each feels the other's kills, too. A campaign kills it thirty times.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from e2e_hands import Place, reached
from e2e_playing import CAMPAIGN, Story
from e2e_stage import NAME, STABLE, USER, Shop

from rollout.sandbox.apiserver.requests import Fault, Request

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

RATE = 400.0
AT_ONCE = 2
KILLS = 5
"""A story; six stories make a campaign."""
SERVED_WITHIN_S = 0.1
LONGEST_S = 240
ROUTE, SERVICE = "/httproutes/", "/services/"


@dataclass(frozen=True, slots=True)
class Moment:
    """At the `nth` write that counts at a place. `served`: it is done, and its answer never comes."""

    place: Place
    nth: int
    served: bool

    def __str__(self) -> str:
        when = "after" if self.served else "before"
        of = self.place.of.strip("/") or "any object"
        return f"{self.place.stage} {self.place.step}: {when} write {self.nth} of {of}"


RESETTING = (Place("Resetting"), Place("Resetting", 0, ROUTE))
EARLY = (*RESETTING, Place("Stepping", 1), Place("Stepping", 1, ROUTE))
LATE = (
    Place("Stepping", 2),
    Place("Stepping", 3, few=1),
    Place("Promoting", 0, ROUTE),
    Place("Switching", 0, SERVICE),
    Place("Returning", 0, ROUTE),
)
BACK = (Place("RollingBack", 0, ROUTE), Place("RollingBack", 0, SERVICE), Place("RollingBack"))


def moments(seed: int, places: tuple[Place, ...]) -> list[Moment]:
    """The moments at these places; a weight, of which there is one write, is always written."""
    chance = random.Random(seed)
    return [
        Moment(place, nth=1, served=True)
        if place.of == ROUTE
        else Moment(place, 1 if place.of else chance.randint(1, place.few), chance.random() < 0.5)
        for place in places
    ]


class Reaper:
    """Kills the operator at each moment in turn, while a shop rolls out."""

    def __init__(self, shop: Shop, due: list[Moment]) -> None:
        self.due = due
        self.done: list[Moment] = []
        self._shop = shop
        self._writes = 0

    async def __call__(self, request: Request) -> Fault | None:
        """Asked by the API server before it serves a request."""
        if not (self.due and self._counts(request) and reached(self._shop.status, self.due[0].place)):
            return None
        self._writes += 1
        if self._writes < self.due[0].nth:
            return None
        self._writes = 0
        moment = self.due.pop(0)
        self.done.append(moment)
        self._shop.notes.append(f"SIGKILL in {moment} ({request.method} {request.path.rpartition('/')[2]})")
        self._shop.stage.strike(SERVED_WITHIN_S if moment.served else 0.0)
        return Fault(cut=True, after=moment.served)

    def _counts(self, request: Request) -> bool:
        own = request.user == USER and f"/namespaces/{self._shop.namespace}/" in request.path
        told = request.path.endswith("/events") or self.due[0].place.of not in request.path
        return own and request.writes and not told and not self._shop.stage.struck


def survive(shop: Shop, reaper: Reaper, version: str) -> None:
    """Start the operator again whenever it was killed, until the version has come to its end."""
    shop.stage.interfering.append(reaper)
    try:

        def ended() -> bool:
            shop.stage.ensure_operator()
            return not reaper.due and shop.at_rest(version)

        shop.until(ended, LONGEST_S, f"{version} has come to its end; still due: {reaper.due}")
    finally:
        shop.stage.interfering.remove(reaper)
    assert len(reaper.done) == KILLS


def judge() -> dict[str, object]:
    return {"judge": {"minDuration": "3s", "maxDuration": "3m"}}


def promoted(shop: Shop, due: list[Moment]) -> None:
    shop.open("v1")
    shop.canary_strategy["steps"] = [{"setWeight": 10}, judge(), {"setWeight": 50}, judge()]
    commit = shop.commit("bump shop to v2", "v2")
    survive(shop, Reaper(shop, due), "v2")
    assert shop.newest()["verdict"] == "Promoted"
    assert shop.newest()["reason"] == "every guardrail was proved not worse"
    assert shop.phase == "Healthy"
    as_without_kills(shop, commit, "Promoted")


def rolled_back(shop: Shop, due: list[Moment]) -> None:
    shop.open("v1")
    commit = shop.commit("bump shop to v2", "v2-6pct")
    survive(shop, Reaper(shop, due), "v2-6pct")
    assert shop.newest()["verdict"] == "RolledBack"
    assert "errors: canary" in shop.newest()["reason"]
    assert shop.phase == "Degraded"
    assert shop.weight() == 0
    as_without_kills(shop, commit, "RolledBack")


def aborted(shop: Shop, due: list[Moment]) -> None:
    shop.open("v1")
    shop.canary_strategy["steps"] = [{"setWeight": 25}, {"pause": {}}]
    commit = shop.commit("bump shop to v2, pause", "v2")
    reaper = Reaper(shop, due[:-2])
    shop.stage.interfering.append(reaper)

    def paused() -> bool:
        shop.stage.ensure_operator()
        return not reaper.due and shop.phase == "Paused"

    shop.until(paused, LONGEST_S, "v2 pauses")
    shop.stage.interfering.remove(reaper)
    reaper.due += due[-2:]
    shop.annotate("abort", "it looks odd")
    survive(shop, reaper, "v2")
    assert shop.newest()["verdict"] == "Aborted"
    assert shop.phase == "Degraded"
    assert shop.weight() == 0
    as_without_kills(shop, commit, "Aborted")


def as_without_kills(shop: Shop, commit: str, verdict: str) -> None:
    """One run, one ReplicaSet a version, one line of history and of notes, and nobody felt it."""
    shop.until(
        lambda: revived(shop) and shop.note_says(commit, verdict), 30, "the verdict is noted on the commit"
    )
    kill_at_rest(shop)
    assert shop.stage.do(shop.repository.note(commit)).count(f'"{verdict}"') == 1
    runs = {(each.name, each.object["spec"]["attempt"], each.object["spec"]["role"]) for each in shop.runs()}
    assert max(Counter((attempt, role) for _, attempt, role in runs).values(), default=1) == 1
    assert Counter(entry["commit"] for entry in shop.status["history"])[commit] == 1
    assert len(shop.witness.versions("rollouts", NAME)) > 1
    assert shop.lost() == {}
    assert shop.over_allowance() == []


def revived(shop: Shop) -> bool:
    """The other shop's moments are no end of this one."""
    shop.stage.ensure_operator()
    return True


def kill_at_rest(shop: Shop) -> None:
    """Once more when all is over; the next life has begun when it has applied another commit."""
    shop.stage.replace_operator()
    labels = {"team": "checkout"}
    shop.objects[f"Service/{STABLE}"]["metadata"]["labels"] = labels
    shop.commit("label a Service")
    shop.until(lambda: revived(shop) and shop.labels(STABLE) == labels, 30, "the other commit is applied")


@dataclass(frozen=True, slots=True)
class Killed:
    """A story that is told with kills."""

    tell: Callable[[Shop, list[Moment]], None]
    places: tuple[Place, ...]
    seed: int

    def __call__(self, shop: Shop) -> None:
        self.tell(shop, moments(self.seed, self.places))

    def __str__(self) -> str:
        return f"{self.tell.__name__}, seed {self.seed}"


STORIES = (
    Killed(promoted, (*EARLY, Place("Promoting")), seed=1),
    Killed(rolled_back, (*EARLY, Place("RollingBack")), seed=2),
)
CAMPAIGNED = (
    Killed(promoted, LATE, seed=3),
    Killed(rolled_back, (*RESETTING, *BACK), seed=4),
    Killed(aborted, (*RESETTING, Place("Stepping", 0), *BACK[:2]), seed=5),
    Killed(
        promoted, (*RESETTING, Place("Stepping", 0), Place("Stepping", 2), Place("Switching", few=2)), seed=6
    ),
)


@pytest.mark.parametrize("story", [*STORIES, *(CAMPAIGNED if CAMPAIGN else ())], ids=str)
def test_five_kills_change_nothing(played: Mapping[Story, Future[None]], story: Story) -> None:
    played[story].result()

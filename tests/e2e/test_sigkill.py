"""The operator is killed by SIGKILL at seeded moments, between two of its writes: the end is the same."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from e2e_stage import NAME, STABLE, Shop

from rollout.sandbox.apiserver.requests import Fault, Request

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

USER = "system:serviceaccount:rollout-system:rollout"
ORDER = {
    name: index
    for index, name in enumerate(
        ("Resetting", "Stepping", "Promoting", "Switching", "Returning", "RollingBack")
    )
}
FEW_WRITES = 3
KILLS = 5
SERVED_WITHIN_S = 0.1


ANY, ROUTE = "", "/httproutes/"


@dataclass(frozen=True, slots=True)
class Moment:
    """From a stage (and step) on, the `nth` write whose path holds `of`.

    `served`: the write is done, and its answer never comes.
    """

    stage: str
    step: int
    of: str
    nth: int
    served: bool


def moments(seed: int, *places: tuple[str, int, str]) -> list[Moment]:
    """The moments at these places; a weight, of which there is one write, is always written."""
    chance = random.Random(seed)
    return [
        Moment(stage, step, of, nth=1, served=True)
        if of == ROUTE
        else Moment(stage, step, of, chance.randint(1, FEW_WRITES), chance.random() < 0.5)
        for stage, step, of in places
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
        if not (self.due and self._counts(request) and self._reached(self.due[0])):
            return None
        self._writes += 1
        if self._writes < self.due[0].nth:
            return None
        self._writes = 0
        moment = self.due.pop(0)
        self.done.append(moment)
        self._shop.stage.strike(SERVED_WITHIN_S if moment.served else 0.0)
        return Fault(cut=True, after=moment.served)

    def _counts(self, request: Request) -> bool:
        own = request.user == USER and f"/namespaces/{self._shop.namespace}/" in request.path
        told = request.path.endswith("/events") or self.due[0].of not in request.path
        return own and request.writes and not told

    def _reached(self, moment: Moment) -> bool:
        status = self._shop.status
        if status.get("stage") not in ORDER:
            return False
        here = (ORDER[status["stage"]], status.get("currentStepIndex") or 0)
        return here >= (ORDER[moment.stage], moment.step)


def survive(shop: Shop, reaper: Reaper, version: str) -> None:
    """Start the operator again whenever it was killed, until the version has come to its end."""
    server = shop.stage.sandbox.server
    server.fault = reaper
    try:

        def ended() -> bool:
            shop.stage.ensure_operator()
            return not reaper.due and shop.at_rest(version)

        shop.until(ended, 200, f"{version} has come to its end; still due: {reaper.due}")
    finally:
        server.fault = None
    assert len(reaper.done) == KILLS


def judge() -> dict[str, object]:
    return {"judge": {"minDuration": "3s", "maxDuration": "3m"}}


@pytest.mark.parametrize("seed", [1])
def test_a_promotion_survives_five_kills(shop: Shop, seed: int) -> None:
    shop.open("v1")
    shop.canary_strategy["steps"] = [{"setWeight": 10}, judge(), {"setWeight": 50}, judge()]
    commit = shop.commit("bump shop to v2", "v2")
    places = (
        ("Resetting", 0, ANY),
        ("Resetting", 0, ROUTE),
        ("Stepping", 1, ANY),
        ("Stepping", 1, ROUTE),
        ("Promoting", 0, ANY),
    )
    survive(shop, Reaper(shop, moments(seed, *places)), "v2")
    assert shop.newest()["verdict"] == "Promoted"
    assert shop.newest()["reason"] == "every guardrail was proved not worse"
    assert shop.phase == "Healthy"
    as_without_kills(shop, commit, "Promoted")


@pytest.mark.parametrize("seed", [2])
def test_a_rollback_survives_five_kills(shop: Shop, seed: int) -> None:
    shop.open("v1")
    commit = shop.commit("bump shop to v2", "v2-6pct")
    places = (
        ("Resetting", 0, ANY),
        ("Resetting", 0, ROUTE),
        ("Stepping", 1, ANY),
        ("Stepping", 1, ROUTE),
        ("RollingBack", 0, ANY),
    )
    survive(shop, Reaper(shop, moments(seed, *places)), "v2-6pct")
    assert shop.newest()["verdict"] == "RolledBack"
    assert "errors: canary" in shop.newest()["reason"]
    assert shop.phase == "Degraded"
    assert shop.weight() == 0
    as_without_kills(shop, commit, "RolledBack")


def as_without_kills(shop: Shop, commit: str, verdict: str) -> None:
    """One run, one ReplicaSet a version, one line of history and of notes, and nobody felt it."""
    shop.until(lambda: shop.note_says(commit, verdict), 20, "the verdict is noted on the commit")
    kill_at_rest(shop)
    assert shop.stage.do(shop.repository.note(commit)).count(f'"{verdict}"') == 1
    runs = {(each.name, each.object["spec"]["attempt"], each.object["spec"]["role"]) for each in shop.runs()}
    assert max(Counter((attempt, role) for _, attempt, role in runs).values()) == 1
    assert Counter(entry["commit"] for entry in shop.status["history"])[commit] == 1
    assert len(shop.witness.versions("rollouts", NAME)) > 1
    assert shop.lost() == {}
    assert shop.over_allowance() == []


def kill_at_rest(shop: Shop) -> None:
    """Once more when all is over; the next life has begun when it has applied another commit."""
    shop.stage.strike()
    shop.stage.do(shop.stage.operator.wait())
    shop.stage.start_operator()
    labels = {"team": "checkout"}
    shop.objects[f"Service/{STABLE}"]["metadata"]["labels"] = labels
    shop.commit("label a Service")
    shop.until(lambda: shop.labels(STABLE) == labels, 20, "the other commit is applied")

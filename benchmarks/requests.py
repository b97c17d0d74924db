"""What a rollout costs the API server: requests of the operator, from the new image to the end."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.fleet import shops
from benchmarks.fleet.mother import NAMESPACE, Stage, healthy, name_of, stage
from rollout.demo.operator_process import SERVICE_ACCOUNT
from rollout.sandbox.apiserver.requests import Request

JUDGE = {"judge": {"minDuration": "3s", "maxDuration": "5m"}}
STEPS = ({"setWeight": 5}, JUDGE, {"setWeight": 25}, JUDGE, {"setWeight": 50}, JUDGE)
OPERATOR = f"system:serviceaccount:{SERVICE_ACCOUNT[0]}:{SERVICE_ACCOUNT[1]}"
REST_S = 60.0
Say = Callable[[str], None]


class Counted:
    """Requests of the operator that concern the namespace; what follows the cluster is left out."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    async def __call__(self, request: Request) -> None:
        if request.user == OPERATOR and f"/{NAMESPACE}/" in request.path and not request.query.get("watch"):
            self.kinds["writes" if request.writes else "reads"] += 1


def rows(say: Say, home: Path, rollouts: int) -> Iterator[dict[str, Any]]:
    """Of rollouts that are promoted over three judged steps, several at once; and of what rests."""
    with stage(home, scrape_s=1, rate=2000.0) as on:
        counted = on.sandbox.server.fault = Counted()
        on.load(shops.namespace(NAMESPACE), shops.template(on.prometheus, "1s"))
        for number in range(rollouts):
            on.load(*shops.shop(name_of(number), "shop:v1", STEPS))
        on.until(healthy, rollouts)
        say(f"{rollouts} rollouts of three judged steps")
        before = counted.kinds.copy()
        for number in range(rollouts):
            on.set_image(name_of(number), "shop:v2")
        on.until(lambda each: healthy(each) and promoted(each), rollouts)
        yield _row("a rollout that is promoted over three judged steps", counted.kinds - before, rollouts)
        say(f"{rollouts} Rollouts rest for {REST_S:g} s")
        settle(on)
        before = counted.kinds.copy()
        on.sleep(REST_S)
        yield _row("a healthy Rollout, in a minute", counted.kinds - before, rollouts)


def promoted(rollout: dict[str, Any]) -> bool:
    """Whether its second version was."""
    history = rollout.get("status", {}).get("history") or ()
    return any(each.get("version") == "shop:v2" and each["verdict"] == "Promoted" for each in history)


def settle(on: Stage) -> None:
    """Until the old pods are gone and told of."""
    on.sleep(15.0)


def _row(what: str, kinds: Counter[str], rollouts: int) -> dict[str, Any]:
    return {"of": what, "reads": kinds["reads"] / rollouts, "writes": kinds["writes"] / rollouts}

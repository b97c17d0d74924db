"""The Rollout, its namespace, its node or the room for its status is taken away mid-canary."""

import subprocess
from collections.abc import Mapping
from concurrent.futures import Future

import pytest
import yaml
from e2e_losses import Names, beyond_excuse, moments, needless
from e2e_oracles import changes, weight_of
from e2e_playing import CAMPAIGN, Story, name_of
from e2e_stage import CANARY, HASH, NAME, STABLE, USER, Shop, pods_of

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]

RATE = 200.0
AT_ONCE = 2
WEIGHT = 60
TOO_LARGE = ApiError(413, "RequestEntityTooLarge", "the object is too large to be stored")


def paused(shop: Shop, image: str = "v2") -> None:
    """A version waits at 60 %, with as many pods as stable."""
    shop.commit(f"bump shop to {image}, pause", image)
    shop.until(
        lambda: shop.phase == "Paused" and shop.report.requests(image) > RATE,
        60,
        f"{image} pauses at {WEIGHT} %",
    )


def opened(shop: Shop) -> None:
    shop.canary_strategy["steps"] = [{"setWeight": WEIGHT}, {"pause": {}}]
    shop.open("v1")


def kubectl(shop: Shop, *words: str, stdin: str | None = None) -> str:
    return shop.stage.kubectl(*words, f"--namespace={shop.namespace}", stdin=stdin)


def users_go_on(shop: Shop, seconds: float = 2.0) -> None:
    sent = shop.report.sent
    shop.until(lambda: shop.report.sent > sent + seconds * RATE, 20, "users go on")


def the_rollout_is_deleted(shop: Shop) -> None:
    """Stable serves all again, nothing of ours stays in Services and route, and then its pods go with it."""
    opened(shop)
    paused(shop)
    kubectl(shop, "delete", "gitsource", "--all")
    kubectl(shop, "delete", f"rollouts.progressive.delivery/{NAME}")
    assert shop.rollout == {}
    for name in (STABLE, CANARY):
        assert HASH not in shop.witness.last("services", name)["spec"]["selector"]
    shop.until(lambda: pods_of(shop, "v1") == pods_of(shop, "v2") == [], 20, "its pods go with it")
    users_go_on(shop)
    returned(shop)
    the_proxys = {f"{code} by nobody" for code in (500, 502, 503)}
    assert {what: pair for what, pair in shop.lost().items() if what not in the_proxys} == {}
    states = moments(shop.witness.seen, Names(NAME, STABLE, CANARY, NAME))
    assert needless(states) == []
    assert beyond_excuse(shop.reports, states) == []


def the_rollout_is_deleted_and_its_pods_stay(shop: Shop) -> None:
    """Orphaned, the canary's pods can't be taken away: the stable Service stays shut to them."""
    opened(shop)
    paused(shop)
    kubectl(shop, "delete", "gitsource", "--all")
    kubectl(shop, "delete", f"rollouts.progressive.delivery/{NAME}", "--cascade=orphan", "--wait=false")
    shop.until(lambda: shop.rollout == {}, 90, "it is let go")
    assert (len(pods_of(shop, "v1")), len(pods_of(shop, "v2"))) == (2, 2)
    before = shop.report.requests("v2")
    users_go_on(shop)
    assert shop.report.requests("v2") == before
    returned(shop, warning=True)
    assert shop.lost() == {}


def returned(shop: Shop, *, warning: bool = False) -> None:
    """The traffic was given back before it was let go."""
    routes = shop.witness.versions("httproutes", NAME)
    assert changes(weight_of(each.object, CANARY) for each in routes) == [0, WEIGHT, 0]
    reasons = {each.object.get("reason") for each in shop.witness.seen["events"]}
    assert ("TrafficNotReturned" in reasons) is warning


def the_namespace_is_deleted(shop: Shop) -> None:
    """Everything goes, what carries our finalizer included, and the operator serves the others."""
    opened(shop)
    paused(shop)
    shop.stage.kubectl("delete", "namespace", shop.namespace, "--timeout=50s")
    left = shop.stage.kubectl("get", "rollouts.progressive.delivery", "--all-namespaces", "--output=name")
    assert shop.stage.operator.running
    assert shop.rollout == {}
    assert f"{shop.namespace}/" not in left


class Refusing:
    """Answers 413 to every status of one Rollout."""

    def __init__(self, shop: Shop) -> None:
        self.refused = 0
        self._path = f"/namespaces/{shop.namespace}/rollouts/{NAME}/status"

    async def __call__(self, request: Request) -> Fault | None:
        if request.user != USER or not request.writes or not request.path.endswith(self._path):
            return None
        self.refused += 1
        return Fault(error=TOO_LARGE)


def its_status_is_refused(shop: Shop) -> None:
    """An abort and a rollback take the weight all the same; they are told when there is room again."""
    opened(shop)
    paused(shop)
    refusing = Refusing(shop)
    shop.stage.interfering.append(refusing)
    shop.annotate("abort", "it looks odd")
    shop.until(lambda: shop.weight() == 0, 20, "the weight is taken")
    assert refusing.refused
    assert shop.status["stage"] == "Stepping"
    shop.stage.interfering.remove(refusing)
    shop.until(lambda: shop.at_rest("v2"), 40, "v2 has come to its end")
    assert shop.newest()["verdict"] == "Aborted"

    paused(shop, "v3-6pct")
    refusing = Refusing(shop)
    shop.stage.interfering.append(refusing)
    shop.until(lambda: shop.weight() == 0, 60, "the weight is taken by evidence")
    shop.stage.interfering.remove(refusing)
    shop.until(lambda: shop.at_rest("v3-6pct"), 40, "v3 has come to its end")
    assert shop.newest()["verdict"] == "RolledBack"
    assert "errors: canary" in shop.newest()["reason"]
    assert shop.lost() == {}
    assert shop.over_allowance() == []


def its_node_is_drained(shop: Shop) -> None:
    """`kubectl drain` evicts every pod, as the budget allows; another node takes them."""
    shop.objects[f"Rollout/{NAME}"]["spec"]["template"]["metadata"]["labels"]["of"] = shop.namespace
    opened(shop)
    paused(shop)
    before = {*pods_of(shop, "v1"), *pods_of(shop, "v2")}
    assert len(before) == 4
    kubectl(shop, "apply", "--filename=-", stdin=yaml.safe_dump(BUDGET))
    drained(shop)
    shop.until(lambda: len(pods_of(shop, "v1")) == len(pods_of(shop, "v2")) == 2, 20, "all are back")
    assert before.isdisjoint({*pods_of(shop, "v1"), *pods_of(shop, "v2")})
    assert {weight_of(each.object, CANARY) for each in shop.witness.versions("httproutes", NAME)} == {
        0,
        WEIGHT,
    }
    shop.annotate("promote", "looks good")
    shop.until(lambda: shop.at_rest("v2"), 40, "v2 has come to its end")
    assert shop.newest()["verdict"] == "Promoted"
    assert shop.lost() == {}
    assert shop.over_allowance() == []


BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": NAME},
    "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "shop"}}},
}


def drained(shop: Shop) -> None:
    """The one node is opened again as soon as it is closed: it plays the other node, too."""
    flags = [f"--pod-selector=of={shop.namespace}", "--timeout=60s"]
    with subprocess.Popen(shop.stage.kubectl_command("drain", "sandbox", *flags)) as drain:
        node = ("get", "node", "sandbox", "--output=jsonpath={.spec.unschedulable}")
        shop.until(lambda: shop.stage.kubectl(*node) == "true", 20, "the node is closed")
        shop.stage.kubectl("uncordon", "sandbox")
        assert drain.wait(80) == 0


STORIES: tuple[Story, ...] = (
    the_rollout_is_deleted,
    the_namespace_is_deleted,
    its_status_is_refused,
    its_node_is_drained,
    *((the_rollout_is_deleted_and_its_pods_stay,) if CAMPAIGN else ()),
)


@pytest.mark.parametrize("story", STORIES, ids=name_of)
def test_users_feel_nothing_of_what_is_taken_away(played: Mapping[Story, Future[None]], story: Story) -> None:
    played[story].result()

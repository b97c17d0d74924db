"""Somebody else writes weights, selectors and replicas, again and again, while a canary is judged."""

import json
from collections.abc import Mapping
from concurrent.futures import Future
from itertools import cycle, islice

import pytest
import yaml
from e2e_meddling import EVERY_S, Meddled, meddling, within
from e2e_oracles import exceeds, weight_of
from e2e_playing import CAMPAIGN, Story, name_of
from e2e_stage import CANARY, HASH, NAME, STABLE, Shop, pods_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(280)]

RATE = 250.0
AT_ONCE = 3
EDITS = 60 if CAMPAIGN else 8
"""One each second."""
WEIGHT = 50
LONGEST_S = 120
REPLICAS = 3


def judged_at_half(shop: Shop) -> str:
    """v2 is judged at half of the traffic; the commit that brought it."""
    shop.open("v1")
    judge = {"judge": {"minDuration": "6s", "maxDuration": "3m"}}
    shop.canary_strategy["steps"] = [{"setWeight": WEIGHT}, judge]
    commit = shop.commit("bump shop to v2", "v2")
    shop.until(lambda: any(each["canary"]["total"] for each in shop.status.get("evidence", ())), 60, "judged")
    return commit


def ends_as_ever(shop: Shop, commit: str) -> None:
    """A good version is promoted by its own evidence, and nobody felt anything."""
    shop.until(lambda: shop.at_rest("v2"), LONGEST_S, "v2 has come to its end")
    assert (shop.newest()["verdict"], shop.newest()["commit"]) == ("Promoted", commit)
    assert shop.newest()["reason"] == "every guardrail was proved not worse"
    assert shop.lost() == {}
    evidence = [
        each.status["evidence"] for each in shop.witness.seen["rollouts"] if each.status.get("evidence")
    ]
    for version, arm in (("v1", "stable"), ("v2", "canary")):
        counted = max(each[0][arm]["total"] for each in evidence)
        assert 0 < counted <= shop.report.requests(version), "more evidence than there were requests"


def weights_are_written(shop: Shop) -> None:
    """Raised, wiped by a manifest applied raw, taken away: undone before the next comes, each time."""
    commit = judged_at_half(shop)
    route = shop.objects[f"HTTPRoute/{NAME}"]
    writes = cycle((patched_weight(shop, 90), applied_by_force(shop, route), patched_weight(shop, 100)))
    seen = meddling(shop, islice(writes, EDITS), lambda: shop.weight() == WEIGHT)
    states = [
        (each.at, weight_of(each.object, CANARY) != WEIGHT)
        for each in shop.witness.versions("httproutes", NAME, seen.since)
    ]
    undone_each_time(seen, states)
    no_more_than(seen, states, WEIGHT, 100)
    ends_as_ever(shop, commit)


def selectors_are_written(shop: Shop) -> None:
    """Wiped by Git's own manifest applied raw, or set to the other version: restored each time."""
    commit = judged_at_half(shop)
    old, new = shop.status["stableRS"], shop.status["currentPodHash"]
    writes = cycle(
        (
            applied_by_force(shop, shop.objects[f"Service/{CANARY}"]),
            patched_selector(shop, STABLE, new),
            applied_by_force(shop, shop.objects[f"Service/{STABLE}"]),
            patched_selector(shop, CANARY, old),
        )
    )
    right = {STABLE: old, CANARY: new}

    def restored() -> bool:
        return all(
            shop.witness.last("services", name)["spec"]["selector"].get(HASH) == revision
            for name, revision in right.items()
        )

    seen = meddling(shop, islice(writes, EDITS), restored)
    versions = [each for name in right for each in shop.witness.versions("services", name, seen.since)]
    wrong: set[str] = set()
    states = []
    for each in sorted(versions, key=lambda version: version.at):
        strays = each.object["spec"]["selector"].get(HASH) != right[each.name]
        wrong = wrong | {each.name} if strays else wrong - {each.name}
        states.append((each.at, bool(wrong)))
    undone_each_time(seen, states)
    no_more_than(seen, states, WEIGHT, 100)
    ends_as_ever(shop, commit)


def patched_weight(shop: Shop, percent: int) -> list[str]:
    path = "/spec/rules/0/backendRefs"
    operations = [
        {"op": "replace", "path": f"{path}/0/weight", "value": 100 - percent},
        {"op": "replace", "path": f"{path}/1/weight", "value": percent},
    ]
    return ["patch", "httproute", NAME, "--type=json", f"--patch={json.dumps(operations)}", in_(shop)]


def patched_selector(shop: Shop, service: str, revision: str) -> list[str]:
    patch = {"spec": {"selector": {HASH: revision}}}
    return ["patch", "service", service, f"--patch={json.dumps(patch)}", in_(shop)]


def applied_by_force(shop: Shop, body: Mapping[str, object]) -> list[str]:
    path = shop.home / f"{body['kind']}-raw.yaml"
    path.write_text(yaml.safe_dump(body))
    flags = ["--server-side", "--force-conflicts", "--field-manager=somebody"]
    return ["apply", *flags, f"--filename={path}", in_(shop)]


def in_(shop: Shop) -> str:
    return f"--namespace={shop.namespace}"


def undone_each_time(seen: Meddled, states: list[tuple[float, bool]]) -> None:
    """Each write was seen to stray and was undone; within its second where the machine is not too busy."""
    for since, until in seen.windows:
        assert True in [strays for at, strays in states if since <= at < until], "a write changed nothing"
    in_time = [
        since
        for since, _ in seen.windows
        if [strays for at, strays in states if since <= at < since + EVERY_S][-1:] == [False]
    ]
    assert in_time, f"none of {len(seen.windows)} was undone before the next"
    assert not states[-1][1], "the last was not undone"


def no_more_than(seen: Meddled, states: list[tuple[float, bool]], allowed: int, foreign: int) -> None:
    """v2 got what it was allowed, and more only for as long as somebody else's write stood."""
    strayed = within(states, seen) / (seen.until - seen.since)
    most = allowed + (foreign - allowed) * strayed
    assert not exceeds(seen.to("v2"), seen.to("v1") + seen.to("v2"), most), (
        f"{seen} with {most:.0f} % at most"
    )


def an_autoscaler_shrinks_it(shop: Shop) -> None:
    """`replicas: 1` by /scale at 90 %: stable carries little then, and the fleet stays as it was."""
    del shop.objects[f"Rollout/{NAME}"]["spec"]["replicas"]
    del shop.canary_strategy["analysis"]
    shop.canary_strategy["steps"] = [{"setWeight": 90}, {"pause": {}}]
    shop.open("v1")
    scale(shop, REPLICAS)
    shop.until(lambda: len(pods_of(shop, "v1")) == REPLICAS and shop.phase == "Healthy", 30, "it is scaled")
    shop.commit("bump shop to v2", "v2")
    shop.until(lambda: shop.phase == "Paused" and shop.report.requests("v2") > 100, 60, "v2 has 90 %")
    scale(shop, 1)
    sent = shop.report.sent
    shop.until(lambda: shop.report.sent > sent + 3 * RATE, 20, "users go on")
    assert shop.rollout["spec"]["replicas"] == 1
    assert (len(pods_of(shop, "v1")), len(pods_of(shop, "v2"))) == (REPLICAS, REPLICAS)
    shop.annotate("promote", "looks good")
    shop.until(lambda: shop.at_rest("v2"), 40, "v2 has come to its end")
    assert len(pods_of(shop, "v2")) == REPLICAS
    assert shop.lost() == {}
    assert shop.over_allowance() == []


def scale(shop: Shop, replicas: int) -> None:
    shop.stage.kubectl("scale", f"rollouts.progressive.delivery/{NAME}", f"--replicas={replicas}", in_(shop))


STORIES = (weights_are_written, selectors_are_written, an_autoscaler_shrinks_it)


@pytest.mark.parametrize("story", STORIES, ids=name_of)
def test_nobody_feels_what_somebody_else_writes(played: Mapping[Story, Future[None]], story: Story) -> None:
    played[story].result()

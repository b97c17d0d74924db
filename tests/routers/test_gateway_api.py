"""Routes in, weights out; weights in, routes out."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.errors import InvalidSpec
from rollout.routers.gateway_api import compose, patch, problems, read, render

CASES = yaml.safe_load(Path(__file__).with_name("weights.yaml").read_text())


def route(*rules: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "checkout", "namespace": "shop", "generation": 3, "resourceVersion": "17"},
        "spec": {"parentRefs": [{"name": "web"}], "hostnames": ["shop.example"], "rules": list(rules)},
        "status": status,
    }


def pair(stable: int | None, canary: int | None, *beside: int) -> dict[str, Any]:
    refs: list[dict[str, Any]] = [{"name": "stable", "port": 80}, {"name": "canary", "port": 80}]
    for ref, weight in zip(refs, (stable, canary), strict=True):
        if weight is not None:
            ref["weight"] = weight
    refs += [{"name": f"other-{index}", "weight": weight} for index, weight in enumerate(beside)]
    return {"backendRefs": refs}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_render(case: dict[str, Any]) -> None:
    before = route(*case["before"])
    kept = deepcopy(before)
    after = render(before, "stable", "canary", case.get("rule"), case["percent"])
    assert after == route(*case["after"])
    assert before == kept, "what came in was changed"
    reading = read(after, "stable", "canary", case.get("rule"))
    assert (reading.canary_percent, reading.exact) == (case["percent"], True)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_the_patch_does_what_render_does_and_touches_weights_alone(case: dict[str, Any]) -> None:
    before = route(*case["before"])
    operations = patch(before, "stable", "canary", case.get("rule"), case["percent"])
    assert jsonpatch.apply_patch(before, list(operations)) == route(*case["after"])
    assert all(each["path"].endswith("/weight") for each in operations if each["op"] != "test")
    if operations:
        assert operations[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "17"}


@pytest.mark.parametrize(
    ("change", "value"),
    [
        pytest.param("metadata.resourceVersion", "18", id="another resourceVersion"),
        pytest.param("spec.rules.0.backendRefs.1.name", "other", id="another backend at that place"),
        pytest.param("spec.rules.0.backendRefs.1.weight", 30, id="another weight at that place"),
    ],
)
def test_the_patch_fails_on_any_other_object(change: str, value: object) -> None:
    operations = patch(route(pair(95, 5)), "stable", "canary", None, 25)
    other: Any = route(pair(95, 5))
    *way, last = change.split(".")
    at = other
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[last] = value
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(other, list(operations))


@pytest.mark.parametrize(
    ("rules", "percent", "exact"),
    [
        pytest.param([pair(95, 5)], 5, True, id="whole percent is exact"),
        pytest.param([pair(999, 1)], 1, False, id="a trace reads as one percent"),
        pytest.param([pair(1, 999)], 100, False, id="almost all reads as all, and not as exact"),
        pytest.param([pair(None, None)], 50, True, id="absent weights are one each"),
        pytest.param([pair(None, 0)], 0, True, id="canary at zero beside an absent weight"),
        pytest.param([pair(0, 0)], 0, False, id="no weight at all is no split to keep"),
        pytest.param([pair(0, 0, 5)], 0, True, id="no weight beside others can't be bettered"),
        pytest.param([pair(143, 7)], 5, True, id="as close below as the total allows is exact"),
        pytest.param([pair(95, 5), pair(75, 25)], 25, False, id="rules that differ read as the larger"),
        pytest.param([pair(95, 5, 900)], 5, True, id="others beside don't count"),
        pytest.param([{"backendRefs": [{"name": "stable"}]}], None, False, id="no pair, no share"),
        pytest.param([], None, False, id="no rule, no share"),
    ],
)
def test_read_the_share_of_the_pair(rules: list[dict[str, Any]], percent: int | None, exact: bool) -> None:
    reading = read(route(*rules), "stable", "canary")
    assert (reading.canary_percent, reading.exact) == (percent, exact)


def test_read_names_the_rules_that_hold_the_pair() -> None:
    reading = read(
        route({"name": "api", **pair(90, 10)}, {"backendRefs": []}, pair(9, 1)), "stable", "canary"
    )
    assert reading.rules == ("api", "2")
    assert reading.total == 10


PARENT = {"name": "web"}
YES = [
    {"type": "Accepted", "status": "True", "observedGeneration": 3},
    {"type": "ResolvedRefs", "status": "True", "observedGeneration": 3},
]


def parents(*conditions: dict[str, Any], **ref: str) -> dict[str, Any]:
    return {"parents": [{"parentRef": PARENT | ref, "controllerName": "x/y", "conditions": list(conditions)}]}


@pytest.mark.parametrize(
    ("status", "accepted"),
    [
        pytest.param({}, None, id="no status says nothing"),
        pytest.param(parents(), None, id="no condition says nothing"),
        pytest.param(parents(*YES), True, id="both conditions for this generation"),
        pytest.param(
            parents(*YES, group="gateway.networking.k8s.io", kind="Gateway", namespace="shop"),
            True,
            id="a parent written out in full is the same parent",
        ),
        pytest.param(parents(YES[0]), None, id="accepted alone leaves the references open"),
        pytest.param(
            parents(*({**each, "observedGeneration": 2} for each in YES)),
            None,
            id="an older generation says nothing",
        ),
        pytest.param(
            parents(*({**each, "observedGeneration": None} for each in YES)),
            None,
            id="no observedGeneration says nothing",
        ),
        pytest.param(
            parents(
                YES[0], {**YES[1], "status": "False", "reason": "BackendNotFound", "message": "no canary"}
            ),
            False,
            id="an unresolved reference refuses",
        ),
        pytest.param(parents({**YES[0], "status": "False"}, YES[1]), False, id="not accepted"),
        pytest.param(
            parents(*YES, {"type": "PartiallyInvalid", "status": "True", "observedGeneration": 3}),
            False,
            id="rules that were dropped refuse",
        ),
        pytest.param(
            parents({**YES[0], "status": "False"}, name="old"),
            None,
            id="a parent that is gone from the spec has no say",
        ),
    ],
)
def test_read_what_the_status_says_of_this_generation(status: dict[str, Any], accepted: bool | None) -> None:
    assert read(route(pair(95, 5), **status), "stable", "canary").accepted is accepted


def test_a_refusal_is_told_in_the_implementations_words() -> None:
    status = parents(
        YES[0], {**YES[1], "status": "False", "reason": "BackendNotFound", "message": "no canary"}
    )
    assert read(route(pair(95, 5), **status), "stable", "canary").message == (
        "ResolvedRefs=False: BackendNotFound: no canary"
    )


def test_each_of_two_parents_has_to_accept() -> None:
    made = route(pair(95, 5), **parents(*YES))
    made["spec"]["parentRefs"].append({"name": "internal"})
    assert read(made, "stable", "canary").accepted is None


@pytest.mark.parametrize(
    ("made", "rule", "says", "remedy"),
    [
        pytest.param(None, None, "does not exist", "create it", id="a missing route"),
        pytest.param(route(), None, "no rules", "add a rule", id="a route without rules"),
        pytest.param(
            route(pair(1, 1)), "web", "no rule named 'web'", "add a rule", id="a rule that is not there"
        ),
        pytest.param(
            route({"name": "web", "backendRefs": [{"name": "stable"}]}),
            "web",
            "rule 'web' does not hold both",
            "add both",
            id="a named rule without the pair",
        ),
        pytest.param(
            route({"backendRefs": [{"name": "stable"}]}, {"backendRefs": [{"name": "canary"}]}),
            None,
            "none of its rules holds both",
            "add both",
            id="a pair torn over two rules",
        ),
        pytest.param(
            route({"backendRefs": [{"name": "stable"}, {"name": "canary"}, {"name": "canary", "port": 81}]}),
            None,
            "names one of our Services twice",
            "once",
            id="a Service twice in a rule",
        ),
        pytest.param(
            route(pair(1, 0, 1)),
            None,
            "can't be split",
            "scale",
            id="a total too small beside another backend",
        ),
        pytest.param(
            route(pair(1_000_000, 1_000_000, 1)),
            None,
            "can't be split",
            "scale",
            id="a total too large for one weight",
        ),
    ],
)
def test_problems_name_the_field_what_is_wrong_and_the_remedy(
    made: dict[str, Any] | None, rule: str | None, says: str, remedy: str
) -> None:
    found = problems(made, "checkout", "stable", "canary", rule, "spec.x.httpRoutes[0]")
    assert len(found) == 1
    assert found[0].path == "spec.x.httpRoutes[0]"
    assert "'checkout'" in found[0].message
    assert says in found[0].message
    assert remedy in found[0].remedy


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(route(pair(1, 0)), id="a small total alone"),
        pytest.param(route(pair(100, 0, 7)), id="a total of 100 beside others"),
        pytest.param(route(pair(1, 0, 0)), id="beside a backend without weight"),
        pytest.param(route(pair(1_000_000, 1_000_000)), id="a total beyond one weight alone"),
    ],
)
def test_no_problem_with(made: dict[str, Any]) -> None:
    assert problems(made, "checkout", "stable", "canary", None, "spec") == ()


def test_render_refuses_a_route_without_the_pair_and_a_share_that_is_none() -> None:
    with pytest.raises(InvalidSpec, match="add both"):
        render(route({"backendRefs": [{"name": "stable"}]}), "stable", "canary", None, 5)
    with pytest.raises(ValueError, match="0 to 100"):
        render(route(pair(1, 1)), "stable", "canary", None, 101)


def test_render_refuses_to_squeeze_the_backends_beside() -> None:
    with pytest.raises(InvalidSpec, match="can't be split"):
        patch(route(pair(3, 0, 1)), "stable", "canary", None, 5)


@pytest.mark.parametrize(
    ("live", "recorded", "canary"),
    [
        pytest.param(pair(75, 25), 25, 25, id="the live split stays"),
        pytest.param(pair(95, 5), 25, 5, id="a raise that waits is not done on the way"),
        pytest.param(pair(0, 100), 25, 25, id="a foreign raise is not repeated"),
        pytest.param(
            {"backendRefs": [{"name": "stable"}]},
            25,
            25,
            id="a live route without the pair: the recorded split",
        ),
    ],
)
def test_compose_puts_the_split_that_stands_into_gits_route(
    live: dict[str, Any], recorded: int, canary: int
) -> None:
    git = route({"name": "new", **pair(100, 0)})
    del git["status"], git["metadata"]["resourceVersion"], git["metadata"]["generation"]
    composed = compose(git, route(live), "stable", "canary", None, recorded)
    assert read(composed, "stable", "canary").canary_percent == canary
    assert composed["metadata"] == {"name": "checkout", "namespace": "shop", "resourceVersion": "17"}
    assert composed["spec"]["rules"][0]["name"] == "new"
    assert "status" not in composed


def test_compose_creates_with_the_recorded_split_and_without_a_version() -> None:
    git = route(pair(50, 50))
    composed = compose(git, None, "stable", "canary", None, 0)
    assert read(composed, "stable", "canary").canary_percent == 0
    assert "resourceVersion" not in composed["metadata"]


weights = st.none() | st.integers(0, 3) | st.integers(0, 1_000_000)
rules = st.builds(pair, weights, weights) | st.builds(pair, weights, weights, st.integers(0, 5))


def blank(made: dict[str, Any]) -> dict[str, Any]:
    """The route without the weights of our pair."""
    bare = deepcopy(made)
    for rule in bare["spec"]["rules"]:
        for ref in rule["backendRefs"]:
            if ref["name"] in ("stable", "canary"):
                ref.pop("weight", None)
    return bare


def total(rule: dict[str, Any]) -> int:
    return sum(ref.get("weight", 1) for ref in rule["backendRefs"] if ref["name"] in ("stable", "canary"))


@settings(derandomize=True, max_examples=400)
@given(st.lists(rules, min_size=1, max_size=3), st.integers(0, 100))
def test_nothing_but_our_weights_changes_and_reading_gives_back_the_percent(
    made: list[Any], percent: int
) -> None:
    before = route(*made)
    try:
        after = render(before, "stable", "canary", None, percent)
    except InvalidSpec:
        assert problems(before, "checkout", "stable", "canary", None, "spec")
        assert percent > 0
        return
    assert blank(after) == blank(before)
    reading = read(after, "stable", "canary")
    assert (reading.canary_percent, reading.exact) == (percent, True), "it would be written for ever"
    assert render(after, "stable", "canary", None, percent) == after
    for old, new in zip(before["spec"]["rules"], after["spec"]["rules"], strict=True):
        stable, canary = (ref.get("weight", 1) for ref in new["backendRefs"][:2])
        assert 0 <= stable <= 1_000_000
        assert 0 <= canary <= 1_000_000
        assert 100 * canary <= percent * (stable + canary), "canary got more than its percent"
        if 100 <= total(old) <= 1_000_000:
            assert total(new) == total(old)
        if len(old["backendRefs"]) > 2 and old["backendRefs"][2]["weight"] and total(old) <= 1_000_000:
            assert total(new) == total(old), "the share of a backend beside changed"

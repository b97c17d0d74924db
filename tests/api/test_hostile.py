"""Whatever stands where: parsers answer with a value or with problems, lint with findings."""

import copy
from collections.abc import Iterator
from typing import Any

import api_manifests as manifests
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.analysis import parse_analysis_template
from rollout.api.analysisrun import parse_analysis_run
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.gitsource import parse_git_source
from rollout.api.identity import attempt_key
from rollout.api.rollout import parse_rollout
from rollout.lint import Document, lint

PARSERS = {
    "Rollout": (manifests.rollout(), parse_rollout),
    "AnalysisTemplate": (manifests.template(), parse_analysis_template),
    "AnalysisRun": (manifests.run(), parse_analysis_run),
    "GitSource": (manifests.git_source(), parse_git_source),
}
json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5%", "1m"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


def places(body: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def replaced(body: Any, path: tuple[str | int, ...], value: Any) -> Any:
    body = copy.deepcopy(body)
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return body


@pytest.mark.parametrize("kind", sorted(PARSERS))
def test_anything_anywhere_is_a_value_or_problems(kind: str) -> None:
    good, parse = PARSERS[kind]

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.sampled_from(list(places(good))), json)
    def check(path: tuple[str | int, ...], value: Any) -> None:
        body = replaced(good, path, value)
        problems: tuple[Problem, ...] = ()
        try:
            parsed = parse(body)
        except InvalidSpec as invalid:
            problems = invalid.problems
        if problems:
            assert all(problem.path and problem.message for problem in problems)
        else:
            again = parse(body | {"spec": parsed.spec.manifest()})
            assert again.spec == parsed.spec
            if kind == "Rollout":
                assert attempt_key(again.spec) == attempt_key(parsed.spec)

    check()


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.data())
def test_lint_survives_anything(data: st.DataObject) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop-stable"},
        "spec": {"selector": {"app": "shop"}},
    }
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop"},
        "spec": {
            "rules": [{"backendRefs": [{"name": "shop-stable", "weight": 1}, {"name": "shop-canary"}]}],
        },
    }
    bodies = [manifests.rollout(), manifests.template(), service, route]
    at = data.draw(st.integers(0, 3))
    bodies[at] = replaced(bodies[at], data.draw(st.sampled_from(list(places(bodies[at])))), data.draw(json))
    for finding in lint([Document("a.yaml", 1, body) for body in bodies]):
        assert str(finding)

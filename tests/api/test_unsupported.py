"""Every row of the table of what is not built yet is refused by name, by the parser and by the CRD."""

import copy
from typing import Any

import api_manifests as manifests
import pytest
from api_manifests import Body, changed

from rollout.api.analysis import parse_analysis_template, parse_cluster_analysis_template
from rollout.api.analysisrun import parse_analysis_run
from rollout.api.crd import open_api
from rollout.api.errors import InvalidSpec
from rollout.api.gitsource import parse_git_source
from rollout.api.kinds import DEFINITIONS, Definition
from rollout.api.rollout import parse_rollout
from rollout.api.unsupported import Unsupported
from rollout.sandbox.apiserver import rules, structural, validation
from rollout.sandbox.apiserver.decode import Findings

GOOD = {
    "Rollout": (manifests.rollout, parse_rollout),
    "AnalysisTemplate": (manifests.template, parse_analysis_template),
    "ClusterAnalysisTemplate": (
        lambda: manifests.template() | {"kind": "ClusterAnalysisTemplate"},
        parse_cluster_analysis_template,
    ),
    "AnalysisRun": (manifests.run, parse_analysis_run),
    "GitSource": (manifests.git_source, parse_git_source),
}
VALUES: dict[str, Any] = {
    "object": {"some": "thing"},
    "array": [{"some": "thing"}],
    "string": "text",
    "integer": 1,
    "boolean": True,
    "any": "1",
    "scalars": ["300ms", 1],
}
ROWS = [
    pytest.param(definition, row, id=f"{definition.kind} {row.path}")
    for definition in DEFINITIONS
    for row in definition.unsupported
]


def refused(definition: Definition, body: Body) -> list[tuple[str, str]]:
    """What the API server would answer under strict validation."""
    schema, stored = open_api(definition), copy.deepcopy(body)
    found = Findings()
    structural.prune(stored, schema, found)
    structural.default(stored, schema)
    causes = validation.validate(stored, schema) + rules.check(stored, schema)
    return [(cause.field, cause.message) for cause in causes] + [(str(text), "") for text in found.problems]


def spoiled(definition: Definition, row: Unsupported) -> tuple[Body, str]:
    """A manifest that is right but for the row's field, and where that stands."""
    where = row.path.replace("[]", "[0]")
    return changed(GOOD[definition.kind][0](), where, VALUES[row.type]), where


@pytest.mark.parametrize("definition", [pytest.param(each, id=each.kind) for each in DEFINITIONS])
def test_what_is_built_passes_both(definition: Definition) -> None:
    make, parse = GOOD[definition.kind]
    parse(make())
    assert refused(definition, make()) == []


@pytest.mark.parametrize(("definition", "row"), ROWS)
def test_the_parser_refuses_it_by_name(definition: Definition, row: Unsupported) -> None:
    body, where = spoiled(definition, row)
    with pytest.raises(InvalidSpec) as caught:
        GOOD[definition.kind][1](body)
    found = {problem.path: problem for problem in caught.value.problems}
    assert found[where].message == "is not supported yet"
    assert found[where].remedy == row.remedy


@pytest.mark.parametrize(("definition", "row"), ROWS)
def test_the_api_server_refuses_it_by_name(definition: Definition, row: Unsupported) -> None:
    body, where = spoiled(definition, row)
    assert (where, f"Forbidden: {row.field} is not supported yet: {row.remedy}") in refused(definition, body)


def test_an_unknown_field_is_named_by_the_api_server_too() -> None:
    body = changed(manifests.rollout(), "spec.strategy.canary.steps[0].setWieght", 5)
    assert any("setWieght" in where for where, _ in refused(DEFINITIONS[0], body))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("metadata.name", "x" * 46, id="a long name"),
        pytest.param("spec.selector", {}, id="a selector for everything"),
        pytest.param("spec.minReadySeconds", 600, id="a deadline too short"),
        pytest.param("spec.strategy.canary.stableService", "shop-canary", id="one Service for both"),
        pytest.param("spec.strategy.canary.analysis", None, id="a judge without analysis"),
        pytest.param("spec.strategy.canary.steps[0].pause", {}, id="two keys in a step"),
        pytest.param("spec.strategy.canary.steps[0].setWeight", 101, id="too much weight"),
        pytest.param("spec.strategy.canary.steps[2].pause.duration", "soon", id="no duration"),
        pytest.param("spec.strategy.canary.canaryService", None, id="a missing Service"),
        pytest.param("spec.template", None, id="a missing template"),
    ],
)
def test_parser_and_api_server_agree_on_what_is_wrong(path: str, value: object) -> None:
    body = changed(manifests.rollout(), path, value)
    assert refused(DEFINITIONS[0], body)
    with pytest.raises(InvalidSpec):
        parse_rollout(body)


def test_the_selector_of_a_stored_rollout_can_not_change() -> None:
    old = manifests.rollout()
    new = changed(old, "spec.selector.matchLabels", {"app": "other"})
    causes = rules.check(new, open_api(DEFINITIONS[0]), "", old)
    assert ("spec.selector", "Invalid value: the selector can't be changed") in [
        (cause.field, cause.message) for cause in causes
    ]

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml

from rollout.api.crd import all_crds, open_api, rendered
from rollout.api.kinds import DEFINITIONS
from rollout.api.schema import Schema

CRDS = Path(__file__).parents[2] / "crds"
ALLOWED = {
    "additionalProperties", "default", "description", "enum", "format", "items", "maxItems", "maxLength",
    "maximum", "minItems", "minLength", "minimum", "pattern", "properties", "required", "type",
    "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
}  # fmt: skip


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from nodes(schema["additionalProperties"], f"{path}.*")


EVERY_NODE = [
    pytest.param(node, id=f"{each.kind}{path}")
    for each in DEFINITIONS
    for path, node in nodes(open_api(each))
]


@pytest.mark.parametrize("name", sorted(rendered()))
def test_the_files_are_what_the_models_say(name: str) -> None:
    assert (CRDS / name).read_text() == rendered()[name], "run `make crds`"


def test_no_file_is_left_over_and_kustomize_has_them_all() -> None:
    listed = yaml.safe_load((CRDS / "Kustomization").read_text())["resources"]
    assert {path.name for path in CRDS.glob("*.yaml")} == set(listed) == set(rendered())


def test_the_text_of_a_crd_is_the_crd() -> None:
    assert {name: yaml.safe_load(text) for name, text in rendered().items()} == all_crds()


@pytest.mark.parametrize("node", EVERY_NODE)
def test_a_schema_is_structural(node: Schema) -> None:
    assert set(node) <= ALLOWED
    open_to_anything = node.get("x-kubernetes-int-or-string") or node.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    assert "type" in node or open_to_anything
    assert not ("type" in node and "x-kubernetes-int-or-string" in node)
    assert not ("properties" in node and "additionalProperties" in node)
    assert set(node.get("required", ())) <= set(node.get("properties", {}))
    re.compile(node.get("pattern", ""))


@pytest.mark.parametrize("node", EVERY_NODE)
def test_a_default_satisfies_its_own_schema(node: Schema) -> None:
    if "default" in node:
        value = node["default"]
        assert value in node.get("enum", [value])
        assert re.search(node.get("pattern", ""), str(value))
        kinds = {"integer": int, "boolean": bool, "string": str, "number": float}
        assert isinstance(value, kinds.get(node.get("type", ""), int | str))


@pytest.mark.parametrize(
    "node", [param for param in EVERY_NODE if "x-kubernetes-validations" in param.values[0]]
)
def test_a_rule_compiles_and_its_field_exists(node: Schema) -> None:
    for rule in node["x-kubernetes-validations"]:
        assert cel.compile(rule["rule"])
        assert "\n" not in rule["message"]
        if "fieldPath" in rule:
            assert rule["fieldPath"].removeprefix(".") in node["properties"]


@pytest.mark.parametrize("definition", [pytest.param(each, id=each.kind) for each in DEFINITIONS])
def test_columns_and_scale_show_fields_that_exist(definition: Any) -> None:
    known = {path for path, _ in nodes(open_api(definition))} | {".metadata.creationTimestamp"}
    paths = [path for _, _, path in definition.columns] + list(definition.scale.values())
    assert {re.sub(r"\[\?\(.*\)\]", "[]", path) for path in paths} <= known


def test_the_listing_has_the_columns_that_people_are_promised() -> None:
    columns = all_crds()["rollouts.yaml"]["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"].upper() for column in columns] == [
        "PHASE", "STEP", "WEIGHT", "STABLE", "CANARY", "VERDICT", "GIT", "AGE",
    ]  # fmt: skip


def test_replicas_have_no_default_so_that_an_autoscaler_is_not_overruled() -> None:
    assert "default" not in open_api(DEFINITIONS[0])["properties"]["spec"]["properties"]["replicas"]


def test_a_status_fills_nothing_in() -> None:
    for definition in DEFINITIONS:
        assert all("default" not in node for _, node in nodes(open_api(definition)["properties"]["status"]))

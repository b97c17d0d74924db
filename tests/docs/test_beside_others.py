"""What the documentation gives to Argo CD and Flux: run as they run it, on statuses of ours."""

import json
import re
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml
from lupa import lua51

DOCS = Path(__file__).parents[2] / "docs"
KEY = "resource.customizations.health.progressive.delivery_"


def manifests(page: str) -> list[Any]:
    found = re.findall(r"^```yaml\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    return [each for text in found for each in yaml.safe_load_all(text)]


def argo_health(kind: str, body: dict[str, Any]) -> str:
    """What Argo CD shows; it runs Lua 5.1, and reads objects by way of JSON."""
    (script,) = (each["data"][KEY + kind] for each in manifests("beside-argo-cd.md") if "data" in each)
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(json.loads(json.dumps(body)), recursive=True)
    return str(lua.execute(script).status)


def flux_health(body: dict[str, Any]) -> str:
    """What Flux makes of it, in its order; an expression that can't be evaluated waits."""
    specs = [each["spec"] for each in manifests("beside-flux.md")]
    (expressions,) = next(spec["healthCheckExprs"] for spec in specs if "healthCheckExprs" in spec)
    variables = {"status": body.get("status", {}), "metadata": body["metadata"]}
    for answer in ("inProgress", "failed", "current"):
        if cel.evaluate(expressions[answer], variables):
            return answer
    return "inProgress"


def rollout(phase: str = "", observed: int = 2) -> dict[str, Any]:
    status = {"phase": phase, "observedGeneration": observed, "message": "as it is"} if phase else {}
    return {"metadata": {"name": "shop", "generation": 2}, "spec": {}, "status": status}


@pytest.mark.parametrize(
    ("body", "argo", "flux"),
    [
        pytest.param(rollout("Healthy"), "Healthy", "current", id="promoted"),
        pytest.param(rollout("Progressing"), "Progressing", "inProgress", id="under way"),
        pytest.param(rollout("Paused"), "Suspended", "inProgress", id="waiting for people"),
        pytest.param(rollout("Degraded"), "Degraded", "failed", id="rolled back"),
        pytest.param(
            rollout("Healthy", observed=1), "Progressing", "inProgress", id="healthy by an older spec"
        ),
        pytest.param(
            rollout("Degraded", observed=1), "Progressing", "inProgress", id="failed by an older one"
        ),
        pytest.param(rollout(), "Progressing", "inProgress", id="new"),
    ],
)
def test_git_32_a_rollout_is_healthy_by_the_status_of_its_present_spec_alone(
    body: dict[str, Any], argo: str, flux: str
) -> None:
    assert (argo_health("Rollout", body), flux_health(body)) == (argo, flux)


def source(ready: str, stalled: str = "False", observed: int = 2, **spec: Any) -> dict[str, Any]:
    conditions = [
        {"type": "Ready", "status": ready, "message": "as it is"},
        {"type": "Stalled", "status": stalled},
    ]
    status = {"observedGeneration": observed, "conditions": conditions}
    return {"metadata": {"name": "shop", "generation": 2}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("body", "argo"),
    [
        pytest.param(source("True"), "Healthy", id="applied"),
        pytest.param(source("False", "True"), "Degraded", id="somebody has to act"),
        pytest.param(source("False"), "Progressing", id="it is tried again"),
        pytest.param(source("True", observed=1), "Progressing", id="ready by an older spec"),
        pytest.param(source("True", suspend=True), "Suspended", id="suspended"),
        pytest.param(source("True") | {"status": None}, "Progressing", id="new"),
    ],
)
def test_git_32_a_source_too(body: dict[str, Any], argo: str) -> None:
    assert argo_health("GitSource", body) == argo


@pytest.mark.parametrize("page", ["beside-argo-cd.md", "beside-flux.md", "layouts.md", "moving-from-push.md"])
def test_every_manifest_of_a_page_is_one(page: str) -> None:
    found = manifests(page)
    assert found
    assert all({"apiVersion", "kind", "metadata"} <= each.keys() for each in found)

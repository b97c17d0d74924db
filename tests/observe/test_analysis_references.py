"""A data plane that no route names yet is a problem only where something is about to be asked of it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api.analysis import AnalysisTemplateSpec
from rollout.api.status import RolloutStatus, Stage
from rollout.observe.reading import Reading, read
from rollout.observe.references import analysis_problems
from rollout.plan.observed import UNKNOWN_PLANE, Plane, Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATES = {
    ("golden", False): AnalysisTemplateSpec.model_validate(
        {"metrics": [{"name": "errors", "compare": {"preset": "errors"}}]}
    )
}
ROLLOUT: dict[str, Any] = {
    "apiVersion": "progressive.delivery/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "shop", "namespace": "shop", "uid": "u", "generation": 1},
    "spec": {
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"containers": [{"name": "a", "image": "a:1"}]},
        },
        "strategy": {
            "canary": {
                "stableService": "shop-stable",
                "canaryService": "shop-canary",
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
                "analysis": {"templates": [{"templateName": "golden"}]},
                "steps": [{"setWeight": 10}, {"judge": {}}],
            }
        },
    },
}


def at(stage: Stage) -> Reading:
    return replace(read(ROLLOUT, NOW), status=RolloutStatus(stage=stage, attempt="a1"))


@pytest.mark.parametrize(
    ("stage", "runs", "problem"),
    [
        pytest.param(Stage.INITIAL, (), False, id="at a first deploy the route may come a moment later"),
        pytest.param(Stage.STABLE, (), False, id="at rest nothing is asked"),
        pytest.param(Stage.RESETTING, (), True, id="before a run begins it has to be known"),
        pytest.param(
            Stage.STEPPING,
            (Run("r", "u", "1", "Running", attempt="a1"),),
            False,
            id="a run knows what it asks",
        ),
        pytest.param(
            Stage.RESETTING, (Run("r", "u", "1", "Failed", attempt="a0"),), True, id="an older run does not"
        ),
    ],
)
def test_when_an_unknown_data_plane_holds_a_rollout(
    stage: Stage, runs: tuple[Run, ...], problem: bool
) -> None:
    assert bool([*analysis_problems(at(stage), TEMPLATES, {}, UNKNOWN_PLANE, runs)]) is problem


@pytest.mark.parametrize("stage", sorted(Stage))
def test_a_data_plane_without_a_preset_is_a_problem_at_any_time(stage: Stage) -> None:
    plane = Plane(controllers=("io.cilium/gateway-controller",))
    assert len([*analysis_problems(at(stage), TEMPLATES, {}, plane, ())]) == 1

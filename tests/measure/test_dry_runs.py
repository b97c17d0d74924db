"""What a Rollout says of the metrics of its templates: which decide nothing, and how much is shown."""

from typing import Any

import pytest
from measured_shop import ERRORS, LATENCY, Judged, even

from rollout.api.analysisrun import parse_analysis_run
from rollout.plan.evidence import Outcome

SUCCESS = {"name": "success", "successCondition": "result > 1", "provider": {"prometheus": {"query": "q"}}}


def shop(errors: float, **analysis: Any) -> Judged:
    return Judged([ERRORS, LATENCY, SUCCESS], even(canary={"errors": errors}), analysis=analysis)


async def test_a_metric_that_the_rollout_runs_dry_rolls_nothing_back() -> None:
    assert await worst(shop(0.3)) is Outcome.WORSE
    assert await worst(shop(0.3, dryRun=[{"metricName": "err.*"}])) is not Outcome.WORSE


async def worst(judged: Judged) -> Outcome:
    found = [(await judged.look()).evidence.outcome for _ in range(24)]
    return Outcome.WORSE if Outcome.WORSE in found else found[-1]


@pytest.mark.parametrize(
    ("analysis", "dry", "shown"),
    [
        pytest.param({}, [], [], id="nothing is said"),
        pytest.param(
            {"dryRun": [{"metricName": "success"}]}, ["^success$"], [], id="a metric with conditions"
        ),
        pytest.param(
            {"measurementRetention": [{"metricName": "s.*", "limit": 3}]},
            [],
            [("^success$", 3)],
            id="so many measurements",
        ),
    ],
)
def test_a_run_is_told_by_the_metrics_own_names(
    analysis: dict[str, Any], dry: list[str], shown: list[tuple[str, int]]
) -> None:
    run = parse_analysis_run(shop(0.01, **analysis).run).spec
    assert [rule.metric_name for rule in run.dry_run] == dry
    kept = [(rule.metric_name, rule.limit) for rule in run.measurement_retention]
    assert [each for each in kept if "success" in each[0]] == shown

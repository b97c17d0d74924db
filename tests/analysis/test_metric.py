from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from analysis import InvalidPolicy, Margin, Metric, Policy, Proportion, Rate, Role, Slo

KIND = Proportion("bad", "total")


def metric(name: str = "errors", **about: Any) -> Metric:
    return Metric(name, about.pop("kind", KIND), **about)


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        pytest.param({"alpha": 0.0}, "alpha", id="an alpha of nothing"),
        pytest.param({"alpha": 0.5}, "alpha", id="an alpha of a coin"),
        pytest.param({"beta": 1.0}, "beta", id="a beta of one"),
        pytest.param({"beta": math.nan}, "beta", id="a beta that is no number"),
        pytest.param({"late_share": 1.0}, "late_share", id="all capital kept back"),
        pytest.param({"horizon": timedelta(0)}, "horizon", id="no horizon"),
        pytest.param({"stale_after": timedelta(0)}, "stale_after", id="stale at once"),
        pytest.param({"min_events": 0}, "min_events", id="no events"),
        pytest.param({"metrics": (metric(), metric())}, "metrics[1].name", id="two of one name"),
        pytest.param({"metrics": (metric(""),)}, "metrics[0].name", id="no name"),
        pytest.param(
            {"metrics": (metric(tolerate=Margin(0.6, 0)),)},
            "metrics[0].tolerate.relative",
            id="tolerated beyond unacceptable",
        ),
        pytest.param(
            {"metrics": (metric(tolerate=Margin(0.1, 0.01)),)},
            "metrics[0].tolerate.absolute",
            id="absolutely tolerated beyond unacceptable",
        ),
        pytest.param(
            {"metrics": (metric(unacceptable=Margin(-0.1, 0.1)),)},
            "metrics[0].unacceptable.relative",
            id="a guardrail that must improve",
        ),
        pytest.param(
            {"metrics": (metric(unacceptable=Margin(0.5, 5)),)},
            "metrics[0].unacceptable.absolute",
            id="percentage points taken for a share",
        ),
        pytest.param(
            {"metrics": (metric(tolerate=Margin(math.nan, 0)),)},
            "metrics[0].tolerate.relative",
            id="a margin of NaN",
        ),
        pytest.param(
            {"metrics": (metric(role=Role.WARN, weight=0.5),)},
            "metrics[0].weight",
            id="a weight for a warning",
        ),
        pytest.param({"metrics": (metric(weight=0.7),)}, "metrics", id="weights that do not sum to one"),
        pytest.param(
            {"metrics": (metric("a", weight=1.0), metric("b"))},
            "metrics",
            id="weights that leave nothing over",
        ),
        pytest.param({"metrics": (metric(kind=Slo("b", ())),)}, "metrics[0].slo", id="no edge"),
        pytest.param(
            {"metrics": (metric(kind=Slo("b", (3.0, 1.0))),)}, "metrics[0].slo", id="edges that fall"
        ),
        pytest.param(
            {"metrics": (metric(kind=Slo("b", (1.0, 2.0, 3.0, 4.0))),)}, "metrics[0].slo", id="four edges"
        ),
    ],
)
def test_a_policy_that_cannot_be_judged_by_names_its_field(policy: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy(**{"metrics": (metric(),), **policy})
    assert refused.value.path == path
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("metrics", "weights"),
    [
        pytest.param((metric("a"),), {"a": 1.0}, id="one guardrail has all"),
        pytest.param(
            (metric("a"), metric("b"), metric("c")), {"a": 0.5, "b": 0.25, "c": 0.25}, id="the first has half"
        ),
        pytest.param(
            (metric("a", role=Role.WARN), metric("b"), metric("c", role=Role.SUCCESS)),
            {"a": 0.0, "b": 1.0, "c": 0.0},
            id="only guardrails roll back",
        ),
        pytest.param(
            (metric("a"), metric("b", weight=0.8), metric("c")),
            {"a": 0.1, "b": 0.8, "c": 0.1},
            id="some are given",
        ),
        pytest.param((), {}, id="no metric, no weight"),
    ],
)
def test_weights_share_alpha_among_the_guardrails(
    metrics: tuple[Metric, ...], weights: dict[str, float]
) -> None:
    assert Policy(metrics=metrics).weights == pytest.approx(weights)


def test_a_success_metric_may_have_to_improve() -> None:
    policy = Policy(metrics=(metric(role=Role.SUCCESS, unacceptable=Margin(-0.1, 0.0)),))
    assert policy.metric("errors").refusable.line(0.02) == pytest.approx(0.018)


def test_rates_have_margins_of_their_own() -> None:
    assert Policy(metrics=(metric(kind=Rate("restarts")),)).metric("errors").refusable.absolute == 12.0


def test_a_metric_is_found_by_its_name() -> None:
    with pytest.raises(KeyError):
        Policy(metrics=(metric(),)).metric("latency")

"""What is kept of a status, and what is done when it is not kept."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api.errors import Stalled
from rollout.api.status import RolloutStatus, Stage
from rollout.execute.recording import Outdated, missing
from rollout.execute.retreat import retreat
from rollout.plan.actions import (
    Action,
    Announce,
    ClearIntent,
    EnsureReplicas,
    EnsureSelector,
    EnsureWeights,
    WakeAt,
)
from rollout.plan.observed import Observed, Route, Service

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REFUSED = Stalled("Invalid", "too large")
REST: list[Action] = [
    EnsureWeights(0),
    EnsureSelector("shop-canary", "v1"),
    EnsureReplicas("shop-v2", 0),
    ClearIntent("progressive.delivery/abort", "why"),
    Announce("RolloutAborted", "why"),
    WakeAt(NOW),
]


@pytest.mark.parametrize(
    ("sent", "kept", "lost"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="all is kept"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, [], id="a default was added"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, ["b"], id="a field was dropped"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, ["a.c"], id="a field of a field"),
        pytest.param(
            {"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {}]}, ["a[1].b"], id="a field of an entry"
        ),
        pytest.param({"a": [1, 2]}, {"a": [1]}, ["a"], id="an entry"),
        pytest.param({"a": 1}, {"a": 2}, ["a"], id="another value"),
        pytest.param({"a": {}}, {}, ["a"], id="an empty object"),
        pytest.param({"a": 1.0}, {"a": 1}, [], id="a number as a server writes it"),
    ],
)
def test_what_is_not_kept_is_named_by_its_path(sent: Any, kept: Any, lost: list[str]) -> None:
    assert list(missing(sent, kept)) == lost


def observed(*shares: int | None, ready: int = 2) -> Observed:
    return Observed(
        namespace="shop",
        name="shop",
        uid="u",
        generation=1,
        resource_version="1",
        status=RolloutStatus(),
        stable_service=Service("shop-stable", "1", "v1", (("v1", ready),)),
        routes=tuple(
            Route("HTTPRoute", "shop", str(index), "1", share) for index, share in enumerate(shares)
        ),
    )


@pytest.mark.parametrize(
    ("seen", "percent", "done"),
    [
        pytest.param(observed(50), 0, True, id="lowers"),
        pytest.param(observed(50, 0), 0, True, id="lowers one of two"),
        pytest.param(observed(50, None), 0, True, id="lowers the one that can be read"),
        pytest.param(observed(50), 80, False, id="raises"),
        pytest.param(observed(50, 10), 20, False, id="lowers one and raises another"),
        pytest.param(observed(0), 0, False, id="changes nothing"),
        pytest.param(observed(50, ready=0), 0, False, id="no stable pod is ready"),
    ],
)
def test_without_a_record_a_weight_is_only_lowered_towards_a_ready_stable(
    seen: Observed, percent: int, done: bool
) -> None:
    for stage in Stage:
        status = RolloutStatus(stage=stage)
        rest: list[Action] = [EnsureWeights(percent), *REST[1:]]
        assert list(retreat(seen, status, rest, REFUSED)) == ([EnsureWeights(percent)] if done else [])


@pytest.mark.parametrize(
    ("stage", "rollout", "all_of_it"),
    [
        pytest.param(Stage.ROLLING_BACK, {"metadata": {}}, True, id="back, and remembered"),
        pytest.param(Stage.REFUSED, {"metadata": {}}, True, id="refused, and remembered"),
        pytest.param(Stage.ROLLING_BACK, None, False, id="back, but not remembered"),
        pytest.param(Stage.STEPPING, {"metadata": {}}, False, id="forward"),
        pytest.param(Stage.PROMOTING, {"metadata": {}}, False, id="to the end"),
    ],
)
def test_an_old_crd_that_keeps_all_memory_lets_the_whole_way_back_be_gone(
    stage: Stage, rollout: Any, all_of_it: bool
) -> None:
    outdated = Outdated(frozenset({"evidence"}), rollout)
    done = list(retreat(observed(50), RolloutStatus(stage=stage), REST, outdated))
    assert done == (REST if all_of_it else REST[:1])

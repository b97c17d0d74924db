"""Nothing is asked while traffic strays, and nothing is counted that came before it was in order again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from measured_shop import manifest

from analysis.evidence import Series
from rollout.api.rollout import parse_rollout
from rollout.api.status import CanaryStatus, RolloutStatus, Stage
from rollout.measure import Measurer
from rollout.plan.observed import Observed, Route, Run, Service

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARMS = {"stable": 'pod=~"v1-.*"', "canary": 'pod=~"v2-.*"'}
ERRORS = {
    "name": "errors",
    "interval": "1s",
    "compare": {"proportion": {"bad": 'r{code="500"}', "total": "r"}, "arms": ARMS},
    "provider": {"prometheus": {"address": "http://prometheus:9090"}},
}
RUN: dict[str, Any] = {
    "apiVersion": "progressive.delivery/v1alpha1",
    "kind": "AnalysisRun",
    "metadata": {"name": "run", "uid": "run", "resourceVersion": "1"},
    "spec": {"metrics": [ERRORS], "role": "background", "attempt": "a"},
}


class Silent:
    """A source that notes from when on it was asked, and has nothing."""

    def __init__(self) -> None:
        self.since: list[datetime] = []

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        self.since.append(at - span)
        return ()

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[dict[str, str], float], ...]:
        return ()


def observed(**status: Any) -> Observed:
    """At 50 % as recorded."""
    return Observed(
        namespace="shop",
        name="shop",
        uid="uid",
        generation=1,
        resource_version="1",
        status=RolloutStatus(
            stage=Stage.STEPPING,
            attempt="a",
            stable_rs="v1",
            current_pod_hash="v2",
            current_step_index=0,
            step_effect_since=NOW,
            weight_since=NOW,
            canary=CanaryStatus(desired_weight=50),
            **status,
        ),
        spec=parse_rollout(manifest()).spec,
        stable_service=Service("stable", "1", "v1", (("v1", 4),), settled=True),
        canary_service=Service("canary", "1", "v2", (("v2", 2),), settled=True),
        routes=(Route("HTTPRoute", "shop", "0", "1", 50),),
        runs=(Run("run", "run", "1", "Running", attempt="a", role="background"),),
    )


async def asked(seen: Observed) -> list[datetime]:
    source = Silent()
    measurer = Measurer(lambda address: source, timedelta(0))
    await measurer.measure(seen, RUN, NOW + timedelta(seconds=30))
    return source.since


async def test_what_is_as_recorded_is_asked_since_the_step_began() -> None:
    assert min(await asked(observed())) <= NOW


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"routes": (Route("HTTPRoute", "shop", "0", "1", 80),)}, id="another weight"),
        pytest.param({"routes": ()}, id="no route"),
        pytest.param({"stable_service": Service("stable", "1", None)}, id="a wiped stable selector"),
        pytest.param({"canary_service": Service("canary", "1", "v1")}, id="a swapped canary selector"),
        pytest.param({"canary_service": None}, id="no canary Service"),
    ],
)
async def test_what_strays_is_not_asked(changes: dict[str, Any]) -> None:
    assert await asked(replace(observed(), **changes)) == []


async def test_what_strayed_is_not_counted_afterwards() -> None:
    """The look reaches back for the last samples before the cut, which are counted for nothing."""
    whole, after = (
        await asked(observed()),
        await asked(observed(evidence_not_before=NOW + timedelta(seconds=20))),
    )
    assert min(after) - min(whole) == timedelta(seconds=20)


async def test_nothing_is_asked_before_all_is_in_order_for_some_seconds() -> None:
    assert await asked(observed(evidence_not_before=NOW + timedelta(seconds=31))) == []

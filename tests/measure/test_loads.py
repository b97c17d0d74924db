"""Unequal load, from the pods' own counters to the status, and foreseen by a plan."""

import pytest
from measured_shop import CANARY, ERRORS, LATENCY, STABLE, Judged, evidence, metric, pods

from rollout.measure.loads import alike, ratio
from rollout.plan.evidence import Outcome

SLOW = (0.5, 0.3, 0.15, 0.05)
WARM = metric("latency", **LATENCY["compare"], warmUp="0s")


def shop(share: float) -> Judged:
    """Four stable pods and one of the canary, which is slow; the canary gets this share of the requests."""
    stable = pods(STABLE, 4, rps=80 * (1 - share) / 4)
    weight = round(100 * share)
    return Judged([ERRORS, WARM], [*stable, *pods(CANARY, 1, rps=80 * share, slow=SLOW)], weight)


async def test_a_slow_canary_under_a_fifth_of_the_load_is_told_and_not_rolled_back() -> None:
    measured = await shop(0.05).until(Outcome.WORSE, within=300)
    latency = evidence(measured, "latency")
    assert measured.evidence.outcome is not Outcome.WORSE
    assert latency.unequal_load
    assert "unequal load: a canary pod gets 0.21 times a stable pod's" in latency.reason
    assert latency.canary is not None
    assert latency.stable is not None
    assert latency.canary.per_pod == pytest.approx(4, rel=0.05)
    assert latency.stable.per_pod == pytest.approx(19, rel=0.05)
    assert not evidence(measured, "errors").unequal_load


async def test_the_same_canary_under_the_same_load_is_rolled_back() -> None:
    measured = await shop(0.2).until(Outcome.WORSE, within=300)
    assert measured.evidence.outcome is Outcome.WORSE
    assert not evidence(measured, "latency").unequal_load


@pytest.mark.parametrize(
    ("weight", "canary", "stable", "found", "comparable"),
    [
        pytest.param(0.05, 1, 4, 0.21, False, id="one pod of five at 5 %"),
        pytest.param(0.25, 1, 4, 1.33, True, id="one pod of five at 25 %"),
        pytest.param(0.5, 2, 4, 2.0, True, id="just twice the load"),
        pytest.param(0.75, 3, 4, 4.0, False, id="stable keeps all of its pods"),
        pytest.param(1.0, 4, 4, float("inf"), False, id="stable gets none"),
    ],
)
def test_loads_are_alike_from_half_to_twice(
    weight: float, canary: int, stable: int, found: float, comparable: bool
) -> None:
    assert ratio(weight, canary, stable) == pytest.approx(found, abs=0.01)
    assert alike(ratio(weight, canary, stable)) is comparable

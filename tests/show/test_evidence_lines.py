"""One metric's evidence as a line, by what its numbers are."""

import pytest

from rollout.api.status import ArmSamples, Counted, MetricEvidence
from rollout.show.evidence import line


def shown(**about: object) -> str:
    return line(MetricEvidence.model_validate({"metric": "some", "verdict": "Undecided", **about})).plain


@pytest.mark.parametrize(
    ("counted", "canary", "stable", "says"),
    [
        pytest.param(
            Counted.SHARE, (41, 3720), (10, 1000), "canary 1.1 % (41 of 3,720)   stable 1.0 %", id="a share"
        ),
        pytest.param(
            Counted.RATE, (3, 6), (1, 20), "canary 0.5/h (3 in 6 pod-hours)   stable 0.05/h", id="a rate"
        ),
        pytest.param(Counted.MEAN, (3e9, 25), (1e9, 10), "canary 1.2e+08   stable 1e+08", id="a gauge"),
        pytest.param(Counted.MEAN, (0, 0), (1e9, 10), "canary no data   stable 1e+08", id="nothing yet"),
    ],
)
def test_numbers_are_told_by_what_they_are(
    counted: Counted, canary: tuple[float, float], stable: tuple[float, float], says: str
) -> None:
    arms = {
        name: ArmSamples(bad=bad, total=total)
        for name, (bad, total) in (("canary", canary), ("stable", stable))
    }
    assert says in shown(counted=counted, **arms)


def test_unequal_load_is_told_with_the_loads() -> None:
    said = shown(
        unequal_load=True,
        canary=ArmSamples(bad=1, total=100, per_pod=4.02),
        stable=ArmSamples(bad=1, total=100, per_pod=19.1),
    )
    assert "unequal load (4 against 19 requests/s a pod)" in said
    assert "unequal load" not in shown()

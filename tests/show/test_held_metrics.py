"""Threshold metrics on the terminal: how they stand, by their measurements."""

from rollout.api.status import Counted, MetricEvidence
from rollout.show.evidence import lines


def test_a_threshold_metric_is_a_line_of_its_measurements() -> None:
    shown = lines(
        (
            MetricEvidence(
                metric="success-rate",
                verdict="Running",
                reason="2 successful in this step; last [0.993]",
                counted=Counted.MEASUREMENTS,
            ),
            MetricEvidence(metric="errors", verdict="NoData", reason="no series"),
        )
    )
    assert str(shown[0]) == "success-rate  running: 2 successful in this step; last [0.993]"
    assert "canary no data" in str(shown[1])

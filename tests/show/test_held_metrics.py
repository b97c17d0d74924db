"""Threshold metrics on the terminal: how they stand, by their measurements."""

from rollout.api.status import Counted, MetricEvidence
from rollout.show.evidence import lines, stated


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


def test_an_error_rate_is_promised_for_what_is_compared_alone() -> None:
    compared = MetricEvidence(metric="errors", verdict="Undecided")
    held = MetricEvidence(metric="success-rate", verdict="Running", counted=Counted.MEASUREMENTS)
    assert stated((compared,), "at most 1 %") == stated((), "at most 1 %") == "at most 1 %"
    assert stated((compared, held), "at most 1 %") == "at most 1 %, of what is compared"
    assert stated((held,), "at most 1 %") == "by conditions and limits"

"""What a whole policy is said to do: holds in time and too short, good rollouts, bad ones and their harm."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from analysis import Margin, Mean, Metric, Policy, Proportion, Rate, Role
from analysis.holds import Hold
from analysis.planning import End, forecast, shortfalls

ERRORS = Metric("errors", Proportion("bad", "total"))
POLICY = Policy((ERRORS,))
NAMES = frozenset({"errors"})


def judging(step: str, weight: float, most: float = 10, least: float = 1) -> Hold:
    return Hold(step, weight, timedelta(minutes=least), timedelta(minutes=most), NAMES, NAMES)


def pausing(step: str, weight: float, minutes: float) -> Hold:
    return replace(judging(step, weight, minutes, minutes), gates=frozenset())


STEPS = tuple(judging(str(2 * at + 1), weight) for at, weight in enumerate((0.05, 0.1, 0.25, 0.5)))


def test_a_good_rollout_at_100_requests_a_second_takes_about_15_minutes() -> None:
    """As whole simulated rollouts of these steps did: 15 min at 1 %, 13 at 0.1 %, 10 without errors."""
    for rate, low, high in ((0.01, 12, 28), (0.001, 9, 16), (0.0, 8, 12)):
        good = forecast(POLICY, STEPS, 6000, {"errors": rate}).good_minutes
        assert low < good.expected < high
        assert good.low <= good.expected <= good.high


@pytest.mark.parametrize("requests", [60, 600, 6000, 60_000])
def test_the_short_way_finds_the_same_steps_that_come_too_late_by_the_same_times(requests: float) -> None:
    rates = {"errors": 0.01}
    whole = [each for each in forecast(POLICY, STEPS, requests, rates).holds if not each.reaches_margin]
    short = shortfalls(POLICY, STEPS, requests, rates)
    assert [each.hold for each in short] == [each.hold for each in whole]
    for one, other in zip(short, whole, strict=True):
        assert [each.detects for each in one.late_detections] == [e.detects for e in other.late_detections]
        assert [each.passes for each in one.late_passes] == [e.passes for e in other.late_passes]


def test_a_step_with_too_little_traffic_is_told_both_ways() -> None:
    outlook, *_ = forecast(POLICY, STEPS, 600, {"errors": 0.01}).holds
    assert not outlook.reaches_margin
    (reach,) = outlook.reaches
    assert reach.passes is not None
    assert reach.passes > 10
    assert reach.ratio == pytest.approx(5.0, rel=0.1)  # 10 requests a second at 5 % find 5 % for 1 %
    enough = forecast(POLICY, STEPS, 600_000, {"errors": 0.01}).holds[0]
    assert enough.reaches_margin


def test_a_bad_canary_costs_about_as_much_as_it_did_in_simulated_rollouts() -> None:
    """1 % to 5 %: 10 failed requests in 45 s; 0.1 % to 1 %: 6 in 2.25 min."""
    for bad, stable, failed, minutes in ((0.05, 0.01, 10, 0.75), (0.01, 0.001, 6, 2.25)):
        told = forecast(POLICY, STEPS, 6000, {"errors": stable}, bad=("errors", bad))
        assert told.end is End.FOUND
        assert told.failed is not None
        assert told.bad_minutes is not None
        assert told.failed.low < failed < told.failed.high
        assert told.bad_minutes.low < minutes < told.bad_minutes.high


def test_what_is_not_found_in_time_is_held_and_fails_requests_until_then() -> None:
    told = forecast(POLICY, STEPS, 600, {"errors": 0.01}, bad=("errors", 0.02))
    assert told.end is End.HELD
    assert told.failed is not None
    assert told.failed.expected == pytest.approx(0.01 * 30 * 10, rel=0.01)


def test_pauses_alone_hold_nothing_back_but_the_evidence_of_harm_goes_on() -> None:
    pauses = [pausing("1", 0.05, 5), pausing("3", 0.05, 5)]
    through = forecast(POLICY, pauses, 600, {"errors": 0.01}, bad=("errors", 0.02))
    assert through.end is End.THROUGH
    assert through.good_minutes.expected == 10
    assert [each.passes for outlook in through.holds for each in outlook.reaches] == [None, None]
    one = forecast(POLICY, pauses[:1], 6000, {"errors": 0.01}, bad=("errors", 0.02))
    both = forecast(POLICY, pauses, 6000, {"errors": 0.01}, bad=("errors", 0.02))
    assert (one.end, both.end) == (End.THROUGH, End.FOUND)


def test_a_pause_before_a_judge_at_the_same_weight_is_evidence_for_it() -> None:
    judge = replace(judging("2", 0.05, most=20), fresh=False)
    told = forecast(POLICY, [pausing("1", 0.05, 10), judge], 6000, {"errors": 0.01})
    alone = forecast(POLICY, [replace(judge, fresh=True)], 6000, {"errors": 0.01})
    assert told.holds[1].budget == 30
    assert told.good_minutes.expected < 10 + alone.good_minutes.expected


def test_the_least_time_of_a_step_is_waited_for() -> None:
    told = forecast(POLICY, [judging("1", 0.5, least=7)], 600_000, {"errors": 0.01})
    assert told.good_minutes.expected == 7


def test_metrics_without_a_rate_and_gauges_are_said_to_be_unplanned() -> None:
    policy = Policy((ERRORS, Metric("restarts", Rate("r")), Metric("memory", Mean("m"))))
    names = frozenset({"errors", "restarts", "memory"})
    hold = replace(STEPS[0], gates=names, measured=names, pods=(1, 4))
    told = forecast(policy, [hold], 6000, {"errors": 0.01, "memory": 1.0}).holds[0]
    assert told.unplanned == ("restarts", "memory")
    with_rate = forecast(policy, [hold], 6000, {"errors": 0.01, "restarts": 0.1}).holds[0]
    assert with_rate.unplanned == ("memory",)


def test_roles_say_which_side_is_planned() -> None:
    success = Metric("logins", Proportion("b", "t"), unacceptable=Margin(-0.05), role=Role.SUCCESS)
    warn = Metric("shown", Proportion("b", "t"), role=Role.WARN)
    policy = Policy((ERRORS, success, warn))
    names = frozenset(metric.name for metric in policy.metrics)
    hold = replace(STEPS[0], gates=names, measured=names)
    told = forecast(policy, [hold], 6000, dict.fromkeys(names, 0.01))
    by_name = {reach.metric: reach for reach in told.holds[0].reaches}
    assert by_name["logins"].detects is None
    assert by_name["logins"].passes == math.inf  # it must improve: a canary like stable never does
    assert (by_name["shown"].detects, by_name["shown"].passes) == (None, None)


@pytest.mark.parametrize(
    ("requests", "rates", "power"),
    [
        pytest.param(0.0, {"errors": 0.01}, 0.8, id="no traffic"),
        pytest.param(math.inf, {"errors": 0.01}, 0.8, id="endless traffic"),
        pytest.param(60.0, {"errors": 1.0}, 0.8, id="nothing but errors"),
        pytest.param(60.0, {"errors": -0.1}, 0.8, id="less than none"),
        pytest.param(60.0, {"errors": math.nan}, 0.8, id="not a number"),
        pytest.param(60.0, {"errors": 0.01}, 1.0, id="certainty"),
    ],
)
def test_what_can_not_be_is_refused(requests: float, rates: dict[str, float], power: float) -> None:
    with pytest.raises(ValueError, match=r"must be|share is"):
        forecast(POLICY, STEPS, requests, rates, power=power)

"""Simulated rollouts: reproducible, within what is promised, and as the plan foretold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from analysis import Histogram, Metric, Policy, Proportion, Rate, Slo
from analysis.holds import GivenUp, Hold
from analysis.planning import forecast
from analysis.simulation import Course, End, World, courses, play, share_of, summary, typical

ERRORS = Metric("errors", Proportion("bad", "total"))
POLICY = Policy((ERRORS,))
NAMES = frozenset({"errors"})
STEPS = tuple(
    Hold(str(2 * at + 1), weight, timedelta(minutes=1), timedelta(minutes=10), NAMES, NAMES)
    for at, weight in enumerate((0.05, 0.1, 0.25, 0.5))
)
PAUSES = tuple(replace(hold, gates=frozenset(), least=hold.most) for hold in STEPS)
BUSY = World(6000, {"errors": 0.01}, {})


def played(world: World, runs: int, holds: tuple[Hold, ...] = STEPS, policy: Policy = POLICY) -> list[Course]:
    return list(courses(policy, holds, world, runs, np.random.default_rng(20260401)))


def worse(rate: float, world: World = BUSY) -> World:
    return replace(world, canary={"errors": rate})


def test_the_same_seed_gives_the_same_rollouts_and_another_one_others() -> None:
    first, again = played(BUSY, 3), played(BUSY, 3)
    assert first == again
    assert first != list(courses(POLICY, STEPS, BUSY, 3, np.random.default_rng(7)))


def test_more_runs_begin_with_the_same_ones() -> None:
    assert played(BUSY, 4)[:2] == played(BUSY, 2)


def test_how_long_one_rollout_lasts_moves_no_other() -> None:
    busy = replace(BUSY, requests=60_000)  # so that no step is inconclusive
    short, long = played(busy, 2, STEPS[:1])[1], played(busy, 2)[1]
    assert len(long.sights) > len(short.sights)
    assert long.sights[: len(short.sights)] == short.sights


def test_proof_that_it_is_not_worse_begins_anew_in_each_step() -> None:
    often = replace(BUSY, requests=12_000, look=timedelta(seconds=3))
    course = next(each for each in played(often, 9) if each.end is End.PROMOTED)
    for before, after in pairwise(course.sights):
        if before.step != after.step:
            assert before.log_e_safe is not None
            assert after.log_e_safe is not None
            assert before.log_e_safe >= np.log(20) > after.log_e_safe


def test_a_good_canary_is_hardly_ever_rolled_back_and_a_bad_one_hardly_ever_promoted() -> None:
    runs = 60
    tolerated = summary(played(worse(1.05 * 0.01 + 0.0002), runs, PAUSES))
    unacceptable = summary(played(worse(1.5 * 0.01 + 0.0025), runs, STEPS[2:]))
    false = tolerated.ends[End.ROLLED_BACK].count
    assert stats.binomtest(false, runs, POLICY.alpha, alternative="greater").pvalue > 0.01
    missed = unacceptable.ends[End.PROMOTED].count
    assert stats.binomtest(missed, runs, POLICY.beta, alternative="greater").pvalue > 0.01
    assert unacceptable.ends[End.ROLLED_BACK].value > 0.5


def test_pauses_alone_promote_whom_nothing_is_proved_against() -> None:
    course = play(POLICY, PAUSES, BUSY, np.random.default_rng(1))
    assert (course.end, course.minutes) == (End.PROMOTED, 40.0)


def test_minutes_and_harm_are_as_planned() -> None:
    """The means of simulated rollouts lie within the planned ranges, and near what is expected."""
    busy = replace(BUSY, requests=60_000)
    seen, told = summary(played(busy, 60)), forecast(POLICY, STEPS, 60_000, {"errors": 0.01})
    assert told.good_minutes.low <= seen.minutes[0] <= told.good_minutes.high
    bad, foretold = (
        summary(played(worse(0.05), 150)),
        forecast(POLICY, STEPS, 6000, {"errors": 0.01}, bad=("errors", 0.05)),
    )
    assert foretold.failed is not None
    assert foretold.bad_minutes is not None
    assert bad.excess[0] == pytest.approx(foretold.failed.expected, rel=0.35)
    look = 0.25
    assert foretold.bad_minutes.expected <= bad.minutes[0] <= foretold.bad_minutes.expected + 1.5 * look


def test_the_share_of_good_canaries_that_pass_a_step_is_as_planned() -> None:
    step = replace(STEPS[0], least=timedelta(0), most=timedelta(minutes=15))
    (outlook,) = forecast(POLICY, [step], 6000, {"errors": 0.01}).holds
    (reach,) = outlook.reaches
    assert reach.passes is not None
    budget = replace(step, most=timedelta(minutes=reach.passes))
    runs = 150
    passed = summary(played(BUSY, runs, (budget,))).ends[End.PROMOTED].count
    assert stats.binomtest(passed, runs, 0.76, alternative="less").pvalue > 0.01
    assert stats.binomtest(passed, runs, 0.92, alternative="greater").pvalue > 0.01


def test_a_canary_without_traffic_to_speak_of_is_inconclusive_and_never_passed() -> None:
    little = replace(BUSY, requests=6)
    ends = {course.end for course in played(little, 5)}
    assert ends == {End.INCONCLUSIVE}


def test_what_follows_an_inconclusive_step_is_the_policys() -> None:
    def step(given_up: GivenUp) -> tuple[Hold, ...]:
        return (replace(STEPS[3], most=timedelta(minutes=3), given_up=given_up),)

    held = summary(played(BUSY, 30, step(GivenUp.WAIT)))
    lenient = summary(played(BUSY, 30, step(GivenUp.PROMOTE_IF_COMPATIBLE)))
    back = summary(played(BUSY, 30, step(GivenUp.ROLL_BACK)))
    assert held.ends[End.INCONCLUSIVE].count > 0
    assert lenient.ends[End.PROMOTED].count > held.ends[End.PROMOTED].count
    assert back.ends == held.ends  # not by evidence: it is told apart


def test_edges_rates_and_inline_metrics_are_drawn_and_judged() -> None:
    policy = Policy(
        (ERRORS, Metric("slow", Slo("buckets", (0.3, 1.0))), Metric("restarts@5", Rate("restarts_total")))
    )
    inline = replace(
        STEPS[2], step="5", gates=frozenset({"restarts@5"}), measured=NAMES | {"restarts@5"}, pods=(50, 50)
    )
    both = frozenset({"errors", "slow"})
    steps = (replace(STEPS[2], gates=both, measured=both), inline)
    rates = {"errors": 0.001, "slow": 0.002, "restarts@5": 0.05}
    good = play(policy, steps, World(6000, rates, {}), np.random.default_rng(3))
    assert (good.end, good.sights[-1].step) == (End.PROMOTED, "5")
    crashing = play(policy, steps, World(6000, rates, {"restarts@5": 60.0}), np.random.default_rng(3))
    assert (crashing.end, crashing.step, crashing.blamed) == (End.ROLLED_BACK, "5", ("restarts@5",))
    slow = play(policy, steps, World(6000, rates, {"slow": 0.05}), np.random.default_rng(3))
    assert (slow.end, slow.blamed) == (End.ROLLED_BACK, ("slow",))


def test_a_histogram_is_drawn_and_found_by_its_shape() -> None:
    latency = Metric("latency", Histogram("buckets", (0.3, 1.0)))
    policy, names = Policy((ERRORS, latency)), frozenset({"errors", "latency"})
    steps = (replace(STEPS[2], gates=names, measured=names),)
    rates = {"errors": 0.001, "latency": 0.01}
    good = play(policy, steps, World(6000, rates, {}), np.random.default_rng(3))
    assert good.end is End.PROMOTED
    slow = play(policy, steps, World(6000, rates, {"latency": 0.05}), np.random.default_rng(3))
    assert (slow.end, slow.blamed) == (End.ROLLED_BACK, ("latency",))


def test_each_look_shows_where_the_evidence_stands() -> None:
    course = play(POLICY, STEPS, worse(0.05), np.random.default_rng(5))
    assert course.end is End.ROLLED_BACK
    assert [sight.minutes for sight in course.sights] == [
        pytest.approx(0.25 * (at + 1)) for at in range(len(course.sights))
    ]
    assert course.sights[-1].log_e_harm >= np.log(100) > course.sights[0].log_e_harm
    _, low, high = course.sights[-1].ratio["errors"]
    assert 1.0 < low < 5.0 < high


def test_the_typical_rollout_is_the_one_of_median_length() -> None:
    some = played(worse(0.05), 9)
    middle = typical(some, End.ROLLED_BACK)
    assert middle is not None
    assert middle.minutes == np.median([course.minutes for course in some])
    assert typical(some, End.PROMOTED) is None


@pytest.mark.parametrize(("count", "of"), [(0, 20), (1, 20), (10, 20), (20, 20)])
def test_intervals_are_those_of_clopper_and_pearson(count: int, of: int) -> None:
    expected = stats.binomtest(count, of).proportion_ci(0.95, method="exact")
    share = share_of(count, of)
    assert (share.low, share.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_nothing_played_is_no_summary() -> None:
    with pytest.raises(ValueError, match="nothing was played"):
        summary([])

"""P4: whether traffic goes where it is sent, and whether anybody is there to answer."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import (
    ArmSamples,
    Checkpoint,
    Context,
    Counts,
    InvalidPolicy,
    Mean,
    Metric,
    Outcome,
    Pair,
    Policy,
    Proportion,
    Reading,
    Samples,
    Series,
    Share,
    Status,
    Up,
    begin,
    begin_step,
    fold,
    judge,
    read,
    route,
)
from analysis.boundaries import HARM
from analysis.evidence import to_ms
from analysis.routing import RouteTest, RouteVerdict

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCRAPE = timedelta(seconds=15)
ERRORS = Metric("errors", Proportion("bad", "total"))
POLICY = Policy(metrics=(ERRORS, Metric("up", Up())), share=Share("errors"))
ONE = Policy(metrics=(ERRORS,), share=Share("errors"))


def second(k: float) -> datetime:
    return START + timedelta(seconds=k)


def sent(canary: float, stable: float, bad: float = 0) -> Pair:
    return Pair(Counts(bad, canary), Counts(0, stable))


def after(*looks: Pair, weight: float | None = 0.1, policy: Policy = ONE) -> Checkpoint:
    cp = route(begin_step(begin(policy, START), "1", START), weight, START)
    for seen in looks:
        cp = fold(policy, cp, "errors", look(cp, seen))
    return cp


def look(cp: Checkpoint, seen: Pair) -> Reading:
    since = cp.cut("errors")
    return Reading(since, since + SCRAPE, Status.OK, (seen,))


def verdict(cp: Checkpoint, policy: Policy = ONE) -> RouteVerdict:
    found = judge(policy, cp, cp.cut("errors") + timedelta(seconds=5)).route
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("seen", "misrouted"),
    [
        pytest.param(sent(1000, 9000), False, id="a tenth as configured"),
        pytest.param(sent(1100, 8900), False, id="within a fifth of it"),
        pytest.param(sent(1600, 8400), True, id="too much"),
        pytest.param(sent(400, 9600), True, id="too little"),
        pytest.param(sent(0, 9000), True, id="nothing at all"),
        pytest.param(sent(2, 10), False, id="too few requests to tell"),
    ],
)
def test_the_canarys_share_is_held_against_its_weight(seen: Pair, misrouted: bool) -> None:
    assert verdict(after(seen)).misrouted is misrouted


def test_misrouted_holds_what_would_have_passed() -> None:
    judgement = judge(ONE, after(sent(4000, 9000)), second(20))
    assert judgement.outcome is Outcome.MISROUTED
    assert not judgement.blind
    assert "the canary gets 30.8 % of 13,000 requests" in judgement.reason
    assert "configured are 10 %" in judgement.reason


def test_misrouted_neither_causes_nor_prevents_a_rollback() -> None:
    assert judge(ONE, after(sent(4000, 9000, bad=400)), second(20)).outcome is Outcome.WORSE
    assert judge(ONE, after(sent(300, 9000)), second(20)).blamed == ()


def test_no_data_outweighs_a_share_that_was() -> None:
    cp = after(sent(4000, 9000))
    cp = fold(ONE, cp, "errors", Reading(second(15), second(15), Status.NO_DATA, cause="gone"))
    assert judge(ONE, cp, second(20)).outcome is Outcome.NO_DATA


def test_without_a_request_nothing_is_verified() -> None:
    unseen = verdict(after())
    assert (unseen.observed, unseen.misrouted) == (None, False)
    assert unseen.reason == "no request was seen since the canary's weight is 10 %"


def test_the_interval_holds_the_share() -> None:
    seen = verdict(after(sent(130, 870)))
    assert seen.observed == 0.13
    assert 0.08 < seen.low < 0.13 < seen.high < 0.2


@pytest.mark.parametrize("weight", [None, 0.0, 1.0])
def test_where_nothing_is_split_nothing_is_tested(weight: float | None) -> None:
    cp = after(sent(4000, 9000), weight=weight)
    assert cp.route is None
    assert judge(ONE, cp, second(20)).outcome is Outcome.NOT_WORSE


def test_a_policy_that_does_not_ask_is_not_told() -> None:
    silent = Policy(metrics=(ERRORS,))
    cp = after(sent(4000, 9000), policy=silent)
    assert judge(silent, cp, second(20)).route is None
    assert judge(silent, cp, second(20)).outcome is Outcome.NOT_WORSE


def test_a_new_weight_is_tested_from_when_it_is_set() -> None:
    cp = after(sent(1000, 9000))
    raised = route(cp, 0.5, second(20))
    straddling = fold(ONE, raised, "errors", look(raised, sent(100, 900)))
    assert straddling.route == raised.route
    later = fold(ONE, straddling, "errors", look(straddling, sent(500, 500)))
    assert verdict(later).requests == 1000
    assert route(later, 0.5, second(60)) is later


def test_only_the_metric_that_is_named_counts_requests() -> None:
    cp = after(policy=POLICY)
    seen = fold(POLICY, cp, "up", Reading(START, START + SCRAPE, Status.OK, (sent(1, 1),)))
    assert seen.route == cp.route


def test_a_route_that_is_mended_is_believed_again() -> None:
    wrong, right = sent(600, 900), sent(150, 1350)
    cp = after(*[wrong] * 40)
    assert verdict(cp).misrouted
    looks = 0
    while verdict(cp).misrouted:
        cp, looks = fold(ONE, cp, "errors", look(cp, right)), looks + 1
    assert looks <= 4


def test_a_route_that_breaks_late_is_noticed() -> None:
    cp = after(*[sent(150, 1350)] * 120)
    assert not verdict(cp).misrouted
    looks = 0
    while not verdict(cp).misrouted:
        cp, looks = fold(ONE, cp, "errors", look(cp, sent(450, 1050))), looks + 1
    assert looks <= 3


@pytest.mark.parametrize(
    ("weight", "actual", "phi", "stick"),
    [
        pytest.param(0.1, 0.12, 1.0, 1, id="on the edge of the band above"),
        pytest.param(0.9, 0.88, 1.0, 1, id="on the edge of the band below"),
        pytest.param(0.1, 0.1, 20.0, 20, id="sessions of twenty requests stick"),
    ],
)
def test_a_route_within_the_band_is_hardly_ever_called_misrouted(
    weight: float, actual: float, phi: float, stick: int
) -> None:
    share, rng, found = Share("errors", level=0.05, phi=phi), np.random.default_rng(2), 0
    for _ in range(60):
        test = RouteTest.begun(weight, 0)
        for _ in range(60):
            went = stick * rng.binomial(500 // stick, actual)
            test = test.updated(share, sent(went, 500 - went))
            if test.log_e >= math.log(20):
                found += 1
                break
    assert stats.binomtest(found, 60, 0.05, "greater").pvalue > 1e-4


@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.integers(0, 100), st.sets(st.integers(0, 29), max_size=8))
def test_the_route_resumes_bit_for_bit(seed: int, restarts: set[int]) -> None:
    rng = np.random.default_rng(seed)
    straight = resumed = after()
    for number, went in enumerate(rng.integers(0, 400, 30).tolist()):
        straight, resumed = (
            fold(ONE, cp, "errors", look(cp, sent(went, 1000))) for cp in (straight, resumed)
        )
        if number in restarts:
            resumed = Checkpoint.from_json(json.loads(json.dumps(resumed.to_json())))
    assert resumed == straight
    assert len(json.dumps(resumed.to_json()["route"])) < 1000


@pytest.mark.parametrize(
    ("share", "path"),
    [
        pytest.param(Share("nobody"), "share.metric", id="a metric there is not"),
        pytest.param(Share("memory"), "share.metric", id="a metric that counts no requests"),
        pytest.param(Share("errors", tolerance=1.0), "share.tolerance", id="any share is fine"),
        pytest.param(Share("errors", level=0.9), "share.level", id="an alpha of a coin"),
        pytest.param(Share("errors", phi=0.5), "share.phi", id="calmer than chance"),
    ],
)
def test_a_share_that_cannot_be_tested_names_its_field(share: Share, path: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy(metrics=(ERRORS, Metric("memory", Mean("m"))), share=share)
    assert refused.value.path == path


# `up` as evidence.


def scraped(pod: str, *values: float) -> ArmSamples:
    labels = {"__name__": "up", "instance": pod, "pod": pod, "job": "shop"}
    samples = tuple((to_ms(START) + 15_000 * k, value) for k, value in enumerate(values))
    return ArmSamples({}, up=(Series(labels, samples),))


def read_up(canary: ArmSamples, stable: ArmSamples) -> Reading:
    samples = Samples(canary, stable, START - timedelta(minutes=1))
    return read(Metric("up", Up()), samples, START, second(50), Context(START))


def test_scrapes_that_failed_are_counted() -> None:
    seen = read_up(scraped("c", 1, 1, 0, 0), scraped("s", 1, 1, 1, 1))
    assert seen.status is Status.OK
    assert seen.counts == (Pair(Counts(2, 3), Counts(0, 3)),)


def test_an_arm_that_is_not_scraped_at_all_is_no_evidence() -> None:
    seen = read_up(ArmSamples({}), scraped("s", 1, 1, 1, 1))
    assert seen.status is Status.NO_DATA
    assert "nothing is scraped from canary" in seen.cause


def test_a_canary_that_went_down_is_worse_within_a_minute_or_two() -> None:
    policy = Policy(metrics=(Metric("up", Up()),))
    cp, looks = begin_step(begin(policy, START), "1", START), 0
    while judge(policy, cp, cp.cut("up")).outcome is not Outcome.WORSE:
        since = cp.cut("up")
        counts = (Pair(Counts(2, 2), Counts(0, 4)),)
        cp = fold(policy, cp, "up", Reading(since, since + SCRAPE, Status.OK, counts))
        looks += 1
    assert looks <= 6


def test_pods_that_are_up_pass() -> None:
    policy = Policy(metrics=(Metric("up", Up()),))
    cp = begin_step(begin(policy, START), "1", START)
    counts = (Pair(Counts(0, 120), Counts(0, 400)),)
    cp = fold(policy, cp, "up", Reading(START, START + SCRAPE, Status.OK, counts))
    assert judge(policy, cp, second(20)).outcome is Outcome.NOT_WORSE


def test_a_weight_of_nearly_all_has_a_band_about_the_rest() -> None:
    cp = after(sent(9700, 300), weight=0.9)
    assert verdict(cp).misrouted
    assert not verdict(after(sent(9100, 900), weight=0.9)).misrouted
    assert verdict(cp).high <= 1


def test_evidence_is_put_aside_not_made() -> None:
    """Capital beyond what decides is taken away: never more than an uncapped test would have."""
    share = Share("errors")
    test = RouteTest.begun(0.1, 0)
    for _ in range(10):
        test = test.updated(share, sent(600, 900))
    assert test.above.log_e(HARM) <= math.log(200) + 2.01

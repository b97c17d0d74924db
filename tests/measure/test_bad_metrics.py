"""What can't be judged is said with its path and remedy; what no counter can have makes no verdict."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from measured_shop import ERRORS, LATENCY, Judged, even, metric

from rollout.api.errors import InvalidSpec
from rollout.plan.evidence import Outcome

HISTOGRAM = LATENCY["compare"]["histogram"]
COMPARE = "spec.metrics[0].compare"
LIMIT = {"against": "limit", "tolerate": {"absolute": "1pp"}, "unacceptable": {"absolute": "2pp"}}
RATIO = "sum(rate(errors_total[5m])) / sum(rate(requests_total[5m]))"


@pytest.mark.parametrize(
    ("compare", "path", "says"),
    [
        pytest.param(
            {"proportion": {"bad": RATIO, "total": "requests_total"}},
            "proportion.bad",
            "must be a metric selector such as",
            id="a ratio query",
        ),
        pytest.param(
            {"mean": {"gauge": 'rpc_seconds{quantile="0.99"}'}},
            "mean.gauge",
            "those of several pods have no mean (name a gauge of each pod, or compare the histogram)",
            id="a summary's quantile as a gauge",
        ),
        pytest.param(
            {"proportion": {"bad": 'rpc_seconds{quantile="0.99"}', "total": "rpc_seconds_count"}},
            "proportion.bad",
            "the quantile of a summary counts nothing",
            id="a summary's quantile as a counter",
        ),
        pytest.param(
            {"histogram": {"buckets": "rpc_seconds_count", "slo": ["300ms"]}},
            "histogram.buckets",
            "is one number, not the buckets of a histogram (name the series that end in _bucket",
            id="a histogram's count for its buckets",
        ),
        pytest.param(
            {"histogram": {"buckets": 'rpc_seconds_bucket{le="0.3"}', "slo": ["300ms"]}},
            "histogram.buckets",
            "takes some of the buckets out",
            id="a single bucket",
        ),
        pytest.param(
            {"proportion": {"bad": "rpc_seconds_sum", "total": "rpc_seconds_count"}},
            "proportion.bad",
            "rpc_seconds_sum sums values up and counts nothing (name a counter",
            id="a sum of seconds",
        ),
        pytest.param(
            {**ERRORS["compare"], "tolerate": {"relative": "80%"}},
            "tolerate.relative",
            "must not exceed unacceptable.relative, which is 50%",
            id="tolerating more than is unacceptable",
        ),
        pytest.param(
            {**ERRORS["compare"], **LIMIT, "tolerate": {"absolute": "3pp"}},
            "tolerate.absolute",
            "must not exceed unacceptable.absolute, which is 2pp",
            id="a ceiling above what is unacceptable",
        ),
        pytest.param(
            {**ERRORS["compare"], **LIMIT, "direction": "decrease"},
            "unacceptable.absolute",
            "must not exceed tolerate.absolute, which is 1pp",
            id="a floor below what is unacceptable",
        ),
        pytest.param(
            {**ERRORS["compare"], "against": "limit"},
            "tolerate.absolute",
            "is required: without a control it is the limit itself (write it, such as 1pp)",
            id="a limit that is not given",
        ),
        pytest.param(
            {**ERRORS["compare"], **LIMIT, "tolerate": {"relative": "5%", "absolute": "1pp"}},
            "tolerate.relative",
            "without a control there is nothing to be relative to (remove it)",
            id="a limit relative to nothing",
        ),
        pytest.param(
            {**ERRORS["compare"], **LIMIT, "tolerate": {"absolute": "0pp"}},
            "tolerate.absolute",
            "must be above 0: it is the limit itself",
            id="a limit of nothing",
        ),
        pytest.param(
            {"histogram": {**HISTOGRAM, "harm": "shape"}, **LIMIT},
            "histogram.harm",
            "the shape of a histogram needs a control (write slo)",
            id="a shape without a control",
        ),
        pytest.param(
            {"mean": {"gauge": "memory"}, "against": "limit"},
            "against",
            "a gauge is compared by its ratio and needs a control (remove it)",
            id="a gauge without a control",
        ),
        pytest.param(
            {"mean": {"gauge": "memory"}, "tolerate": {"absolute": "1pp"}},
            "tolerate.absolute",
            "a gauge is compared by its ratio alone (write relative)",
            id="a gauge with percentage points",
        ),
        pytest.param(
            {"rate": {"events": "restarts"}, "direction": "decrease", **LIMIT,
             "tolerate": {"absolute": "1/h"}, "unacceptable": {"absolute": "1/h"}},
            "direction",
            "a rate is held to a ceiling only (count what must not happen)",
            id="a floor of a rate",
        ),
        pytest.param(
            {**ERRORS["compare"], "warmUp": "30s"},
            "warmUp",
            "errors count from the first request (remove it)",
            id="errors that warm up",
        ),
        pytest.param(
            {**ERRORS["compare"], "noise": {"phi": 30}},
            "noise.phi",
            "30 exceeds 20: too noisy to roll back by (use role warn or success)",
            id="too noisy to roll back by",
        ),
        pytest.param(
            {**ERRORS["compare"], "noise": {"tau": 0.2, "pods": 2}},
            "noise.pods",
            "3 pods at least must have told tau",
            id="pods that differ, as told by two",
        ),
        pytest.param(
            {**LATENCY["compare"], "noise": {"tau": 0.2, "pods": 5}},
            "noise.tau",
            "the shape of a histogram is tempered by phi alone (write phi)",
            id="a shape whose pods differ",
        ),
    ],
)  # fmt: skip
def test_what_cant_be_judged_is_refused_by_path_and_remedy(
    compare: dict[str, Any], path: str, says: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        Judged([metric("some", **compare)], [])
    found = {problem.path: f"{problem.message} ({problem.remedy})" for problem in caught.value.problems}
    assert says in found[f"{COMPARE}.{path}"]
    assert f"{COMPARE}.role" not in found, "nothing is said of what is not wrong"


@pytest.mark.parametrize("share", ["0%", "50%", "80%", "5"])
@pytest.mark.parametrize("name", ["falseRollback", "falsePromotion"])
def test_error_rates_lie_between_nothing_and_a_half(name: str, share: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        Judged([ERRORS], [], analysis={name: share})
    assert [problem.path for problem in caught.value.problems] == [f"spec.strategy.canary.analysis.{name}"]


async def said(shop: Judged, seconds: int = 60) -> tuple[Outcome, str]:
    """The last word of a minute, in which nothing was ever decided."""
    while shop.seconds < seconds:
        measured = await shop.look()
        assert measured.evidence.outcome not in (Outcome.WORSE, Outcome.NOT_WORSE)
    return measured.evidence.outcome, "; ".join((measured.evidence.reason, *measured.evidence.problems))


def huge(events: float) -> float:
    return 2.0**53 + 2 * math.floor(events)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        pytest.param(huge, "not a count of events", id="beyond 2^53"),
        pytest.param(lambda events: -math.floor(events) - 1.0, "not a count of events", id="below zero"),
        pytest.param(lambda events: events + 0.5, "not a count of events", id="fractions"),
        pytest.param(lambda events: math.inf, "not a count of events", id="without end"),
    ],
)
async def test_what_no_counter_can_have_makes_no_verdict(count: Callable[[float], float], says: str) -> None:
    outcome, text = await said(Judged([ERRORS], even(canary={"count": count})))
    assert outcome is Outcome.BLIND
    assert says in text
    assert "spec.strategy.canary.analysis: metric errors" in text
    assert 'pod="shop-v2-' in text


async def test_values_that_are_no_numbers_make_no_verdict() -> None:
    outcome, text = await said(Judged([ERRORS], even(canary={"count": lambda events: math.nan})), 300)
    assert outcome is Outcome.BLIND
    assert text


BAD = {"bad": 'http_requests_total{code="500"}', "total": "http_requests_total"}
NOWHERE = {"stable": 'pod=~"shop-v1-.+"', "canary": 'pod=~"shop-v3-.+"'}


@pytest.mark.parametrize(
    ("compare", "says"),
    [
        pytest.param(
            {"proportion": BAD, "arms": NOWHERE},
            "only stable has series for total: nothing is scraped from canary (do `arms` match it?)",
            id="canary's matchers match nothing",
        ),
        pytest.param(
            {"proportion": BAD, "arms": {"label": "pod_template_hash"}},
            "has series, but none with the labels that tell the arms",
            id="a label that nothing has",
        ),
        pytest.param(
            {"proportion": {"bad": "x", "total": "requests_totl"}},
            "no series for total requests_totl{}: no such metric is known",
            id="no such metric",
        ),
        pytest.param(
            {"histogram": {"buckets": "seconds_bucket", "slo": ["250ms"]}, "warmUp": "0s"},
            "no bucket with the edge 0.25: the histograms share 0.1, 0.3, 1, inf",
            id="an edge that is none",
        ),
        pytest.param(
            {"histogram": {"buckets": "up", "slo": ["300ms"]}},
            "has no usable `le`: not a classic histogram's bucket",
            id="no histogram",
        ),
        pytest.param(
            {"proportion": {"bad": "memory_bytes", "total": "http_requests_total"}},
            "not a count of events",
            id="a gauge for a counter",
        ),
    ],
)
async def test_what_shows_only_when_it_is_asked_blinds_by_its_cause(
    compare: dict[str, Any], says: str
) -> None:
    outcome, text = await said(Judged([metric("some", **compare)], even()))
    assert outcome is Outcome.BLIND
    assert says in text


async def test_clocks_that_jump_count_nothing_twice_and_make_no_verdict() -> None:
    """An hour back and forth: the operator's clock, not the samples'."""
    steady, jumping = Judged([ERRORS], even()), Judged([ERRORS], even())
    for _ in range(6):
        await steady.look()
        await jumping.look()
        back = await jumping.look(-60)
        assert back.evidence.outcome in (Outcome.UNDECIDED, Outcome.NOT_WORSE)
        jumping.seconds += 60
    whole, again = await steady.look(), await jumping.look()
    assert whole.evidence.metrics[0].canary == again.evidence.metrics[0].canary


async def test_a_summary_that_hides_behind_its_name_is_no_gauge() -> None:
    """Nothing in the selector tells, but the series do."""
    shop = Judged([metric("memory", mean={"gauge": "summary_seconds"}, role="guardrail")], even())
    shop.source = shop.recorded(also={"summary_seconds": {"quantile": "0.99"}})
    outcome, text = await said(shop)
    assert outcome is Outcome.BLIND
    assert "the quantile of a summary" in text

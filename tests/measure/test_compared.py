"""Each measure that a template may ask for: from the manifest, by its queries, to what the status says."""

from typing import Any

import pytest
from measured_shop import CANARY, ERRORS, LATENCY, Judged, Pod, even, evidence, metric, pods

from rollout.api.status import Counted
from rollout.plan.evidence import Outcome

COLD = {"warmUp": "0s"}
SLOWER = (0.8, 0.17, 0.025, 0.005)
LEAKS = {"gauge": "memory_bytes", "block": "10s"}


async def test_a_good_canary_is_proved_by_errors_and_latency() -> None:
    shop = Judged([ERRORS, LATENCY], even())
    measured = await shop.until(Outcome.NOT_WORSE)
    assert measured.evidence.outcome is Outcome.NOT_WORSE
    assert "p99" in evidence(measured, "latency").reason


async def test_a_slower_canary_is_found_by_the_whole_histogram_before_its_slo_shows_it() -> None:
    faster_below_slo = (0.7, 0.29, 0.009, 0.001)
    """Twice as many above 100 ms, and as many as before above 300 ms."""
    shape = metric("latency", histogram=LATENCY["compare"]["histogram"], tolerate={"relative": "5%"}, **COLD)
    slow_tail = even(canary={"slow": SLOWER})
    measured = await Judged([shape], slow_tail).until(Outcome.WORSE)
    assert measured.evidence.outcome is Outcome.WORSE
    within = await Judged([shape], even(canary={"slow": faster_below_slo})).until(Outcome.WORSE, within=300)
    assert within.evidence.outcome is not Outcome.WORSE, "slower, but not beyond what is tolerated"


async def test_harm_by_slo_asks_for_the_edges_alone() -> None:
    by_slo = {**LATENCY["compare"]["histogram"], "harm": "slo"}
    measured = await Judged([metric("latency", histogram=by_slo)], even(canary={"slow": SLOWER})).until(
        Outcome.WORSE
    )
    shown = evidence(measured, "latency")
    assert measured.evidence.outcome is Outcome.WORSE
    assert "p99" not in shown.reason
    assert shown.tolerate == "5% + 0.02pp over 0.3 s"


async def test_a_gauge_is_only_shown_unless_it_is_armed() -> None:
    fat = even(canary={"memory": 300.0})
    shown = await Judged([ERRORS, metric("memory", mean=LEAKS, **COLD)], fat).until(Outcome.NOT_WORSE)
    assert shown.evidence.outcome is Outcome.NOT_WORSE
    assert evidence(shown, "memory").counted is Counted.MEAN
    armed = Judged([metric("memory", mean=LEAKS, role="guardrail", **COLD)], fat)
    measured = await armed.until(Outcome.WORSE)
    assert measured.evidence.outcome is Outcome.WORSE
    assert evidence(measured, "memory").tolerate == "10%"


async def test_fewer_events_are_harm_where_they_are_what_is_wanted() -> None:
    served = {"bad": 'http_requests_total{code="200"}', "total": "http_requests_total"}
    compare = {"proportion": served, "direction": "decrease", "tolerate": {"absolute": "1pp"}}
    measured = await Judged(
        [metric("served", unacceptable={"absolute": "5pp"}, **compare)], even(canary={"errors": 0.2})
    ).until(Outcome.WORSE)
    assert measured.evidence.outcome is Outcome.WORSE


LIMITED: dict[str, Any] = {
    **ERRORS["compare"],
    "against": "limit",
    "tolerate": {"absolute": "2pp"},
    "unacceptable": {"absolute": "4pp"},
}


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        pytest.param(0.005, Outcome.NOT_WORSE, id="within its limit"),
        pytest.param(0.08, Outcome.WORSE, id="beyond its limit"),
    ],
)
async def test_without_a_control_the_canary_is_held_to_a_limit(errors: float, outcome: Outcome) -> None:
    """Stable's own pods export nothing: a first version, or one that had no metrics yet."""
    alone = pods(CANARY, 2, errors=errors, began=120.0)
    measured = await Judged([metric("errors", **LIMITED)], alone).until(outcome)
    assert measured.evidence.outcome is outcome
    shown = evidence(measured, "errors")
    assert (shown.tolerate, shown.unacceptable) == ("limit 2pp", "limit 4pp")


async def test_deterioration_rolls_back_and_holds_nobody_up() -> None:
    rare = metric("errors", **ERRORS["compare"], role="deterioration")
    success = metric("latency", **LATENCY["compare"], role="success", **COLD)
    good = await Judged([rare, success], even()).until(Outcome.NOT_WORSE)
    assert good.evidence.outcome is Outcome.NOT_WORSE
    bad = await Judged([rare, success], even(canary={"errors": 0.1})).until(Outcome.WORSE)
    assert bad.evidence.outcome is Outcome.WORSE


async def test_a_success_metric_never_rolls_back() -> None:
    success = metric("errors", **ERRORS["compare"], role="success")
    measured = await Judged([success], even(canary={"errors": 0.5})).until(Outcome.WORSE, within=120)
    assert measured.evidence.outcome is Outcome.UNDECIDED


UP = metric("up", up={})


async def test_a_canary_that_went_silent_is_evidence() -> None:
    """Its process hangs: nothing but the failed scrapes tells."""
    hangs = even(canary={"up": lambda second: second < 30})
    measured = await Judged([ERRORS, UP], hangs).until(Outcome.WORSE)
    assert measured.evidence.outcome is Outcome.WORSE
    assert "up: canary" in measured.evidence.reason


async def test_without_up_a_silent_canary_is_blindness() -> None:
    hangs = even(canary={"up": lambda second: second < 30})
    measured = await Judged([ERRORS], hangs).until(Outcome.WORSE, within=300)
    assert measured.evidence.outcome is Outcome.BLIND


async def test_both_versions_silent_is_no_evidence_against_the_canary() -> None:
    """Prometheus lost them all: the clock stops."""
    gone = [Pod(p.version, p.number, p.rps, began=p.began, up=lambda second: second < 30) for p in even()]
    measured = await Judged([ERRORS, UP], gone).until(Outcome.WORSE, within=300)
    assert measured.evidence.outcome is Outcome.BLIND


async def test_pods_that_start_may_fail_their_first_scrapes() -> None:
    late = [*even(), *pods(CANARY, 6, began=-60.0, rps=1.0, up=lambda second: second >= 80)[2:]]
    measured = await Judged([ERRORS, UP], late).until(Outcome.WORSE, within=200)
    assert evidence(measured, "up").canary is not None
    assert evidence(measured, "up").canary.bad == 0  # type: ignore[union-attr]
    assert measured.evidence.outcome is Outcome.NOT_WORSE


async def test_a_restart_changes_no_verdict() -> None:
    every = [
        ERRORS, LATENCY, UP, metric("memory", mean=LEAKS, role="guardrail", **COLD),
    ]  # fmt: skip
    whole, cut = Judged(every, even()), Judged(every, even())
    for _ in range(6):
        await whole.look()
    for _ in range(3):
        await cut.look()
    await whole.look()
    await cut.written()
    for _ in range(3):
        await cut.look()
    assert (await whole.look()).evidence == (await cut.look()).evidence


async def test_a_run_that_was_begun_by_edges_alone_goes_on_by_edges() -> None:
    """An older operator knew no shapes: its checkpoint has none to go on from."""
    slow = even(canary={"slow": SLOWER})
    shop = Judged([metric("latency", histogram={**LATENCY["compare"]["histogram"], "harm": "slo"})], slow)
    for _ in range(3):
        await shop.look()
    await shop.written()
    shop.run["spec"]["metrics"][0]["compare"]["histogram"].pop("harm")
    measured = await shop.until(Outcome.WORSE)
    assert measured.evidence.outcome is Outcome.WORSE
    assert "p99" not in evidence(measured, "latency").reason

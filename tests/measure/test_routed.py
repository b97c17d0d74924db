"""The real requests are held against the weight: traffic that goes elsewhere holds, and is told."""

from typing import Any

import pytest
from measured_shop import ERRORS, LATENCY, Judged, even, metric

from analysis.sequential import Checkpoint
from rollout.measure import Measured
from rollout.plan.evidence import Outcome, Sent

ELSEWHERE = even(20)


async def looked(shop: Judged, seconds: int = 120) -> Measured:
    measured = await shop.look()
    while shop.seconds < seconds and measured.evidence.outcome is not Outcome.MISROUTED:
        measured = await shop.look()
    return measured


async def test_requests_that_go_where_the_route_says_verify_it() -> None:
    seen = [(await looked(Judged([ERRORS], even(50), 50), seconds)).evidence.share for seconds in (5, 60)]
    assert seen == [Sent.UNVERIFIED, Sent.AS_ASKED]


async def test_a_canary_that_gets_less_than_its_weight_holds_however_good_it_is() -> None:
    measured = await looked(Judged([ERRORS], ELSEWHERE, 50))
    assert (measured.evidence.outcome, measured.evidence.share) == (Outcome.MISROUTED, Sent.ELSEWHERE)
    assert measured.evidence.compatible is False
    assert "the canary gets about 20 % of the requests, its weight is 50 %" in measured.evidence.routing
    assert "routed: false" in measured.evidence.reason


async def test_harm_is_harm_wherever_requests_go() -> None:
    measured = await looked(Judged([ERRORS], even(20, canary={"errors": 0.5}), 50), 30)
    assert measured.evidence.outcome is Outcome.WORSE


@pytest.mark.parametrize(
    "compare",
    [
        pytest.param({**ERRORS["compare"], "routed": False}, id="somebody said so"),
        pytest.param(LATENCY["compare"], id="what new pods do at first is not counted"),
        pytest.param(
            {
                **ERRORS["compare"],
                "against": "limit",
                "tolerate": {"absolute": "4pp"},
                "unacceptable": {"absolute": "9pp"},
            },
            id="stable is not counted",
        ),
    ],
)
async def test_what_does_not_count_all_requests_tells_nothing_of_the_route(compare: dict[str, Any]) -> None:
    measured = await looked(Judged([metric("some", **compare)], ELSEWHERE, 50))
    assert measured.evidence.share is Sent.UNKNOWN


async def test_nothing_is_held_against_a_proxy_while_it_settles() -> None:
    """The weight was 20 % until five seconds ago."""
    shop = Judged([ERRORS], ELSEWHERE, 50)
    assert (await looked(shop, 10)).evidence.share is Sent.UNVERIFIED


async def test_the_test_of_the_route_survives_a_restart() -> None:
    shop = Judged([ERRORS], ELSEWHERE, 50)
    for _ in range(8):
        measured = await shop.look()
    before = measured.evidence.share
    await shop.written()
    measured = await shop.look()
    assert before is measured.evidence.share is Sent.ELSEWHERE


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(
            {"format": 99}, "checkpoint of format 99; this judge reads up to format 2", id="from the future"
        ),
        pytest.param({"metrics": {}}, "the checkpoint knows nothing of errors", id="of other metrics"),
        pytest.param({"metrics": {"errors": 1}}, "damaged checkpoint", id="not one of ours"),
    ],
)
async def test_a_checkpoint_that_cant_be_read_blinds_and_says_what_to_do(
    spoil: dict[str, Any], says: str
) -> None:
    shop = Judged([ERRORS], even())
    await shop.look()
    await shop.written()
    shop.run["status"] = {**shop.run["status"], "checkpoint": {**shop.run["status"]["checkpoint"], **spoil}}
    measured = await shop.look()
    assert measured.evidence.outcome is Outcome.BLIND
    assert says in measured.evidence.reason
    assert "abort and retry" in measured.evidence.reason
    assert measured.unsaved is None, "nothing is written over it"


async def test_a_run_begun_before_routes_were_tested_goes_on() -> None:
    shop = Judged([ERRORS], even())
    await shop.look()
    await shop.written()
    written = dict(shop.run["status"]["checkpoint"])
    written.pop("route")
    assert Checkpoint.from_json(written).route is None
    shop.run["status"] = {**shop.run["status"], "checkpoint": written}
    assert (await shop.until(Outcome.NOT_WORSE)).evidence.outcome is Outcome.NOT_WORSE

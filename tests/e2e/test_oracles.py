"""The oracles themselves: what they call more than chance, and what they allow."""

import pytest
from e2e_losses import Moment, Needless, beyond_excuse, needless
from e2e_oracles import allowed, differs, exceeds, overruns
from e2e_witness import Object, Passed, Seen

from rollout.sandbox.shop.load import LoadReport

STEPS = [{"setWeight": 5}, {"pause": {}}, {"setWeight": 25}, {"pause": {}}]


def rollout(stage: str, index: int | None = None) -> Object:
    return {
        "metadata": {"name": "shop"},
        "spec": {"strategy": {"canary": {"steps": STEPS}}},
        "status": {"stage": stage, "currentStepIndex": index},
    }


def passed(at: float, stable: int, canary: int) -> Passed:
    return Passed(at, at, {"stable": stable, "canary": canary})


@pytest.mark.parametrize(
    ("count", "total", "percent", "above", "unlike"),
    [
        pytest.param(0, 600, 0, False, False, id="nothing where nothing is allowed"),
        pytest.param(1, 600, 0, True, True, id="one request where none is allowed is no chance"),
        pytest.param(160, 3213, 5, False, False, id="the share that was asked for"),
        pytest.param(317, 3213, 5, True, True, id="double the share over five seconds"),
        pytest.param(15, 152, 5, False, False, id="double the share in one look may be chance"),
        pytest.param(380, 2000, 25, False, True, id="too little is unlike, but not above"),
        pytest.param(600, 600, 100, False, False, id="all where all is allowed"),
    ],
)
def test_a_share_is_held_to_chance(count: int, total: int, percent: float, above: bool, unlike: bool) -> None:
    assert exceeds(count, total, percent) is above
    assert differs(count, total, percent) is unlike


@pytest.mark.parametrize(
    ("state", "percent"),
    [
        pytest.param(rollout("Resetting", 0), 0, id="nothing before the first step"),
        pytest.param(rollout("Stepping", 1), 5, id="the weight of the last step that set one"),
        pytest.param(rollout("Stepping", 2), 25, id="the step's own weight"),
        pytest.param(rollout("Promoting", 4), 100, id="all while it is promoted"),
        pytest.param(rollout("RollingBack", 3), 0, id="nothing once it is rolled back"),
    ],
)
def test_the_recorded_stage_and_step_say_what_is_allowed(state: Object, percent: int) -> None:
    assert allowed(state) == percent


def test_a_weight_that_comes_before_its_record_is_an_overrun() -> None:
    recorded = [Seen(0.0, rollout("Resetting", 0)), Seen(10.0, rollout("Stepping", 0))]
    early = [passed(8.0, 1000, 0), passed(8.5, 1285, 15)]
    in_time = [passed(10.1, 1000, 0), passed(10.6, 1285, 15)]
    assert overruns(recorded, early, "stable", "canary")
    assert overruns(recorded, in_time, "stable", "canary") == []


def test_a_lowered_weight_may_lag_at_the_proxy_but_not_stay() -> None:
    recorded = [Seen(0.0, rollout("Stepping", 2)), Seen(10.0, rollout("RollingBack", 2))]
    lagging = [passed(10.0, 1000, 0), passed(10.5, 1225, 75)]
    staying = [passed(13.0, 1000, 0), passed(13.5, 1225, 75)]
    assert overruns(recorded, lagging, "stable", "canary") == []
    assert overruns(recorded, staying, "stable", "canary")


def state(at: float, percent: int, canary: int, stable: int, *, turn: int = 0) -> Moment:
    return Moment(at, percent, canary, stable, ready=canary + stable, turn=turn)


def report(at: float, sent: int, lost: int) -> LoadReport:
    return LoadReport(at=at, sent=sent, counts={"v1": {"200": sent - lost}, "-": {"503": lost}})


@pytest.mark.parametrize(
    ("states", "found"),
    [
        pytest.param([state(0, 50, 1, 2), state(9, 50, 1, 2)], [], id="both are there"),
        pytest.param([state(0, 50, 1, 2), state(1, 50, 0, 0), state(9, 50, 1, 2)], [], id="nobody is there"),
        pytest.param(
            [state(0, 50, 1, 2), state(1, 50, 0, 2), state(1.1, 0, 0, 2, turn=1)],
            [Needless(1, 1.1, 1, by_weight=True)],
            id="the canary is gone, its weight goes after it",
        ),
        pytest.param(
            [state(0, 50, 1, 2), state(1, 50, 1, 0), state(4, 50, 1, 2)],
            [Needless(1, 4, 0, by_weight=False)],
            id="stable is gone, and nobody moves the weight",
        ),
        pytest.param(
            [state(0, 50, 1, 2), state(1, 50, 0, 2), state(7, 50, 0, 2)],
            [Needless(1, 7, 0, by_weight=False)],
            id="it never ends",
        ),
    ],
)
def test_weight_that_stays_where_nobody_is(states: list[Moment], found: list[Needless]) -> None:
    assert needless(states) == found


@pytest.mark.parametrize(
    ("lost", "excused"),
    [
        pytest.param((0, 0), True, id="nothing is lost"),
        pytest.param((48, 0), True, id="the share that went where nobody was"),
        pytest.param((190, 0), False, id="more than that share"),
        pytest.param((0, 20), False, id="a loss long after the weight was moved"),
    ],
)
def test_only_what_goes_where_nobody_is_may_be_lost(lost: tuple[int, int], excused: bool) -> None:
    gone = [state(0, 50, 1, 2), state(10, 50, 0, 2), state(10.2, 0, 0, 2)]
    first, second = lost
    told = [
        report(10.0, 1000, 0),
        report(10.5, 1200, first),
        report(20.0, 5000, first),
        report(20.5, 5200, first + second),
    ]
    assert (beyond_excuse(told, gone) == []) is excused

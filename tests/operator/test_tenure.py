"""What a tenure lets pass, by the clock alone: nobody has to notice that it is over."""

import asyncio

import pytest

from rollout.kube.errors import NotLeading
from rollout.operator.election import Terms
from rollout.operator.tenure import Tenure, guard, now

TERMS = Terms(lease=15.0, deadline=10.0, retry=2.0)


def renewed(seconds_ago: float) -> Tenure:
    return Tenure(0, TERMS, now() - seconds_ago)


@pytest.mark.parametrize(
    ("seconds_ago", "at_most"),
    [
        pytest.param(0.0, 13.5, id="just renewed: nine tenths of the lease"),
        pytest.param(9.5, 4.95, id="half a second before the deadline: nine tenths of what is left"),
    ],
)
def test_a_write_takes_less_than_what_is_left_of_the_lease(seconds_ago: float, at_most: float) -> None:
    tenure = renewed(seconds_ago)
    with tenure.at_work():
        assert at_most - 0.4 < guard() <= at_most


@pytest.mark.parametrize("seconds_ago", [pytest.param(10.0, id="at"), pytest.param(40.0, id="long after")])
def test_nothing_is_written_after_the_deadline_though_nobody_said_that_it_is_over(seconds_ago: float) -> None:
    tenure = renewed(seconds_ago)
    assert not tenure.open
    with tenure.at_work(), pytest.raises(NotLeading):
        guard()


def test_nothing_is_written_for_a_tenure_that_is_over_though_there_is_time_left() -> None:
    tenure = renewed(0)
    tenure.over = True
    with tenure.at_work(), pytest.raises(NotLeading):
        guard()


def test_turns_under_way_may_write_while_no_other_begins() -> None:
    tenure = renewed(0)
    tenure.closing = True
    assert not tenure.open
    with tenure.at_work():
        assert guard() > 0


def test_nothing_is_written_outside_a_turn() -> None:
    with pytest.raises(NotLeading):
        guard()


async def test_what_a_turn_begins_beside_itself_is_bound_to_its_tenure_and_others_are_not() -> None:
    tenure, other = renewed(0), renewed(0)

    async def write() -> float:
        await asyncio.sleep(0.01)
        return guard()

    async def turn(of: Tenure) -> list[float]:
        with of.at_work():
            return await asyncio.gather(write(), asyncio.to_thread(guard))

    tasks = [asyncio.create_task(turn(each)) for each in (tenure, other)]
    await asyncio.sleep(0)
    tenure.over = True
    lost, kept = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(lost, NotLeading)
    assert isinstance(kept, list)

"""What is remembered of the evidence for pictures: few looks, the ends of all steps among them."""

import json
import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.course import Sight
from analysis.evidence import to_ms
from rollout.measure.course import MOST, NO_LOOKS, Course, began, sights

START = datetime(2026, 1, 1, tzinfo=UTC)


def look(step: str, harm: float = 0.0) -> Sight:
    ratio: dict[str, tuple[float | None, float, float]] = {"errors": (1.5, 0.0, math.inf)}
    return Sight(0.0, step, 0.25, harm, None, ratio)


def course(*seconds: float, step: str = "0") -> Course:
    noted = NO_LOOKS
    for second in seconds:
        noted = noted.noted(START + timedelta(seconds=second), look(step, harm=second))
    return noted


def shown(noted: Course) -> list[float]:
    """The seconds of the looks that are kept."""
    return [(each.at - noted.looks[0].at) / 1000 for each in noted.looks]


def test_a_look_soon_after_another_takes_its_place() -> None:
    assert shown(course(0, 1, 1.2, 1.4, 2, 3)) == [0, 1, 2, 3]


def test_many_looks_are_thinned_evenly() -> None:
    noted = course(*range(1000))
    kept = shown(noted)
    assert MOST // 3 < len(kept) <= MOST
    assert (kept[0], kept[-1]) == (0, 999)
    gaps = [later - earlier for earlier, later in pairwise(kept[:-1])]
    assert max(gaps) <= 2 * min(gaps)


def test_the_ends_of_each_step_stay() -> None:
    noted = NO_LOOKS
    for second in range(600):
        noted = noted.noted(START + timedelta(seconds=second), look(str(second // 200)))
    kept = set(shown(noted))
    assert {0, 199, 200, 399, 400, 599} <= kept


@given(
    st.lists(st.tuples(st.floats(0.001, 1000), st.booleans()), min_size=1, max_size=300),
)
def test_however_looks_come_few_are_kept_in_order_with_the_first_and_the_newest(
    steps: list[tuple[float, bool]],
) -> None:
    noted, at, number = NO_LOOKS, START, 0
    for seconds, begins in steps:
        at, number = at + timedelta(seconds=seconds), number + begins
        noted = noted.noted(at, look(str(number)))
    times = [each.at for each in noted.looks]
    first = to_ms(START + timedelta(seconds=steps[0][0]))
    assert len(times) <= MOST
    assert times == sorted(times)
    assert times[0] == first
    assert noted.looks[-1].step == str(number)


def test_what_is_written_is_read_back() -> None:
    noted = course(0, 30, 90)
    again = Course.from_json(json.loads(json.dumps(noted.to_json())))
    assert again == noted
    first, _, last = sights(noted.to_json())
    assert began(noted.to_json()) == START
    assert (first.minutes, last.minutes) == (0, 1.5)
    assert last == Sight(1.5, "0", 0.25, 90.0, None, {"errors": (1.5, 0.0, math.inf)})


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"looks": []},
        {"looks": [1], "apartMs": 1},
        {"looks": [{"at": "x"}], "apartMs": 1},
        {"looks": None},
    ],
)
def test_what_can_not_be_read_is_no_look(damaged: dict[str, object]) -> None:
    assert Course.from_json(damaged).looks == ()
    assert sights(damaged) == ()


def test_a_course_of_many_metrics_leaves_room_for_the_checkpoint() -> None:
    ratio: dict[str, tuple[float | None, float, float]] = {
        f"metric-{number}": (1.2345, 0.1234, 12.34) for number in range(32)
    }
    noted = NO_LOOKS
    for second in range(200):
        point = Sight(0.0, "0", 0.25, -1.2345, 2.3456, ratio)
        noted = noted.noted(START + timedelta(seconds=second), point)
    assert len(json.dumps(noted.to_json())) < 100_000

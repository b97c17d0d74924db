"""Numbers as people read them."""

from datetime import timedelta

import pytest

from rollout.show.quantities import bar, count, length, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        pytest.param(0.0113, "1.1 %", id="one digit from one per cent on"),
        pytest.param(0.00996, "1.0 %", id="just below one per cent"),
        pytest.param(0.0004, "0.04 %", id="two digits below"),
        pytest.param(0.25, "25 %", id="none from ten on"),
        pytest.param(0.0, "0 %", id="nothing"),
    ],
)
def test_a_share_shows_the_figures_that_matter(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        pytest.param(0.0, "[....]", id="empty"),
        pytest.param(-3.0, "[....]", id="evidence against it is no progress"),
        pytest.param(0.5, "[##..]", id="half"),
        pytest.param(0.999, "[###.]", id="never full before it is reached"),
        pytest.param(1.7, "[####]", id="full"),
    ],
)
def test_a_bar_is_full_only_when_the_line_is_reached(progress: float, text: str) -> None:
    assert bar(progress, 4) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(8, "8s", id="seconds"),
        pytest.param(200, "3m20s", id="two units below ten minutes"),
        pytest.param(120, "2m", id="even minutes"),
        pytest.param(4000, "1h", id="the largest unit above"),
        pytest.param(12 * 86_400 + 5, "12d", id="days"),
        pytest.param(-2, "0s", id="a clock that is a little behind"),
    ],
)
def test_a_length_of_time_is_short(seconds: int, text: str) -> None:
    assert length(timedelta(seconds=seconds)) == text


def test_counts_have_their_thousands_apart() -> None:
    assert count(3720.0) == "3,720"

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.base import (
    duration_text,
    parse_duration,
    parse_points,
    parse_share,
    points_text,
    share_text,
)
from rollout.api.margin import Amount, Unit, parse_amount, parse_change


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        pytest.param("30s", 30, id="seconds"),
        pytest.param("5m", 300, id="minutes"),
        pytest.param("1h30m", 5400, id="parts add up"),
        pytest.param("1.5h", 5400, id="a fraction of a unit"),
        pytest.param("300ms", 0.3, id="milliseconds"),
        pytest.param(45, 45, id="a bare number is seconds"),
        pytest.param("45", 45, id="a bare number as text is seconds"),
        pytest.param("0s", 0, id="nothing"),
    ],
)
def test_a_duration_is_read_as_argo_writes_it(written: object, seconds: float) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("5 minutes", id="words"),
        pytest.param("-5s", id="negative"),
        pytest.param(-5, id="negative number"),
        pytest.param("1d", id="days, which Go has not"),
        pytest.param("", id="empty"),
        pytest.param("s", id="unit alone"),
        pytest.param(True, id="a boolean is no number"),
        pytest.param(1.5, id="a fraction without unit"),
        pytest.param(None, id="nothing at all"),
        pytest.param("9" * 5000, id="five thousand digits"),
        pytest.param("9999999999h", id="beyond any calendar"),
        pytest.param("٣s", id="digits of another script"),
        pytest.param("5s\n", id="a line end"),
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match="such as 30s"):
        parse_duration(written)


@settings(derandomize=True)
@given(st.integers(min_value=0, max_value=10**13))
def test_a_duration_survives_being_written_and_read(microseconds: int) -> None:
    value = timedelta(microseconds=microseconds)
    assert parse_duration(duration_text(value)) == value


@settings(derandomize=True)
@given(st.decimals(min_value=0, max_value=99999, places=6))
def test_a_share_survives_being_written_and_read(percent: object) -> None:
    value = parse_share(f"{percent}%")
    assert parse_share(share_text(value)) == value
    assert parse_points(points_text(value)) == value


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("5", id="without its sign"),
        pytest.param(5, id="a number: is it 5 or 500 per cent?"),
        pytest.param("-5%", id="negative"),
        pytest.param("5pp", id="percentage points are something else"),
        pytest.param("1e3%", id="exponents"),
        pytest.param("nan%", id="not a number"),
    ],
)
def test_a_share_needs_its_sign(written: object) -> None:
    with pytest.raises(ValueError, match="5%"):
        parse_share(written)


def test_five_per_cent_is_a_twentieth_and_two_hundredths_of_a_point_are_two_in_ten_thousand() -> None:
    assert (parse_share("5%"), parse_points("0.02pp"), parse_change("-5%")) == (0.05, 0.0002, -0.05)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        pytest.param("0.02pp", Amount(0.0002, Unit.POINTS), id="points of a share"),
        pytest.param("0.5/h", Amount(0.5, Unit.PER_HOUR), id="events per pod and hour"),
    ],
)
def test_an_absolute_margin_keeps_its_unit(written: str, amount: Amount) -> None:
    assert parse_amount(written) == amount
    assert str(amount) == written


def test_an_absolute_margin_without_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.02pp of a share"):
        parse_amount("0.02")

"""Conditions in Argo Rollouts' syntax: what they say of a number, of a list, and of what is none."""

import contextlib
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.conditions import ConditionError, condition
from rollout.conditions.condition import LONGEST, MOST_SERIES

NAN = math.nan


@pytest.mark.parametrize(
    ("text", "result", "holds"),
    [
        pytest.param("result[0] >= 0.95", (0.96,), True, id="a series above a line"),
        pytest.param("result[0] >= 0.95", (0.94,), False, id="a series below a line"),
        pytest.param("result >= 0.95", 0.96, True, id="a scalar"),
        pytest.param("len(result) > 0", (), False, id="no series"),
        pytest.param("len(result) > 0", (NAN,), True, id="one series"),
        pytest.param("all(result, {# > 1})", (2.0, 3.0), True, id="all of a list, in braces"),
        pytest.param("all(result, # > 1)", (2.0, 1.0), False, id="all of a list, without braces"),
        pytest.param("any(result, {# > 1})", (0.0, 2.0), True, id="any"),
        pytest.param("none(result, {# > 1})", (0.0, 2.0), False, id="none"),
        pytest.param("one(result, {# > 1})", (2.0, 2.0), False, id="exactly one"),
        pytest.param("count(result, {# > 1}) == 2", (2.0, 2.0, 0.0), True, id="how many"),
        pytest.param("len(filter(result, {# > 1})) == 1", (0.0, 2.0), True, id="filter"),
        pytest.param("sum(map(result, {# * 2})) == 6", (1.0, 2.0), True, id="map"),
        pytest.param("any(result, {any(result, {# == 7})})", (1.0, 7.0), True, id="one list in another"),
        pytest.param("isNaN(result[0])", (NAN,), True, id="isNaN"),
        pytest.param("isInf(result[0])", (math.inf,), True, id="isInf"),
        pytest.param("isNaN(result[0]) || result[0] > 0.9", (NAN,), True, id="or stops at what is true"),
        pytest.param("len(result) > 0 && result[0] > 1", (), False, id="and stops at what is false"),
        pytest.param("default(result[0], 0) < 1", (), True, id="a default for what is missing"),
        pytest.param("asInt(result[0]) == 3", (3.7,), True, id="asInt cuts"),
        pytest.param("asFloat(1) / 2 == 0.5", (1.0,), True, id="asFloat"),
        pytest.param("result[0] in [1, 2]", (2.0,), True, id="in a list"),
        pytest.param("result[0] not in [1, 2]", (2.0,), False, id="not in a list"),
        pytest.param("not (result[0] > 1)", (0.0,), True, id="not"),
        pytest.param("!isNaN(result[0]) and result[0] < 5", (2.0,), True, id="! and and"),
        pytest.param("result[0] > 1 ? result[1] > 1 : true", (2.0, 0.0), False, id="a ternary"),
        pytest.param("(nil ?? 3) == 3", (1.0,), True, id="nil and ??"),
        pytest.param("result[0] == nil", (1.0,), False, id="a number is not nil"),
        pytest.param("1 + 2 * 3 == 7", (1.0,), True, id="times before plus"),
        pytest.param("-2 ** 2 == -4", (1.0,), True, id="powers before signs"),
        pytest.param("2 ** 3 ** 2 == 512", (1.0,), True, id="powers from the right"),
        pytest.param("7 % 4 == 3 and 10 / 4 == 2.5", (1.0,), True, id="remainders and quotients"),
        pytest.param("isInf(1 / (result[0] - 1))", (1.0,), True, id="a number by nothing is endless"),
        pytest.param("isNaN((result[0] - 1) / 0)", (1.0,), True, id="nothing by nothing is no number"),
        pytest.param("max(result) - min(result) < 1", (1.0, 1.5), True, id="the widest spread"),
        pytest.param("mean(result) == 1.5", (1.0, 2.0), True, id="the mean"),
        pytest.param("result[-1] == 2", (1.0, 2.0), True, id="the last series"),
        pytest.param("result[0] > .5 && result[0] < 1e3", (1.0,), True, id="numbers in every form"),
        pytest.param("true != (1 == 2)", (1.0,), True, id="true is not 1"),
    ],
)
def test_a_condition_says(text: str, result: float | tuple[float, ...], holds: bool) -> None:
    assert condition(text).holds(result) is holds


@pytest.mark.parametrize(
    ("text", "column", "message", "remedy"),
    [
        pytest.param("", 1, "a value is missing before the end", "complete it", id="nothing"),
        pytest.param("result[0] >=", 13, "a value is missing", "complete it", id="half a comparison"),
        pytest.param("result[0] = 1", 11, "unexpected '='", "write ==", id="one equals sign"),
        pytest.param("result[0] > 1 & true", 15, "unexpected '&'", "write &&", id="one ampersand"),
        pytest.param("result[0] > '1'", 13, "unexpected", "texts are not compared", id="a text"),
        pytest.param("resultt[0] > 1", 1, "unknown name 'resultt'", "`result`", id="a name of nothing"),
        pytest.param("result.value > 1", 7, "there are no fields", "result[0]", id="a field"),
        pytest.param(
            "lenn(result) > 0", 1, "unknown function 'lenn'", "did you mean len?", id="a misspelling"
        ),
        pytest.param("len() > 0", 1, "len takes 1 argument(s), not 0", "", id="no argument"),
        pytest.param("# > 1", 1, "# stands outside", "all(result, {# > 1})", id="an item of nothing"),
        pytest.param("(result[0] > 1", 15, "')' is missing", "complete it", id="an open bracket"),
        pytest.param("result[0] > 1)", 14, "the end is missing before ')'", "complete it", id="one too many"),
        pytest.param("result[0] > 1 2", 15, "the end is missing", "complete it", id="two in a row"),
        pytest.param("result >= 'x", 11, "unexpected", "texts", id="an open text"),
        pytest.param("result[0] + 1", 0, "true or false is needed, not 2", "compare it", id="a mere number"),
        pytest.param("result[0] and true", 11, "true or false is needed", "compare it", id="a number in and"),
        pytest.param("result[1.5] > 1", 7, "an index is a whole number", "[0]", id="half an index"),
        pytest.param("true % 2 > 1", 6, "a number is needed, not true", "", id="a truth as a number"),
        pytest.param("__import__(1) > 1", 1, "unknown function", "known are", id="a way out"),
        pytest.param("result[0].__class__ > 1", 10, "there are no fields", "", id="another way out"),
    ],
)
def test_what_is_wrong_is_told_with_its_column_and_a_remedy(
    text: str, column: int, message: str, remedy: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        condition(text)
    assert caught.value.column == column
    assert message in str(caught.value)
    assert remedy in caught.value.remedy


def test_a_condition_has_no_answer_where_a_series_is_missing() -> None:
    with pytest.raises(ConditionError, match=r"column 7: \[0\] of a list of 0"):
        condition("result[0] > 1").holds(())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * 200 + "true" + ")" * 200, id="brackets"),
        pytest.param("!" * 900 + "true", id="negations"),
        pytest.param("-" * 900 + "1 > 0", id="signs"),
        pytest.param("[" * 500 + "]" * 500 + " == nil", id="lists"),
        pytest.param("true ? " * 140 + "true" + " : true" * 3, id="choices"),
        pytest.param("2 **" * 240 + "2 > 1", id="powers"),
        pytest.param("1" + "+1" * 500 + " > 0", id="sums"),
        pytest.param("result" + "[0]" * 330 + " > 0", id="indices"),
        pytest.param("abs(" * 200 + "1" + ")" * 200 + " > 0", id="calls"),
    ],
)
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(ConditionError):
        condition(text)


def test_a_long_chain_has_an_answer() -> None:
    assert condition("result[0]" + " + 1" * 140 + " == 141").holds((1.0,))


def test_length_is_bounded() -> None:
    with pytest.raises(ConditionError, match="characters, of at most"):
        condition("1 == 1" + " " * LONGEST)


def test_work_is_bounded() -> None:
    nested = condition("all(result, {all(result, {all(result, {# > 0})})})")
    began = time.process_time()
    with pytest.raises(ConditionError, match="steps"):
        nested.holds((1.0,) * MOST_SERIES)
    assert time.process_time() - began < 5
    with pytest.raises(ConditionError, match="series, of at most"):
        nested.holds((1.0,) * (MOST_SERIES + 1))


def test_numbers_do_not_grow_without_bound() -> None:
    assert condition("9999999999 * 9999999999 * 9999999999 ** 99 > 1").holds((1.0,))


@pytest.mark.parametrize(
    ("text", "series"),
    [
        pytest.param("result[0] > 1", 1, id="one"),
        pytest.param("result[0] > result[1]", 2, id="two"),
        pytest.param("all(result, {# > 1})", None, id="any number"),
        pytest.param("len(result) > 0 && result[0] > 1", None, id="any number, and the first"),
    ],
)
def test_how_many_series_a_condition_speaks_of(text: str, series: int | None) -> None:
    assert condition(text).series == series


_WORDS = (
    *("result", "[0]", "[", "]", "(", ")", "{", "}", "#", "all(", "len(", "default(", ",", "1", "0.5", "nil"),
    *("true", "and", "or", "not", "in", "==", ">", "<=", "+", "-", "*", "/", "%", "**", "??", "?", ":", "!"),
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=14), st.lists(st.floats(), max_size=3))
def test_whatever_is_written_is_a_condition_or_refused(words: list[str], values: list[float]) -> None:
    with contextlib.suppress(ConditionError):
        assert condition(" ".join(words)).holds(tuple(values)) in (True, False)

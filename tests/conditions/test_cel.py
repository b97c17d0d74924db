"""Conditions in CEL: the library's answers, with columns, remedies and a bound on loops."""

import math
import time

import pytest

from rollout.conditions import ConditionError, Language, condition
from rollout.conditions.condition import MOST_SERIES


@pytest.mark.parametrize(
    ("text", "result", "holds"),
    [
        pytest.param("result[0] >= 0.95", (0.96,), True, id="a series above a line"),
        pytest.param("result >= 1", 0.5, False, id="a scalar"),
        pytest.param("result.all(x, x > 0.5)", (1.0, 0.1), False, id="all of a list"),
        pytest.param("result.exists(x, x > 0.5)", (1.0, 0.1), True, id="one of a list"),
        pytest.param("size(result) > 0 && result[0] > 1.0", (), False, id="no series"),
        pytest.param("isNaN(result[0]) || isInf(result[0])", (math.inf,), True, id="no numbers"),
        pytest.param("result[0] > 1.0 ? result[0] < 2.0 : true", (1.5,), True, id="a ternary"),
    ],
)
def test_a_condition_says(text: str, result: float | tuple[float, ...], holds: bool) -> None:
    assert condition(text, Language.CEL).holds(result) is holds


@pytest.mark.parametrize(
    ("text", "column", "message", "remedy"),
    [
        pytest.param("result[0] >=", 12, "Syntax error", "CEL", id="half a comparison"),
        pytest.param("resul[0] > 1.0", 1, "unknown name 'resul'", "did you mean result?", id="a misspelling"),
        pytest.param("true || foo(1)", 9, "unknown name 'foo'", "known are", id="a function of nothing"),
        pytest.param("result[0]", 0, "true or false is needed", "compare it", id="a mere number"),
        pytest.param("result[0] + 1 > 2.0", 0, "float + int", "1.0", id="mixed numbers"),
        pytest.param(
            "result.all(x, result.all(y, result.all(z, x > y)))", 0, "3 macros", "simpler", id="deep loops"
        ),
        pytest.param("(" * 300 + "true" + ")" * 300, 97, "too many levels", "", id="deep brackets"),
    ],
)
def test_what_is_wrong_is_told_with_a_remedy(text: str, column: int, message: str, remedy: str) -> None:
    with pytest.raises(ConditionError) as caught:
        condition(text, Language.CEL)
    assert caught.value.column == column
    assert message in str(caught.value)
    assert remedy in caught.value.remedy


def test_work_is_bounded() -> None:
    nested = condition("result.all(x, result.all(y, x + y > 0.0))", Language.CEL)
    began = time.process_time()
    assert nested.holds((1.0,) * MOST_SERIES)
    assert time.process_time() - began < 10

"""A condition of either language: read once, asked of many values."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from rollout.conditions import common_expression
from rollout.conditions.errors import ConditionError
from rollout.conditions.evaluating import evaluated
from rollout.conditions.functions import named
from rollout.conditions.syntax import parse

LONGEST = 1024
"""Characters."""
MOST_SERIES = 500
"""Of one answer: more are summed in the query."""

_RESULT = re.compile(r"\bresult\b(?:\s*\[\s*(\d{1,4})\s*\])?")
_ABSENCE = re.compile(r"\b(?:isNaN|isInf|isNil|default)\s*\(")

Result = float | tuple[float, ...]
"""What a query gave: one number (a scalar), or one for each series."""


class Language(StrEnum):
    """What a condition is written in."""

    EXPR = "expr"
    """Argo Rollouts'."""
    CEL = "cel"
    """Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that could be read."""

    text: str
    value_of: Callable[[object], object]

    @property
    def series(self) -> int | None:
        """How many series it speaks of, where it names each by its place; None where it takes any number."""
        places = [found[1] for found in _RESULT.finditer(self.text)]
        return 1 + max(map(int, filter(None, places))) if places and all(places) else None

    @property
    def asks_for_no_number(self) -> bool:
        """Whether it says by itself what NaN, Inf and nil mean."""
        return _ABSENCE.search(self.text) is not None

    def holds(self, result: Result) -> bool:
        """Whether it is true of what was measured.

        Raises:
            ConditionError: it has no answer: too few series, a list where a number is needed.
        """
        if isinstance(result, tuple) and len(result) > MOST_SERIES:
            raise ConditionError(f"{len(result)} series, of at most {MOST_SERIES}", "sum() in the query")
        answer = self.value_of(list(result) if isinstance(result, tuple) else result)
        if not isinstance(answer, bool):
            raise ConditionError(f"true or false is needed, not {named(answer)}", "compare it: > 0.95")
        return answer


@lru_cache(maxsize=4096)
def condition(text: str, language: Language = Language.EXPR) -> Condition:
    """The condition that `text` says.

    Raises:
        ConditionError: with the column and a remedy.
    """
    if len(text) > LONGEST:
        raise ConditionError(f"{len(text)} characters, of at most {LONGEST}", "make it simpler")
    if language is Language.CEL:
        found = Condition(text, common_expression.program(text))
    else:
        tree = parse(text)
        found = Condition(text, lambda result: evaluated(tree, result))
    _tried(found)
    return found


def _tried(found: Condition) -> None:
    """Whether it gives true or false at all, of a number or of a list: what never does is a mistake."""
    problems: list[ConditionError] = []
    for sample in ((1.0,) * (found.series or 1), 1.0, (), (math.nan,)):
        try:
            found.holds(sample)
        except ConditionError as problem:
            problems.append(problem)
        else:
            return
    raise problems[0]

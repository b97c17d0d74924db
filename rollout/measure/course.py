"""What the evidence was over time: some dozens of looks at a whole rollout, for pictures. Pure.

Looks are thinned as they come to be many, so that minutes and days take as much room in a status. What is
kept is text, since it is looked at when it is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from analysis.course import Sight, sight
from analysis.evidence import to_datetime, to_ms
from analysis.verdict import Judgement
from rollout.plan import schedule
from rollout.plan.observed import Observed

MOST = 64
FIRST_APART_MS = 1000


@dataclass(frozen=True, slots=True)
class Look:
    """One of them, in milliseconds since the epoch."""

    at: int
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class Course:
    """Looks at least `apart` milliseconds from each other, but for the newest and those at a step's ends."""

    looks: tuple[Look, ...] = ()
    apart: int = FIRST_APART_MS

    def noted(self, at: datetime, point: Sight) -> "Course":
        """With one more look, which takes the place of the newest one where that came too soon."""
        look = Look(to_ms(at), point.step, _text(to_ms(at), point))
        known = self.looks
        if len(known) > 1 and known[-1].at - known[-2].at < self.apart:
            alike = known[-2].step == known[-1].step == look.step
            known = known[:-1] if alike else known
        return replace(self, looks=(*known, look)).thinned()

    def thinned(self) -> "Course":
        """With at most `MOST` looks: every second one goes, ends of steps last of all."""
        course = self
        while len(course.looks) > MOST:
            kept = [
                each
                for place, each in enumerate(course.looks)
                if place % 2 == 0 or _ends(course.looks, place)
            ]
            if len(kept) == len(course.looks):
                kept = [*course.looks[: MOST // 2], *course.looks[-MOST // 2 :]]
            course = Course(tuple(kept), 2 * course.apart)
        return course

    def to_json(self) -> dict[str, Any]:
        """As the status of an AnalysisRun holds it."""
        return {"apartMs": self.apart, "looks": [json.loads(look.text) for look in self.looks]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Course":
        """What was written; an empty course where that can't be read: it decides nothing."""
        try:
            looks = tuple(
                Look(int(each["at"]), str(each["step"]), json.dumps(each, separators=(",", ":")))
                for each in data["looks"]
            )
            return cls(looks, int(data["apartMs"]))
        except (KeyError, TypeError, ValueError):
            return cls()


NO_LOOKS = Course()


def _ends(looks: tuple[Look, ...], place: int) -> bool:
    """Whether a look is the first or the last of its step."""
    if place in (0, len(looks) - 1):
        return True
    return not looks[place - 1].step == looks[place].step == looks[place + 1].step


def _text(at: int, point: Sight) -> str:
    body = {
        "at": at,
        "step": point.step,
        "weight": round(point.weight, 4),
        "worse": _rounded(point.log_e_harm),
        "fine": _rounded(point.log_e_safe),
        "ratio": {name: [_rounded(each) for each in seen] for name, seen in point.ratio.items()},
    }
    return json.dumps(body, separators=(",", ":"))


def _rounded(value: float | None) -> float | None:
    """Four digits; None where there is no number: nothing counted, or an end that is open."""
    return float(f"{value:.4g}") if value is not None and isfinite(value) else None


def seen(observed: Observed, judgement: Judgement, active: frozenset[str], now: datetime) -> Sight:
    """A judgement as a point: what the step under way waits for is what must be proved to pass it."""
    status = observed.status
    steps = observed.spec.strategy.canary.steps if observed.spec else ()
    step = schedule.step_at(steps, status.current_step_index)
    waits = step is None or schedule.gate(step) is not None
    return sight(
        judgement,
        active if waits else frozenset(),
        minutes=(now - (status.rollout_since or now)) / timedelta(minutes=1),
        step=schedule.evidence_key(steps, status.current_step_index),
        weight=status.canary.desired_weight / 100,
    )


def sights(data: Mapping[str, Any]) -> tuple[Sight, ...]:
    """The looks of `to_json`, minutes counted from the first one. Empty where it can't be read."""
    try:
        first = data["looks"][0]["at"]
        return tuple(
            Sight(
                minutes=timedelta(milliseconds=each["at"] - first) / timedelta(minutes=1),
                step=str(each["step"]),
                weight=float(each["weight"]),
                log_e_harm=_number(each["worse"], float("-inf")),
                log_e_safe=each["fine"],
                ratio={name: _interval(*seen) for name, seen in each["ratio"].items()},
            )
            for each in data["looks"]
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return ()


def began(data: Mapping[str, Any]) -> datetime:
    """When the first look was. Raises KeyError or IndexError where there is none."""
    return to_datetime(int(data["looks"][0]["at"]))


def _number(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else float(value)


def _interval(
    estimate: float | None, low: float | None, high: float | None
) -> tuple[float | None, float, float]:
    return estimate, _number(low, 0.0), _number(high, float("inf"))

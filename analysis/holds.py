"""Where the time of a rollout goes: holds, each at one split of the traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from analysis.metric import Mean, Metric, Rate, Up
from analysis.power import Flow

Rates = Mapping[str, float]
"""Stable's rate by metric name, the same for all edges: a share, or events a pod-hour."""


class GivenUp(Enum):
    """What follows where a hold's time is over and nothing is proved."""

    WAIT = "wait"
    ROLL_BACK = "roll back"
    PROMOTE_IF_COMPATIBLE = "promote if compatible"


@dataclass(frozen=True, slots=True)
class Hold:
    """One step that lasts, at one split of the traffic.

    weight: the canary's share of the traffic, 0 to 1. least, most: how long it holds; a pause is both its
    duration. gates: metrics that it waits for (none: it passes when its time is over). measured: metrics that
    may roll back meanwhile. fresh: its safe evidence begins anew with it. pods: of canary and stable.
    """

    step: str
    weight: float
    least: timedelta
    most: timedelta
    gates: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    fresh: bool = True
    pods: tuple[int, int] = (1, 1)
    given_up: GivenUp = GivenUp.WAIT


def plannable(metric: Metric) -> bool:
    """Whether counts of independent events tell how strong its evidence will be: not of a gauge."""
    return not isinstance(metric.kind, Mean | Up)


def flow_of(metric: Metric, hold: Hold, requests: float) -> Flow:
    """What both arms bring in a minute of a hold."""
    if isinstance(metric.kind, Rate):
        return Flow(hold.pods[0] / 60, hold.pods[1] / 60)
    return Flow(requests * hold.weight, requests * (1 - hold.weight))


def evidence_before(holds: Sequence[Hold], place: int) -> float:
    """Minutes of evidence that a hold's step has when it begins, from holds at the same split before it."""
    minutes = 0.0
    while place > 0 and not holds[place].fresh:
        place -= 1
        minutes += holds[place].least / timedelta(minutes=1)
    return minutes

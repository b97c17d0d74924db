"""What one look shows of the evidence: a point of a picture over time."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from analysis.verdict import Judgement


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look shows. minutes: since the beginning. log_e_harm: of all metrics together, against log(1 /
    alpha). log_e_safe: of the gate that lags behind, against log(1 / beta); None where none is asked for.
    ratio: (estimate, low, high) by metric.
    """

    minutes: float
    step: str
    weight: float
    log_e_harm: float
    log_e_safe: float | None
    ratio: Mapping[str, tuple[float | None, float, float]]


def sight(judgement: Judgement, gates: Set[str], *, minutes: float, step: str, weight: float) -> Sight:
    """A judgement as a point; `gates` names the metrics that the step waits for."""
    asked = [v.log_e_safe for v in judgement.metrics if v.name in gates and v.role.gates]
    return Sight(
        minutes=minutes,
        step=step,
        weight=weight,
        log_e_harm=judgement.log_e_harm,
        log_e_safe=min(asked, default=None),
        ratio={v.name: (v.estimate, v.low, v.high) for v in judgement.metrics},
    )

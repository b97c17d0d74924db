"""Target 1: how often what is not worse is rolled back, and what is not acceptable promoted, in 480 looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis import Policy
from analysis.betting import Array
from analysis.metric import Line
from analysis.power import Side
from benchmarks.judge.cells import Cell, error_rate
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import Many, watch
from benchmarks.judge.policies import bare, default
from benchmarks.judge.traffic import Index, Rates, Shocks, Split, steady, swinging

LOOKS = 480
RUNS = 4000
SHARES = (0.05, 0.10, 0.50)
BASES = {"1 %": 0.01, "0.1 %": 0.001, "1 % and shared shocks": 0.01}
LATER = 120  # the look from which both arms have half as many errors again


@dataclass(frozen=True)
class Promise:
    """A world, who judges it, what must not be proved in it, and at which levels."""

    world: str
    policy: Policy
    truth: Callable[[Rates], Rates]
    side: Side = Side.HARM
    levels: tuple[float, ...] = (0.05, 0.01)


def promises() -> Iterator[Promise]:
    """Canaries that are not worse, and one that is just not acceptable."""
    errors = default().metric("errors")
    yield Promise("false rollback, equal arms, no margin", bare(), on(Line()))
    yield Promise("false rollback on the edge of the default tolerate", default(), on(errors.harm_line))
    yield Promise("false rollback, both arms x1.5 after 30 min, no margin", bare(), drifting)
    edge = "false promotion on the edge of the default unacceptable"
    yield Promise(edge, default(), on(errors.safe_line), Side.SAFE, (0.05,))


def cells(effort: Effort) -> Iterator[Cell]:
    """Nine designs of each promise."""
    for number, promise in enumerate(promises()):
        for place, (base, share) in enumerate((b, s) for b in BASES for s in SHARES):
            effort.say(f"{promise.world}: {base}, canary {share:.0%}")
            rng, runs = effort.rng(1, number, place), effort.runs(RUNS, 250)
            shocked = "shocks" in base
            rates = Shocks(rng, runs, BASES[base]) if shocked else steady(BASES[base], BASES[base])
            split = Split(rng, share, promise.truth(rates), *([swinging] if shocked else []))
            levels = [-math.log(level) for level in promise.levels]
            seen = watch(Many(promise.policy, runs, side=promise.side), split, runs, LOOKS, levels)
            for alpha, level in zip(promise.levels, levels, strict=True):
                found = int(np.isfinite(seen.at(level)).sum())
                what = f"{promise.world}; {base}, canary {share:.0%}, at {alpha:.0%}"
                yield error_rate(1, what, found, runs, alpha)


def on(line: Line) -> Callable[[Rates], Rates]:
    """A canary exactly on a line."""

    def moved(rates: Rates) -> Rates:
        def placed(number: int, who: Index) -> tuple[Array | float, Array | float]:
            stable, _ = rates(number, who)
            return stable, line.rho * stable + line.delta

        return placed

    return moved


def drifting(rates: Rates) -> Rates:
    """Both arms get worse together."""

    def drifted(number: int, who: Index) -> tuple[Array | float, Array | float]:
        factor = 1.5 if number >= LATER else 1.0
        stable, canary = rates(number, who)
        return stable * factor, canary * factor

    return drifted

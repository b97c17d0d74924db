"""Simulated requests of many rollouts: between two looks, what each arm got and how much of it went wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.betting import Array

REQUESTS = 1500
"""In a scrape interval of 15 s at 100 a second."""
Index = NDArray[np.intp]
Counted = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rates = Callable[[int, Index], tuple[Array | float, Array | float]]
"""Stable's and canary's rate of bad events at a look, of the rollouts asked for."""


class Traffic(NamedTuple):
    """One interval, an element for each rollout."""

    canary_bad: Array
    canary: Array
    stable_bad: Array
    stable: Array


class World(Protocol):
    """Where traffic comes from."""

    def look(self, number: int, who: Index) -> Traffic:
        """What was counted up to look `number` (from 0) since the one before, in the rollouts `who`."""


@dataclass(frozen=True)
class Split:
    """Requests that are split by chance, and fail independently at the rates of the moment."""

    rng: np.random.Generator
    share: float
    rates: Rates
    requests: Callable[[int], float] = lambda _: REQUESTS

    def look(self, number: int, who: Index) -> Traffic:
        """As the protocol says."""
        total = round(self.requests(number))
        stable_rate, canary_rate = self.rates(number, who)
        canary = self.rng.binomial(total, self.share, len(who))
        stable = total - canary
        return Traffic(
            self.rng.binomial(canary, canary_rate).astype(float),
            canary.astype(float),
            self.rng.binomial(stable, stable_rate).astype(float),
            stable.astype(float),
        )


@dataclass(frozen=True)
class Recorded:
    """Traffic that several judges are to see: arrays of looks by rollouts."""

    seen: Traffic

    @classmethod
    def of(cls, world: World, looks: int, runs: int) -> Recorded:
        """So many looks of so many rollouts."""
        who = np.arange(runs)
        drawn = [world.look(number, who) for number in range(looks)]
        return cls(Traffic(*(np.stack(each) for each in zip(*drawn, strict=True))))

    def look(self, number: int, who: Index) -> Traffic:
        """As the protocol says."""
        return Traffic(*(each[number, who] for each in self.seen))

    def each(self, looks: int) -> Traffic:
        """Sums over so many neighbouring looks."""
        return Traffic(
            *(each.reshape(-1, looks, each.shape[1]).sum(axis=1) for each in self.seen),
        )


def steady(stable: float, canary: float) -> Rates:
    """Rates that stay."""
    return lambda _, __: (stable, canary)


class Shocks:
    """Incidents that both arms share: a factor that wanders, AR(1) with deviation 0.6."""

    KEPT, DEVIATION = 0.95, 0.6

    def __init__(self, rng: np.random.Generator, runs: int, rate: float) -> None:
        self._rng, self._rate = rng, rate
        self._level = self.DEVIATION * rng.standard_normal(runs)

    def __call__(self, _: int, who: Index) -> tuple[Array, Array]:
        """The same rate for both arms."""
        pushed = self.DEVIATION * math.sqrt(1 - self.KEPT**2) * self._rng.standard_normal(len(self._level))
        self._level = self.KEPT * self._level + pushed
        rate = np.minimum(self._rate * np.exp(self._level[who]), 0.5)
        return rate, rate


def swinging(number: int) -> float:
    """Requests of a load that doubles and halves within two hours."""
    return REQUESTS * 2 ** math.sin(2 * math.pi * number / 480)

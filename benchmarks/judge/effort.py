"""How much is done: a whole run, or a quick look at all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Say = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """part: of the repetitions of a whole run. Each piece of work has random numbers of its own."""

    seed: int
    say: Say
    part: float = 1.0

    def runs(self, whole: int, fewest: int = 20) -> int:
        """Repetitions instead of so many."""
        return max(round(self.part * whole), min(fewest, whole))

    def rng(self, *place: int) -> np.random.Generator:
        """The random numbers of one piece of work."""
        return np.random.default_rng((self.seed, *place))

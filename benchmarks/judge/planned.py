"""Target 10: what the planner says will be found with power 0.8, found or not, in designs of no test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from scipy.special import ndtri

from analysis.power import Flow, Question, Side, Truth, minutes_needed
from benchmarks.judge.cells import Cell, share
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import Many, watch
from benchmarks.judge.policies import default
from benchmarks.judge.traffic import Index, Traffic

RUNS = 4000
LOOKS = 40
POWER, LEAST, MOST = 0.8, 0.78, 0.90
REQUESTS = 6000.0  # a minute
HARM = (
    (0.01, 0.018, 0.07),
    (0.01, 0.03, 0.20),
    (0.005, 0.01, 0.05),
    (0.005, 0.02, 0.35),
    (0.002, 0.006, 0.10),
    (0.002, 0.02, 0.25),
    (0.0005, 0.003, 0.15),
    (0.0005, 0.01, 0.05),
    (0.02, 0.03, 0.30),
    (0.02, 0.06, 0.08),
    (0.03, 0.045, 0.50),
    (0.0, 0.008, 0.20),
)
SAFE = ((0.008, 0.008, 0.07), (0.002, 0.002, 0.20), (0.0005, 0.0005, 0.10), (0.02, 0.02, 0.35))


class Poisson:
    """Requests that come by themselves, at a steady pace."""

    def __init__(self, rng: np.random.Generator, flow: Flow, truth: Truth, minutes: float) -> None:
        self._rng, self._truth = rng, truth
        self._means = (flow.canary * minutes, flow.stable * minutes)

    def look(self, _: int, who: Index) -> Traffic:
        """As the protocol of worlds says."""
        canary, stable = (self._rng.poisson(mean, len(who)) for mean in self._means)
        return Traffic(
            self._rng.binomial(canary, self._truth.canary).astype(float),
            canary.astype(float),
            self._rng.binomial(stable, self._truth.stable).astype(float),
            stable.astype(float),
        )


def cells(effort: Effort) -> Iterator[Cell]:
    """Each design for as long as was planned, by the default policy."""
    policy = default(horizon=timedelta(hours=24))
    designs = [(Side.HARM, *each) for each in HARM] + [(Side.SAFE, *each) for each in SAFE]
    for place, (side, stable, canary, part) in enumerate(designs):
        question = Question(policy, policy.metric("errors"), side)
        flow, truth = Flow(REQUESTS * part, REQUESTS * (1 - part)), Truth(canary, stable)
        minutes = minutes_needed(question, flow, truth, float(ndtri(POWER)))
        effort.say(f"planned power: {side.value}, {stable:.2%} to {canary:.2%}, {minutes:.1f} min")
        runs, world = effort.runs(RUNS, 200), Poisson(effort.rng(10, place), flow, truth, minutes / LOOKS)
        many = Many(policy, runs, side=side, look=timedelta(minutes=minutes / LOOKS))
        at = watch(many, world, runs, LOOKS, [question.threshold]).at(question.threshold)
        proved = "worse" if side is Side.HARM else "not worse"
        what = f"power where 0.8 is planned; {stable:.2%} to {canary:.2%}, canary {part:.0%}, proved {proved}"
        yield share(10, what, int(np.isfinite(at).sum()), runs, least=LEAST, most=MOST)

"""The judge on many rollouts at once: its own bets, over an axis of rollouts.

What is done to one rollout by `fold` and `judge` is done here to an array of them, by the same functions of
`analysis`; of each set some rollouts are given to `fold` and `judge` as well (`replay`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from analysis import Counts, Pair, Policy, Reading, Status, begin, begin_step, fold, judge
from analysis.betting import Array, Stakes
from analysis.boundaries import FREQUENT, SURE, frequent, rare
from analysis.metric import Line
from analysis.power import Question, Side
from analysis.updates import expected_share, half
from benchmarks.judge.traffic import Index, Traffic, World

START = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPE = timedelta(seconds=15)
REPLAYED = 2  # rollouts of each set that the folds judge too
CLOSE = 1e-4  # the centre of a frequent bet is sought until all rollouts of a set have it to 1e-5


class NotTheJudgeError(AssertionError):
    """The arithmetic over many rollouts is not what `fold` and `judge` do."""


class Many:
    """One side's evidence of one metric in many rollouts that go on side by side."""

    def __init__(
        self,
        policy: Policy,
        runs: int,
        *,
        side: Side = Side.HARM,
        name: str = "errors",
        look: timedelta = SCRAPE,
        pods: tuple[int, int] = (1, 1),
    ) -> None:
        self.question = Question(policy, policy.metric(name), side)
        self.look, self.pods = look, pods
        self._line = self.question.line(pods)
        self._left = policy.late_share if side is Side.HARM else 0.0
        self._share = policy.late_share * (look / policy.horizon)
        self._logs = np.full((len(self.question.stakes.kappas), runs), math.log1p(-self._left))
        self._bad, self._stable_bad, self._stable = np.zeros(runs), np.zeros(runs), np.zeros(runs)

    def fold(self, seen: Traffic) -> None:
        """Take in one interval of each rollout."""
        put = min(self._share, self._left)
        if put > 0:
            self._logs, self._left = np.logaddexp(self._logs, math.log(put)), self._left - put
        rate = np.asarray(expected_share(self._stable_bad, self._stable))
        gained = increments(
            self.question.stakes, self._line, seen, rate, safe=self.question.side is Side.SAFE
        )
        gained /= self.question.metric.dispersion.phi
        blind = self._stable == 0
        if blind.any():
            gained[:, blind] = half(gained[:, blind])
        self._logs = self._logs + gained
        self._bad = self._bad + seen.canary_bad
        self._stable_bad = self._stable_bad + seen.stable_bad
        self._stable = self._stable + seen.stable

    @property
    def log_e(self) -> Array:
        """Logarithm of each rollout's e-value, as `judge` weighs it."""
        logs = self._logs + self.question.stakes.log_weights[:, None]
        top = logs.max(axis=0)
        worth: Array = top + np.log(np.exp(logs - top).sum(axis=0))
        if self._left > 0:
            worth = np.logaddexp(worth, math.log(self._left))
        if self.question.side is Side.SAFE:
            return worth
        worth = np.where(self._bad < self.question.policy.min_events, np.minimum(worth, 0.0), worth)
        return worth - math.log(2) if self.question.metric.dispersion.tau > 0 else worth

    def keep(self, kept: Array) -> None:
        """Go on with some of the rollouts alone."""
        self._logs = self._logs[:, kept]
        self._bad, self._stable_bad, self._stable = (
            each[kept] for each in (self._bad, self._stable_bad, self._stable)
        )


def increments(stakes: Stakes, line: Line, seen: Traffic, rate: Array, *, safe: bool) -> Array:
    """log M of each stake (rows) in each rollout, in the form that `analysis.boundaries.increments` takes."""
    both = (seen.canary > 0) & (seen.stable > 0)
    base = line.rho * rate + line.delta
    often = both & (base > FREQUENT) & ((base < SURE) | safe)
    if both.all() and not often.any():
        return rare(stakes.kappas[:, None], line, *seen, rate)
    gained = np.zeros((len(stakes.kappas), len(rate)))
    for form, which in ((rare, both & ~often), (frequent, often)):
        if which.any():
            some = Traffic(*(each[which] for each in seen))
            gained[:, which] = form(stakes.kappas[:, None], line, *some, rate[which])
    return gained


@dataclass
class Watched:
    """What was seen of many rollouts: by level of log E the look (from 1) at which each first reached it."""

    levels: tuple[float, ...]
    reached: Array
    replayed: int

    def at(self, level: float) -> Array:
        """Infinite where it never did."""
        found: Array = self.reached[self.levels.index(level)]
        return found


def watch(
    many: Many, world: World, runs: int, looks: int, levels: Sequence[float], *, replayed: int = REPLAYED
) -> Watched:
    """Look after each interval, until all have reached the highest level or `looks` are over.

    Raises NotTheJudgeError where the folds find otherwise.
    """
    who: Index = np.arange(runs)
    histories: list[list[tuple[Traffic, float]]] = [[] for _ in range(min(replayed, runs))]
    seen = Watched(tuple(levels), np.full((len(levels), runs), math.inf), len(histories))
    for number in range(looks):
        traffic = world.look(number, who)
        many.fold(traffic)
        worth = many.log_e
        for place in range(len(histories)):
            if place < len(who) and who[place] == place:
                one = Traffic(*(each[place] for each in traffic))
                histories[place].append((one, float(worth[place])))
        for place, level in enumerate(levels):
            fresh = who[(worth >= level) & np.isinf(seen.reached[place, who])]
            seen.reached[place, fresh] = number + 1
        going = np.isinf(seen.reached[np.argmax(levels), who])
        if not going.any():
            break
        if going.sum() < 0.9 * len(who):
            kept = going | (who < len(histories))
            many.keep(kept)
            who = who[kept]
    for history in histories:
        replay(many, history)
    return seen


def replay(many: Many, history: Sequence[tuple[Traffic, float]]) -> None:
    """Judge one rollout by `fold` and `judge`. Raises NotTheJudgeError where they say anything else."""
    policy, name = many.question.policy, many.question.metric.name
    checkpoint = begin_step(begin(policy, START), "0", START)
    for number, (seen, expected) in enumerate(history, 1):
        since = checkpoint.cut(name)
        until = since + many.look
        pair = Pair(Counts(float(seen[0]), float(seen[1])), Counts(float(seen[2]), float(seen[3])))
        reading = Reading(since, until, Status.OK, (pair,), pods=many.pods)
        checkpoint = fold(policy, checkpoint, name, reading)
        judgement = judge(policy, checkpoint, until)
        safe = many.question.side is Side.SAFE
        found = judgement.metrics[0].log_e_safe if safe else judgement.log_e_harm
        if not math.isclose(found, expected, rel_tol=CLOSE, abs_tol=CLOSE):
            raise NotTheJudgeError(f"look {number}: the judge has log E {found!r}, many at once {expected!r}")

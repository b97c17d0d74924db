"""Requests until a regression is found, by our judge and by thresholds that are looked at again and again.

All see the same simulated requests; the limit is Wald's, log(1/alpha) / KL of the two arms at their shares.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from analysis import Counts, Metric, Pair, Policy, Proportion, Reading, Status, begin, begin_step, fold, judge
from analysis.verdict import Outcome

ALPHA = 0.01
REQUESTS_A_LOOK = 1500
LOOKS = 240
START = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Cell:
    """What the arms' true error rates are, and the canary's share of traffic."""

    stable: float
    canary: float
    share: float

    @property
    def limit(self) -> float:
        """Requests that no test of this error rate can do without, on average (Wald 1945)."""
        pooled = self.share * self.canary + (1 - self.share) * self.stable
        growth = self.share * _divergence(self.canary, pooled)
        growth += (1 - self.share) * _divergence(self.stable, pooled)
        return math.log(1 / ALPHA) / growth


def _divergence(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


Looks = list[tuple[int, int, int, int]]
"""For each look: bad and all of the canary, bad and all of stable."""


def looks(cell: Cell, rng: np.random.Generator) -> Looks:
    """One rollout's counts."""
    canary = rng.binomial(REQUESTS_A_LOOK, cell.share, LOOKS)
    stable = REQUESTS_A_LOOK - canary
    return list(
        zip(
            rng.binomial(canary, cell.canary).tolist(),
            canary.tolist(),
            rng.binomial(stable, cell.stable).tolist(),
            stable.tolist(),
            strict=True,
        )
    )


def ours(seen: Looks) -> int | None:
    """The look at which our judge, with its default margins, rolls back."""
    policy = Policy((Metric("errors", Proportion("bad", "all")),), alpha=ALPHA)
    checkpoint = begin_step(begin(policy, START), "0", START)
    for number, (x_c, n_c, x_s, n_s) in enumerate(seen, 1):
        since = checkpoint.cut("errors")
        pair = Pair(Counts(x_c, n_c), Counts(x_s, n_s))
        checkpoint = fold(policy, checkpoint, "errors", Reading(since, since + SCRAPE, Status.OK, (pair,)))
        if judge(policy, checkpoint, since + SCRAPE).outcome is Outcome.WORSE:
            return number
    return None


def threshold(limit: float, every: int, failures: int) -> Callable[[Looks], int | None]:
    """A rule of the field: the canary's error rate over `every` looks beyond `limit`, `failures` times."""

    def rule(seen: Looks) -> int | None:
        failed = 0
        for end in range(every, len(seen) + 1, every):
            window = seen[end - every : end]
            bad, total = sum(look[0] for look in window), sum(look[1] for look in window)
            failed += total > 0 and bad / total > limit
            if failed >= failures:
                return end
        return None

    return rule


def rows(runs: int, seed: int) -> Iterator[dict[str, float | str]]:
    """For each rule: median requests to a rollback as a ratio of the limit, and false rollbacks in A/A."""
    cell, same = Cell(0.01, 0.05, 0.10), Cell(0.01, 0.01, 0.10)
    rules: dict[str, Callable[[Looks], int | None]] = {
        "ours, default margins, alpha 1 %": ours,
        "threshold 1.5 x stable, each minute, first failure": threshold(0.015, 4, 1),
        "threshold 1.5 x stable, each minute, fifth failure": threshold(0.015, 4, 5),
        "threshold 5 %, each 5 minutes, fourth failure": threshold(0.05, 20, 4),
    }
    for name, rule in rules.items():
        found = [rule(looks(cell, np.random.default_rng((seed, 1, run)))) for run in range(runs)]
        wrong = [rule(looks(same, np.random.default_rng((seed, 2, run)))) for run in range(runs)]
        requests = [math.inf if at is None else at * REQUESTS_A_LOOK for at in found]
        yield {
            "rule": name,
            "median requests / limit": float(np.median(requests)) / cell.limit,
            "never found": sum(at is None for at in found) / runs,
            "false rollback in A/A": sum(at is not None for at in wrong) / runs,
        }

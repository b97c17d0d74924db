"""Targets 5 and 6: little traffic, no errors at all, and regressions that begin late."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from analysis import Counts, Outcome, Pair, Policy, Reading, Status, begin, begin_step, fold, judge
from benchmarks.judge.cells import Cell, median, number, share
from benchmarks.judge.efficiency import wald
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import SCRAPE, START, Many, watch
from benchmarks.judge.peers import kayenta, recorded_rates
from benchmarks.judge.policies import bare, default
from benchmarks.judge.traffic import REQUESTS, Index, Rates, Recorded, Split, steady

RUNS = 2000
HOUR = 240  # looks
LITTLE = 300  # requests a scrape: 20 a second
NO_ERRORS = 1.4  # times ln(1/beta) by the absolute part of `unacceptable`
FOUND = 0.99
LATE = 2.5  # times the limit
ONSETS = (0, 15, 30, 50)  # minutes
A_MINUTE = 4


def cells(effort: Effort) -> Iterator[Cell]:
    """Little traffic, then late onset."""
    yield from _no_errors()
    yield from _little(effort)
    yield from _late(effort)


def _no_errors() -> Iterator[Cell]:
    policy = default()
    ideal = math.log(1 / policy.beta) / policy.metric("errors").refusable.absolute
    for part in (0.05, 0.25, 0.5):
        needed = promoted_after(policy, part, 20.0)
        what = f"no errors at all, canary {part:.0%}: canary requests until promoted / (ln(1/beta) / delta)"
        yield number(5, what, needed / ideal, most=NO_ERRORS)


def promoted_after(policy: Policy, part: float, canary_requests: float) -> float:
    """Canary requests until a step passes in which nothing fails, so many a look."""
    checkpoint = begin_step(begin(policy, START), "0", START)
    pair = Pair(Counts(0.0, canary_requests), Counts(0.0, canary_requests * (1 - part) / part))
    for look in range(1, 1000):
        since = checkpoint.cut("errors")
        checkpoint = fold(policy, checkpoint, "errors", Reading(since, since + SCRAPE, Status.OK, (pair,)))
        if judge(policy, checkpoint, since + SCRAPE).outcome is Outcome.NOT_WORSE:
            return canary_requests * look
    return math.inf


def _little(effort: Effort) -> Iterator[Cell]:
    effort.say("low traffic: 0.1 % to 1 % at 20 requests a second, canary 5 %")
    runs, what = effort.runs(RUNS, 200), "0.1% to 1.0%, canary 5%, 20 requests a second"
    world = Split(effort.rng(5), 0.05, steady(0.001, 0.01), lambda _: LITTLE)
    traffic = Recorded.of(world, HOUR, runs)
    judges = {
        "ours, no margin, alpha 5%": (bare(), 0.05, FOUND),
        "ours, default, alpha 5%": (default(alpha=0.05), 0.05, FOUND),
        "ours, default, alpha 1%": (default(), 0.01, None),
    }
    for name, (policy, alpha, least) in judges.items():
        level = -math.log(alpha)
        at = watch(Many(policy, runs), traffic, runs, HOUR, [level]).at(level)
        yield share(
            5, f"found within the hour by {name}; {what}", int(np.isfinite(at).sum()), runs, least=least
        )
        yield median(5, f"median requests of {name}; {what}", np.minimum(at, HOUR) * LITTLE)
    found = kayenta(*recorded_rates(traffic, A_MINUTE), range(10, 61, 10))
    what = f"found within the hour by Kayenta-like, each 10 min; {what}"
    yield share(5, what, int(np.isfinite(found).sum()), runs)


def _late(effort: Effort) -> Iterator[Cell]:
    """From 1 % to 2 % after a while; requests from then on."""
    level, looks = -math.log(0.01), 3 * HOUR
    limit = wald(0.02, 0.01, 0.1, 0.01)
    for place, (minutes, reserve) in enumerate((m, r) for m in ONSETS for r in (0.3, 0.0)):
        effort.say(f"late onset: after {minutes} min, reserve {reserve:.0%}")
        runs, onset = effort.runs(RUNS // 2, 100), minutes * A_MINUTE
        world = Split(effort.rng(6, place), 0.1, beginning(onset))
        many = Many(bare(alpha=0.01, late_share=reserve), runs)
        at = watch(many, world, runs, onset + looks, [level]).at(level)
        later = at[at > onset]  # the others were rolled back for nothing
        ratio = np.minimum(later - onset, looks) * REQUESTS / limit
        what = f"requests from a late onset / limit; after {minutes} min, reserve {reserve:.0%}, alpha 1%"
        yield median(6, what, ratio, LATE if reserve and minutes == 30 else None)


def beginning(onset: int) -> Rates:
    """A canary that is twice as bad as stable from a look on."""

    def rates(number: int, _: Index) -> tuple[float, float]:
        return 0.01, 0.02 if number >= onset else 0.01

    return rates

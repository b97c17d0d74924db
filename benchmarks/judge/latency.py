"""Target 4: a slow-down found by the whole histogram, against the multinomial limit and confidence bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import lognorm

from analysis import Buckets, Histogram, Margin, Metric, Policy, Reading, Status, begin, begin_step, fold
from analysis.betting import Array
from analysis.harm import log_e_harm
from benchmarks.judge.cells import Cell, error_rate, median, share
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import SCRAPE, START
from benchmarks.judge.traffic import REQUESTS

RUNS = 400
EQUAL_RUNS = 400
LOOKS_TO_LIMIT = 30
LONGEST = 10  # limits
SHARES = (0.05, 0.10, 0.50)
ALPHAS = (0.05, 0.01)
KNOWN = 10_000  # requests of stable before the rollout
EDGE = 0.5
CLASSIC = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, EDGE, 1.0, 2.5, 5.0, math.inf)
NATIVE = (*(EDGE * 2 ** (step / 4) for step in range(-18, 11)), math.inf)  # every 19 %, as of schema 2
LAYOUTS = {"classic buckets": CLASSIC, "native buckets": NATIVE}
LIMITS, BANDS, REQUESTS_AT_MOST = 2.0, 4.0, 25_000
Cdf = Callable[[Array], Array]


def latency(slower: float = 1.0, tail: float = 1.0) -> Cdf:
    """Most requests about 100 ms, one in twenty in a slow mode of its own."""

    def below(at: Array) -> Array:
        most = lognorm.cdf(at / slower, 0.6, scale=0.1)
        slow = lognorm.cdf(at / slower / tail, 0.5, scale=0.8)
        mixed: Array = 0.95 * most + 0.05 * slow
        return mixed

    return below


CASES = {
    "all x1.3": latency(slower=1.3),
    "slow mode x1.3": latency(tail=1.3),
    "all x1.1": latency(slower=1.1),
}


@dataclass(frozen=True)
class Arms:
    """What is true: the share of each bucket, by arm, and the canary's share of requests."""

    edges: tuple[float, ...]
    canary: Array
    stable: Array
    share: float

    @classmethod
    def of(cls, edges: Sequence[float], canary: Cdf, share: float) -> Arms:
        """A canary of that latency beside stable."""
        shares = [np.diff(cdf(np.array(edges)), prepend=0.0) for cdf in (canary, latency())]
        slow, fast = (each / each.sum() for each in shares)
        return cls(tuple(edges), slow, fast, share)

    @property
    def information(self) -> float:
        """Nats in one request about which arm is which."""
        both = self.share * self.canary + (1 - self.share) * self.stable
        parts = ((self.share, self.canary), (1 - self.share, self.stable))
        return float(sum(part * (arm * np.log(arm / both)).sum() for part, arm in parts))

    def band_requests(self, alpha: float) -> float:
        """Requests after which two bands that hold for all times together part at the widest gap, without
        noise: 0.85 sqrt((log log e n + 0.8 log(1612 / level)) / n) each (Howard and Ramdas 2022).
        """
        gap = float(np.abs(np.cumsum(self.canary) - np.cumsum(self.stable)).max())

        def width(requests: float) -> float:
            n = max(requests, 1.0)
            return 0.85 * math.sqrt((math.log(math.log(math.e * n)) + 0.8 * math.log(3224 / alpha)) / n)

        low, high = 1.0, 1e12
        while high > 1.0001 * low:
            middle = math.sqrt(low * high)
            parted = width(self.share * middle) + width((1 - self.share) * middle) < gap
            low, high = (low, middle) if parted else (middle, high)
        return high

    def drawn(self, rng: np.random.Generator, requests: int) -> Buckets:
        """So many requests."""
        canary = int(rng.binomial(requests, self.share))
        return Buckets(
            self.edges,
            tuple(rng.multinomial(canary, self.canary).astype(float).tolist()),
            tuple(rng.multinomial(requests - canary, self.stable).astype(float).tolist()),
        )


def policy(tolerate: Margin | None, late_share: float) -> Policy:
    """The whole histogram by its shape."""
    return Policy(
        (Metric("latency", Histogram("buckets", (EDGE,)), tolerate=tolerate),), late_share=late_share
    )


def looks_until(
    judge: Policy, arms: Arms, rng: np.random.Generator, requests: int, looks: int, levels: Sequence[float]
) -> list[float]:
    """For each level of log E the look that reaches it, by the folds of the whole judge; rising levels."""
    none = (0.0,) * len(arms.edges)
    known = Buckets(arms.edges, none, tuple((KNOWN * arms.stable).round().tolist()))
    checkpoint = begin_step(begin(judge, START, {"latency": known}), "0", START)
    found = [math.inf] * len(levels)
    for look in range(1, looks + 1):
        seen, since = arms.drawn(rng, requests), checkpoint.cut("latency")
        reading = Reading(since, since + SCRAPE, Status.OK, (seen.beyond(EDGE),), buckets=seen)
        checkpoint = fold(judge, checkpoint, "latency", reading)
        worth = log_e_harm(judge, checkpoint)
        found = [
            look if math.isinf(at) and worth >= level else at for at, level in zip(found, levels, strict=True)
        ]
        if math.isfinite(found[-1]):
            break
    return found


def cells(effort: Effort) -> Iterator[Cell]:
    """Three slow-downs, two layouts, three splits; one of them by time; and equal arms."""
    levels = [-math.log(alpha) for alpha in ALPHAS]
    bare = policy(Margin(), 0.0)
    designs = [(layout, case, part) for layout in LAYOUTS for case in CASES for part in SHARES]
    for place, (layout, case, part) in enumerate(designs):
        effort.say(f"latency: {case}, {layout}, canary {part:.0%}")
        arms = Arms.of(LAYOUTS[layout], CASES[case], part)
        limit = levels[0] / arms.information
        batch = max(round(limit / LOOKS_TO_LIMIT), round(5 / part))
        looks = math.ceil(LONGEST * levels[-1] / levels[0] * limit / batch)
        runs = effort.runs(RUNS, 10)
        streams = effort.rng(4, place).spawn(runs)
        found = np.array([looks_until(bare, arms, rng, batch, looks, levels) for rng in streams])
        requests = np.minimum(found, looks) * batch
        for k, alpha in enumerate(ALPHAS):
            what = f"{case}, {layout}, canary {part:.0%}, alpha {alpha:.0%}"
            ratio = requests[:, k] * arms.information / levels[k]
            yield median(4, f"median requests / multinomial limit; {what}", ratio, LIMITS)
            band = arms.band_requests(alpha) / requests[:, k]
            yield median(4, f"requests of a confidence band / ours; {what}", band, least=BANDS)
    yield from _by_time(effort)
    yield from _equal(effort)


def _by_time(effort: Effort) -> Iterator[Cell]:
    """In scrapes at 100 requests a second, by the judge as it is by default but for the smaller effect."""
    judge, runs = policy(Margin(0.05, 0.0), 0.3), effort.runs(RUNS, 10)
    for place, (case, most) in enumerate(
        (("all x1.1", REQUESTS_AT_MOST), ("all x1.3", None), ("slow mode x1.3", None))
    ):
        arms = Arms.of(CLASSIC, CASES[case], 0.05)
        effort.say(f"latency: {case} by time")
        streams = effort.rng(4, 100 + place).spawn(runs)
        found = np.array([looks_until(judge, arms, rng, REQUESTS, 240, [math.log(20)])[0] for rng in streams])
        what = f"{case}, classic buckets, canary 5%, alpha 5%, default reserve"
        yield median(4, f"median requests; {what}", np.minimum(found, 240) * REQUESTS, most)
        yield share(4, f"found within the hour; {what}", int(np.isfinite(found).sum()), runs)


def _equal(effort: Effort) -> Iterator[Cell]:
    """Without any margin of effect, an hour of scrapes."""
    runs = effort.runs(EQUAL_RUNS, 20)
    effort.say("latency: equal arms")
    arms, levels = Arms.of(CLASSIC, latency(), 0.1), [-math.log(alpha) for alpha in ALPHAS]
    streams = effort.rng(4, 200).spawn(runs)
    found = np.array(
        [looks_until(policy(Margin(), 0.0), arms, rng, REQUESTS, 240, levels) for rng in streams]
    )
    for k, alpha in enumerate(ALPHAS[:1]):
        wrong = int(np.isfinite(found[:, k]).sum())
        yield error_rate(4, f"false rollback by latency, 240 looks, alpha {alpha:.0%}", wrong, runs, alpha)

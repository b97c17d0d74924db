"""Target 3: the same traffic judged by ours and by the rules of others, 1 h at 100 requests a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.betting import Array
from benchmarks.judge.cells import Cell, error_rate, median, median_ratio, share
from benchmarks.judge.efficiency import wald
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import Many, watch
from benchmarks.judge.peers import calibrated, failed_measurements, kayenta, peeking_z, recorded_rates
from benchmarks.judge.policies import bare, default
from benchmarks.judge.traffic import REQUESTS, Index, Rates, Recorded, Split, steady

RUNS = 2000
CALIBRATIONS = 10_000  # rollouts that thresholds are calibrated on
LOOKS = 240
A_MINUTE, FIVE_MINUTES = 4, 20
CASES = tuple((change, share) for change in ((0.01, 0.02), (0.001, 0.01)) for share in (0.05, 0.10, 0.50))
ALPHA = 0.05
BARE, DEFAULT = "ours, no margin", "ours, default"
ARGO_DOCS = "Argo-like, 5 min, 5 %, limit 3"
ARGO_1M, ARGO_5M = "Argo-like calibrated, 1 min, limit 3", "Argo-like calibrated, 5 min, limit 0"
FLAGGER_DOCS, FLAGGER = "Flagger-like, 1 min, 1 %, threshold 5", "Flagger-like calibrated, 1 min, threshold 5"
KAYENTA_10, KAYENTA_1 = "Kayenta-like, each 10 min", "Kayenta-like, each min from 5"
Z = "peeking z, 5 %"
LEAST = {BARE: 2.2, DEFAULT: 1.8}  # times fewer requests than Flagger and Kayenta
LIMITS = 2.2  # times the limit, at most, as it is by default


@dataclass(frozen=True)
class Limits:
    """Thresholds that were calibrated on equal arms of the very base rate."""

    minute: float
    five: float
    flagger: float

    @classmethod
    def told_by(cls, equal: Recorded) -> Limits:
        """Of a simulation of its own."""
        minute, five = (recorded_rates(equal, looks)[0] for looks in (A_MINUTE, FIVE_MINUTES))
        return cls(calibrated(minute, 3, ALPHA), calibrated(five, 0, ALPHA), calibrated(minute, 4, ALPHA))


def cells(effort: Effort) -> Iterator[Cell]:
    """Six cases: requests until found, and false rollbacks of equal arms, also of arms that drift."""
    for place, ((stable, canary), part) in enumerate(CASES):
        what = f"{stable:.1%} to {canary:.1%}, canary {part:.0%}"
        effort.say(f"peers: {what}")
        runs = effort.runs(RUNS, 120)

        def recorded(number: int, rates: Rates, runs: int = runs) -> Recorded:
            return Recorded.of(Split(effort.rng(3, place, number), part, rates), LOOKS, runs)  # noqa: B023 - called here

        limits = Limits.told_by(recorded(0, steady(stable, stable), effort.runs(CALIBRATIONS)))
        bad = decided(recorded(1, steady(stable, canary)), limits, runs)
        equal = decided(recorded(2, steady(stable, stable)), limits, runs)
        drifted = decided(recorded(3, drifting(stable)), limits, runs, (BARE, ARGO_5M, FLAGGER))
        yield from _found(what, bad, (stable, canary, part))
        yield from _false(what, equal, drifted, runs)


def drifting(stable: float) -> Rates:
    """Both arms half as bad again as when the thresholds were calibrated."""

    def rates(_: int, __: Index) -> tuple[float, float]:
        return 1.5 * stable, 1.5 * stable

    return rates


def decided(traffic: Recorded, limits: Limits, runs: int, only: tuple[str, ...] = ()) -> Mapping[str, Array]:
    """For each rule the requests at which it rolls back; a rule that never does, infinitely many."""
    minute, stable_minute = recorded_rates(traffic, A_MINUTE)
    five, _ = recorded_rates(traffic, FIVE_MINUTES)
    level = -math.log(ALPHA)
    rules: dict[str, Callable[[], Array]] = {
        BARE: lambda: watch(Many(bare(), runs), traffic, runs, LOOKS, [level]).at(level),
        DEFAULT: lambda: watch(Many(default(alpha=ALPHA), runs), traffic, runs, LOOKS, [level]).at(level),
        ARGO_DOCS: lambda: FIVE_MINUTES * failed_measurements(five, 0.05, 3),
        ARGO_1M: lambda: A_MINUTE * failed_measurements(minute, limits.minute, 3),
        ARGO_5M: lambda: FIVE_MINUTES * failed_measurements(five, limits.five, 0),
        FLAGGER_DOCS: lambda: A_MINUTE * failed_measurements(minute, 0.01, 4),
        FLAGGER: lambda: A_MINUTE * failed_measurements(minute, limits.flagger, 4),
        KAYENTA_10: lambda: A_MINUTE * kayenta(minute, stable_minute, range(10, 61, 10)),
        KAYENTA_1: lambda: A_MINUTE * kayenta(minute, stable_minute, range(5, 61)),
        Z: lambda: peeking_z(traffic.seen, ALPHA),
    }
    return {name: REQUESTS * rule() for name, rule in rules.items() if not only or name in only}


def _found(what: str, bad: Mapping[str, Array], case: tuple[float, float, float]) -> Iterator[Cell]:
    stable, canary, part = case
    capped = {name: np.minimum(requests, REQUESTS * LOOKS) for name, requests in bad.items()}
    for name, requests in capped.items():
        yield median(3, f"median requests of {name}; {what}", requests)
        if np.isinf(bad[name]).any():
            yield share(
                3,
                f"found within the hour by {name}; {what}",
                int(np.isfinite(bad[name]).sum()),
                len(requests),
            )
    limit = np.full(2, wald(canary, stable, part, ALPHA))
    yield median(3, f"{DEFAULT}, requests / limit; {what}", capped[DEFAULT] / limit[0], LIMITS)
    best_argo = min((ARGO_1M, ARGO_5M), key=lambda name: float(np.median(capped[name])))
    best_kayenta = min((KAYENTA_10, KAYENTA_1), key=lambda name: float(np.median(capped[name])))
    for ours in (BARE, DEFAULT):
        for peer, least in ((best_argo, 1.0), (FLAGGER, LEAST[ours]), (best_kayenta, LEAST[ours])):
            label = f"requests of {peer} / {ours}; {what}"
            yield median_ratio(3, label, capped[peer], capped[ours], least=least)


def _false(what: str, equal: Mapping[str, Array], drifted: Mapping[str, Array], runs: int) -> Iterator[Cell]:
    for name, requests in equal.items():
        wanted = ALPHA if name in LEAST else None
        yield error_rate(
            3, f"false rollback of {name}; {what}", int(np.isfinite(requests).sum()), runs, wanted
        )
    for name, requests in drifted.items():
        found = int(np.isfinite(requests).sum())
        label = f"false rollback of {name}, both arms x1.5; {what}"
        if name == BARE:
            yield error_rate(3, label, found, runs, ALPHA)
        else:
            yield share(3, label, found, runs, least=0.28)

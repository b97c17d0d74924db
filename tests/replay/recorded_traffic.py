"""Recorded traffic of two versions, made from a seed: what a Prometheus would have scraped of a shop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.evidence import Series
from analysis.sources.recorded import to_lines

BEGAN = 1_772_366_400  # 2026-03-01T12:00:00Z
STABLE, CANARY = "6c9f7d", "7d4b9c"
NAMES = ("--canary", CANARY, "--stable", STABLE)


def shop(
    bad: Callable[[int], float] | float,
    *,
    seconds: int = 120,
    rps: float = 600,
    share: float = 0.1,
    blind: range = range(0),
    seed: int = 1,
) -> list[Series]:
    """Four stable pods and one canary pod, scraped each second but in the seconds of `blind`.

    bad: the canary's share of failures, by second; stable fails 1 %.
    """
    rng = np.random.default_rng(seed)
    pods = [(f"shop-{STABLE}-aaaa{number}", rps * (1 - share) / 4, 0.01) for number in range(4)]
    rates = bad if callable(bad) else lambda _second: bad
    made: list[Series] = []
    for pod, load, errors in [*pods, (f"shop-{CANARY}-bbbbb", rps * share, None)]:
        shares = [errors if errors is not None else rates(second) for second in range(seconds)]
        totals = rng.poisson(load, seconds)
        failed = rng.binomial(totals, shares)
        for code, counts in (("200", totals - failed), ("500", failed)):
            made.append(_series(pod, np.cumsum(counts), blind, __name__="http_requests_total", code=code))
        made.append(_series(pod, np.ones(seconds), blind, __name__="up"))
    return made


def _series(pod: str, values: np.ndarray, blind: range, **labels: str) -> Series:
    samples = [
        (1000 * (BEGAN + second) + 200, float(value))
        for second, value in enumerate(values)
        if second not in blind and value
    ]
    where = {"namespace": "shop", "pod": pod, "instance": pod, "job": "shop"}
    return Series({**where, **labels}, tuple(samples))


def recorded(file: Path, series: list[Series]) -> Path:
    """The file, written."""
    file.write_text("".join(to_lines(series)))
    return file

"""Native histograms of Prometheus as the buckets of classic ones, at edges that all of them have.

A native histogram has edges 2^(i / 2^schema), leaves empty buckets out, and becomes coarser when it must.
Those at 2^(i / 2) are edges of every schema above 0: what lies below one of them is an exact count, whichever
buckets were told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from analysis.evidence import NATIVE, Labels, Series

GRID: Final = tuple(2.0 ** (step / 2) for step in range(-20, 9))  # 1 ms to 16 s, each 1.41 times the last
_NEAR: Final = 1e-9  # edges are told as decimal numbers
_FINEST: Final = 8  # schema


class CustomBucketsError(ValueError):
    """A native histogram whose edges somebody chose."""


def classic(labels: Labels, samples: Sequence[Sequence[Any]]) -> tuple[Series, ...]:
    """The series of one native histogram, from `[[seconds, {count, buckets}], ...]`, by `le`.

    An edge within one of its buckets is left out. Raises CustomBucketsError.
    """
    told = [(round(at * 1000), _Told(histogram)) for at, histogram in samples]
    told = [(at, each) for at, each in told if not math.isnan(each.count)]
    edges = [edge for edge in GRID if not any(each.straddles(edge) for _, each in told)]
    below = [
        Series(
            {**labels, "le": repr(edge), NATIVE: "1"},
            tuple((at, each.up_to(edge)) for at, each in told),
        )
        for edge in edges
    ]
    whole = tuple((at, each.count) for at, each in told)
    return (*below, Series({**labels, "le": "+Inf", NATIVE: "1"}, whole))


class _Told:
    """One sample."""

    def __init__(self, histogram: Mapping[str, Any]) -> None:
        self.count = float(histogram["count"])
        self.buckets = [
            (float(low), float(high), float(count)) for _, low, high, count in histogram.get("buckets") or ()
        ]
        if any(not _exponential(low, high) for low, high, _ in self.buckets):
            raise CustomBucketsError

    def up_to(self, edge: float) -> float:
        """How many values are at most `edge`."""
        return math.fsum(count for _, high, count in self.buckets if high <= edge * (1 + _NEAR))

    def straddles(self, edge: float) -> bool:
        """Whether a bucket has values on both sides of `edge`, for all that is known."""
        return any(low < edge * (1 - _NEAR) and high > edge * (1 + _NEAR) for low, high, _ in self.buckets)


def _exponential(low: float, high: float) -> bool:
    """Whether these are the edges of a bucket 2^(i / 2^schema), or of the one around 0."""
    if low <= 0 or math.isinf(high):
        return high <= 0 or low < 0 or low == high == 0
    steps = 2.0**_FINEST * math.log2(high)
    return abs(steps - round(steps)) < 1e-4

"""Requests by bucket, of both arms over the same interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from analysis.evidence import Counts, Increase, NotACounterError, Pair, Scrapes, Series, count_histogram

MOST_BUCKETS = 30  # what fits into the state of a metric, and into a millisecond


@dataclass(frozen=True, slots=True)
class Buckets:
    """Requests in each bucket. edges: their upper ends, above 0 and rising, the last infinite."""

    edges: tuple[float, ...] = (math.inf,)
    canary: tuple[float, ...] = (0.0,)
    stable: tuple[float, ...] = (0.0,)

    def __add__(self, other: Buckets) -> Buckets:
        """Both, on the edges that they have in common; one bucket alone says nothing, and is left out."""
        if len(self.edges) == 1 or len(other.edges) == 1:
            return other if len(self.edges) == 1 else self
        edges = common_edges((self.edges, other.edges))
        one, more = self.on(edges), other.on(edges)
        return Buckets(edges, _sum(one.canary, more.canary), _sum(one.stable, more.stable))

    def on(self, edges: tuple[float, ...]) -> Buckets:
        """The same requests in wider buckets: `edges` must be some of these."""
        if edges == self.edges:
            return self
        return Buckets(
            edges, rebinned(self.canary, self.edges, edges), rebinned(self.stable, self.edges, edges)
        )

    def swapped(self) -> Buckets:
        """Arms exchanged."""
        return Buckets(self.edges, self.stable, self.canary)

    def beyond(self, edge: float) -> Pair:
        """Requests that took longer than `edge`, which must be one of the edges, out of all."""
        first = self.edges.index(edge) + 1
        return Pair(
            Counts(sum(self.canary[first:]), sum(self.canary)),
            Counts(sum(self.stable[first:]), sum(self.stable)),
        )


NO_BUCKETS = Buckets()


def _sum(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def rebinned(counts: Sequence[float], edges: Sequence[float], wider: Sequence[float]) -> tuple[float, ...]:
    """Counts by `edges` in the wider buckets that end at `wider`, which are some of the edges."""
    held = dict.fromkeys(wider, 0.0)
    ends = iter(wider)
    end = next(ends)
    for edge, count in zip(edges, counts, strict=True):
        if edge > end:
            end = next(ends)
        held[end] += count
    return tuple(held.values())


def common_edges(layouts: Iterable[Sequence[float]]) -> tuple[float, ...]:
    """The edges above 0 that all layouts have, in order."""
    sets = [frozenset(layout) for layout in layouts]
    return tuple(sorted(edge for edge in frozenset.intersection(*sets) if edge > 0))


def thinned(edges: Sequence[float], keep: Sequence[float]) -> tuple[float, ...]:
    """At most `MOST_BUCKETS` of the edges: those to keep and the last, and every second of the others."""
    kept = {*keep, edges[-1]}
    left = list(edges)
    while len(left) > max(MOST_BUCKETS, len(kept) + 1):
        others = [edge for edge in left if edge not in kept]
        left = sorted({*kept, *others[1::2]})
    return tuple(left)


Parts = Mapping[float, Series]
"""The series of one classic histogram, by edge."""


def by_histogram(buckets: Iterable[Series], per: float = 1.0) -> list[Parts]:
    """The histograms that these are the buckets of: equal labels but `le`, which counts `per` parts of the
    edges' unit. Raises NotACounterError.
    """
    found: dict[tuple[tuple[str, str], ...], dict[float, Series]] = {}
    for one in buckets:
        rest = tuple(sorted((name, value) for name, value in one.labels.items() if name != "le"))
        found.setdefault(rest, {})[_edge(one) / per] = one
    return list(found.values())


def shared_edges(histograms: Iterable[Parts], keep: Sequence[float]) -> tuple[float, ...]:
    """The edges that all the histograms have, as many as can be used; those to keep are among them.

    Raises NotACounterError where an edge to keep is missing, or nothing but the last bucket is shared.
    """
    edges = common_edges([tuple(parts) for parts in histograms] or [(math.inf,)])
    if len(edges) < 2 or edges[-1] != math.inf:
        raise NotACounterError("the histograms of the two versions have no edges in common")
    for edge in keep:
        if edge not in edges:
            known = ", ".join(f"{le:g}" for le in edges)
            raise NotACounterError(f"no bucket with the edge {edge:g}: the histograms share {known}")
    return thinned(edges, keep)


def count_buckets(
    histograms: Iterable[Parts], edges: Sequence[float], cut: int, until: int, seen: Scrapes
) -> tuple[tuple[float, ...], int]:
    """Requests in `(cut, until]` by bucket, and how many series only found their baseline.

    Raises NotACounterError where an edge is missing or a histogram shrinks.
    """
    sums = [Increase()] * len(edges)
    for parts in histograms:
        for edge in edges:
            if edge not in parts:
                known = ", ".join(f"{le:g}" for le in sorted(parts))
                raise NotACounterError(f"no bucket with the edge {edge:g}: the histogram has {known}")
        found = count_histogram([parts[edge] for edge in edges], cut, until, seen)
        _rising(found, edges)
        sums = [held + more for held, more in zip(sums, found, strict=True)]
    below = [0.0, *(each.value for each in sums)]
    return tuple(high - low for low, high in pairwise(below)), sums[-1].rebased


def _rising(found: Sequence[Increase], edges: Sequence[float]) -> None:
    for place in range(1, len(found)):
        if found[place].value < found[place - 1].value:
            raise NotACounterError(
                f"{found[place - 1].value:g} requests up to {edges[place - 1]:g} but"
                f" {found[place].value:g} up to {edges[place]:g}: the buckets of a histogram can't shrink"
            )


def _edge(bucket: Series) -> float:
    try:
        return float(bucket.labels["le"])
    except (KeyError, ValueError):
        raise NotACounterError(f"{bucket} has no usable `le`: not a classic histogram's bucket") from None

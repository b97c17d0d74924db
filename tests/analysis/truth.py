"""A small world in which the truth is known: processes that count events, and scrapes that see them.

An event counts in the interval that holds the first successful scrape of its process after it; events between
the last scrape of a process and its end are unseeable. That is said here event by event, without any
difference of counters, so that it can be held against the reader.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from analysis.evidence import Series


@dataclass(frozen=True)
class Process:
    start: int
    end: int
    events: tuple[tuple[int, str], ...]  # (when, code)
    born_with: frozenset[str] = frozenset()  # codes whose series exist from the start


@dataclass(frozen=True)
class Target:
    name: str
    processes: tuple[Process, ...]
    scrapes: tuple[int, ...]  # the successful ones, in order

    def process_at(self, at: int) -> Process | None:
        return next((p for p in self.processes if p.start <= at < p.end), None)

    @property
    def labels(self) -> dict[str, str]:
        return {"job": "shop", "instance": self.name, "pod": self.name}

    def seen(self) -> list[tuple[int, Process]]:
        return [(at, process) for at in self.scrapes if (process := self.process_at(at)) is not None]

    def series(self, codes: str, after: int, until: int) -> tuple[Series, ...]:
        """What a range selector would return: raw counters per code, within `(after, until]`."""
        held: dict[str, list[tuple[int, float]]] = {}
        for at, process in self.seen():
            if not after < at <= until:
                continue
            for code in codes:
                value = sum(1 for when, what in process.events if what == code and when <= at)
                if value or code in process.born_with:
                    held.setdefault(code, []).append((at, float(value)))
        return tuple(Series({**self.labels, "code": code}, tuple(samples)) for code, samples in held.items())

    def starts(self, after: int, until: int) -> tuple[Series, ...]:
        samples = tuple((at, process.start / 1000) for at, process in self.seen() if after < at <= until)
        return (Series(self.labels, samples),) if samples else ()

    def up(self, after: int, until: int) -> tuple[Series, ...]:
        samples = tuple((at, 1.0) for at, _ in self.seen() if after < at <= until)
        return (Series(self.labels, samples),) if samples else ()

    def truth(self, codes: str, cut: int, until: int, reach: int, began: int) -> int:
        """Events that the scrapes in `(cut, until]` were the first to see, where their beginning is known."""
        seen = self.seen()
        total = 0
        for process in self.processes:
            own = [at for at, scraped in seen if scraped is process]
            for when, code in process.events:
                place = bisect_left(own, when)
                if code not in codes or place == len(own) or not cut < own[place] <= until:
                    continue
                earlier = any(reach < at < own[place] for at, _ in seen)
                total += earlier or process.start >= max(reach, began)
        return total

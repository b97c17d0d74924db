"""What a judge remembers between two looks: for each metric one cut, counts and the capital of its bets.

No series; at most 4 kB of JSON a metric. Arrays are packed as base64 of little-endian numbers, so what is
read back is what was written, bit for bit.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from analysis.betting import Bet, Stakes
from analysis.blocks import LAMBDAS, Blocks
from analysis.boundaries import HARM, SAFE
from analysis.evidence import Counts, Pair, to_datetime
from analysis.histogram import NO_BUCKETS, Buckets
from analysis.interval import NO_LIKELIHOOD
from analysis.load import NO_LOAD, Load
from analysis.reading import Status
from analysis.routing import RouteTest
from analysis.shapes import SHAPES

FORMAT: Final = 2
READABLE: Final = (1, FORMAT)  # 1 knew no histograms: it reads as one without
NOTHING: Final = Pair()


@dataclass(frozen=True, slots=True)
class Test:
    """One line's evidence: a metric has one, an SLO one an edge. Harm lasts the rollout, safe one step.

    Where the shape of a histogram speaks for harm, its edges do not.
    """

    harm: Bet | None
    safe: Bet
    counted: Pair = NOTHING
    in_step: Pair = NOTHING
    likelihood: tuple[float, ...] = NO_LIKELIHOOD


@dataclass(frozen=True, slots=True)
class ShapeTest:
    """A histogram's evidence of harm. known: stable's requests before the rollout, in `counted`'s buckets."""

    bet: Bet
    counted: Buckets = NO_BUCKETS
    known: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricState:
    """What is remembered of one metric. `status` and `cause` are the last look's."""

    cut: int
    tests: tuple[Test, ...]
    looks: int = 0
    looks_in_step: int = 0
    status: Status = Status.WAITING
    cause: str = "not looked at yet"
    status_since: int = 0
    note: str = ""
    interval: int | None = None
    seen: int = 0
    shape: ShapeTest | None = None
    blocks: Blocks | None = None

    @property
    def fresh(self) -> int:
        """Up to where the source is known to show both arms, counted or not."""
        return max(self.cut, self.seen)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the judge of one rollout stands. Times are milliseconds since the epoch."""

    began: int
    step: str
    step_since: int
    metrics: Mapping[str, MetricState]
    route: RouteTest | None = None
    load: Load = NO_LOAD

    def cut(self, name: str) -> datetime:
        """Where this metric's reading stands: everything up to here is counted or given up."""
        return to_datetime(self.metrics[name].cut)

    def scrape_interval(self, name: str) -> timedelta | None:
        """The scrape interval that the metric's samples showed last: the default interval between looks."""
        seen = self.metrics[name].interval
        return None if seen is None else timedelta(milliseconds=seen)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; `from_json` gives back an equal checkpoint."""
        return {
            "format": FORMAT,
            "began": self.began,
            "step": self.step,
            "stepSince": self.step_since,
            "metrics": {name: _metric_to_json(state) for name, state in self.metrics.items()},
            "load": [getattr(self.load, name) for name in Load.__slots__],
        } | ({} if self.route is None else {"route": _route_to_json(self.route)})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Checkpoint:
        """Raises ValueError for another format or a damaged checkpoint."""
        if data.get("format") not in READABLE:
            raise ValueError(
                f"checkpoint of format {data.get('format')!r}; this judge reads up to format {FORMAT}"
            )
        try:
            metrics = {name: _metric_from_json(state) for name, state in data["metrics"].items()}
            route = _route_from_json(data["route"]) if "route" in data else None
            load = Load(*map(float, data.get("load", ())))
            return cls(int(data["began"]), str(data["step"]), int(data["stepSince"]), metrics, route, load)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as damage:
            raise ValueError(f"damaged checkpoint: {damage!r}") from damage


def _pack(values: Sequence[float]) -> str:
    return base64.b64encode(np.array(values, dtype="<f8").tobytes()).decode("ascii")


def _unpack(text: str) -> tuple[float, ...]:
    return tuple(np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").tolist())


def _pack_counts(counts: Sequence[float]) -> str:
    """Whole numbers take the bytes that they need, anything else eight."""
    values = np.array(counts, dtype="<f8")
    whole = bool(np.all((values >= 0) & (values == np.floor(values))))
    for kind in ("<u2", "<u4"):
        if whole and np.all(values <= np.iinfo(kind).max):
            return kind[-1] + base64.b64encode(values.astype(kind).tobytes()).decode("ascii")
    return "8" + _pack(counts)


def _unpack_counts(text: str) -> tuple[float, ...]:
    kinds = {"2": "<u2", "4": "<u4", "8": "<f8"}
    raw = base64.b64decode(text[1:], validate=True)
    return tuple(np.frombuffer(raw, dtype=kinds[text[0]]).astype(float).tolist())


def _bet_from_json(text: str, reserve: float, *stakes: Stakes) -> Bet:
    return Bet(_sized(text, *(len(each.kappas) for each in stakes)), reserve)


def _sized(text: str, *wanted: int) -> tuple[float, ...]:
    found = _unpack(text)
    if len(found) not in wanted:
        raise ValueError(f"{len(found)} numbers where {wanted[0]} were written")
    return found


def _counts_to_json(pair: Pair) -> list[float]:
    return [pair.canary.bad, pair.canary.total, pair.stable.bad, pair.stable.total]


def _counts_from_json(data: Sequence[float]) -> Pair:
    canary_bad, canary_total, stable_bad, stable_total = map(float, data)
    return Pair(Counts(canary_bad, canary_total), Counts(stable_bad, stable_total))


def _test_to_json(test: Test) -> dict[str, Any]:
    harm = {} if test.harm is None else {"harm": _pack(test.harm.logs), "reserve": test.harm.reserve}
    return harm | {
        "safe": _pack(test.safe.logs),
        "counted": _counts_to_json(test.counted),
        "inStep": _counts_to_json(test.in_step),
        "likelihood": _pack(test.likelihood),
    }


def _test_from_json(data: Mapping[str, Any]) -> Test:
    return Test(
        _bet_from_json(data["harm"], float(data["reserve"]), HARM, LAMBDAS) if "harm" in data else None,
        _bet_from_json(data["safe"], 0.0, SAFE, LAMBDAS),
        _counts_from_json(data["counted"]),
        _counts_from_json(data["inStep"]),
        _sized(data["likelihood"], len(NO_LIKELIHOOD)),
    )


def _shape_to_json(shape: ShapeTest) -> dict[str, Any]:
    return {
        "harm": _pack(shape.bet.logs),
        "reserve": shape.bet.reserve,
        "edges": list(shape.counted.edges[:-1]),
        "canary": _pack_counts(shape.counted.canary),
        "stable": _pack_counts(shape.counted.stable),
        "known": _pack_counts(shape.known),
    }


def _shape_from_json(data: Mapping[str, Any]) -> ShapeTest:
    edges = (*map(float, data["edges"]), math.inf)
    canary, stable, known = (_unpack_counts(data[key]) for key in ("canary", "stable", "known"))
    if not len(edges) == len(canary) == len(stable) or len(known) not in (0, len(edges)):
        raise ValueError(f"{len(canary)} counts for {len(edges)} buckets")
    bet = _bet_from_json(data["harm"], float(data["reserve"]), SHAPES)
    return ShapeTest(bet, Buckets(edges, canary, stable), known)


def _blocks_to_json(blocks: Blocks) -> dict[str, Any]:
    return {
        "since": blocks.since,
        "pending": _counts_to_json(blocks.pending),
        "recent": _pack(blocks.recent),
        "number": blocks.number,
        "inStep": blocks.in_step,
        "total": blocks.total,
        "squares": blocks.squares,
    }


def _blocks_from_json(data: Mapping[str, Any]) -> Blocks:
    return Blocks(
        since=int(data["since"]),
        pending=_counts_from_json(data["pending"]),
        recent=_unpack(data["recent"]),
        number=int(data["number"]),
        in_step=int(data["inStep"]),
        total=float(data["total"]),
        squares=float(data["squares"]),
    )


def _route_to_json(route: RouteTest) -> dict[str, Any]:
    return {
        "weight": route.weight,
        "since": route.since,
        "above": _pack(route.above.logs),
        "aboveReserve": route.above.reserve,
        "below": _pack(route.below.logs),
        "belowReserve": route.below.reserve,
        "requests": [route.requests.bad, route.requests.total],
    }


def _route_from_json(data: Mapping[str, Any]) -> RouteTest:
    canary, total = map(float, data["requests"])
    return RouteTest(
        weight=float(data["weight"]),
        since=int(data["since"]),
        above=_bet_from_json(data["above"], float(data["aboveReserve"]), HARM),
        below=_bet_from_json(data["below"], float(data["belowReserve"]), SAFE),
        requests=Counts(canary, total),
    )


def _metric_to_json(state: MetricState) -> dict[str, Any]:
    shape = {} if state.shape is None else {"shape": _shape_to_json(state.shape)}
    blocks = {} if state.blocks is None else {"blocks": _blocks_to_json(state.blocks)}
    return (
        shape
        | blocks
        | {
            "cut": state.cut,
            "tests": [_test_to_json(test) for test in state.tests],
            "looks": state.looks,
            "looksInStep": state.looks_in_step,
            "status": state.status.value,
            "cause": state.cause,
            "statusSince": state.status_since,
            "note": state.note,
            "interval": state.interval,
            "seen": state.seen,
        }
    )


def _metric_from_json(data: Mapping[str, Any]) -> MetricState:
    interval = data["interval"]
    return MetricState(
        cut=int(data["cut"]),
        tests=tuple(_test_from_json(test) for test in data["tests"]),
        looks=int(data["looks"]),
        looks_in_step=int(data["looksInStep"]),
        status=Status(data["status"]),
        cause=str(data["cause"]),
        status_since=int(data["statusSince"]),
        note=str(data["note"]),
        interval=None if interval is None else int(interval),
        seen=int(data["seen"]),
        shape=_shape_from_json(data["shape"]) if "shape" in data else None,
        blocks=_blocks_from_json(data["blocks"]) if "blocks" in data else None,
    )

"""A judge that dies between any two statements and goes on from what was written says the very same."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.evidence import Series
from analysis.metric import Histogram, Mean, Metric, Proportion, Rate, Slo, Up
from analysis.policy import Policy
from analysis.reading import Context, Reading
from analysis.routing import Share
from analysis.sequential import Checkpoint, begin, begin_step, fold, route, skip
from analysis.sources import Arms, take
from analysis.sources.recorded import RecordedSource
from analysis.verdict import Judgement, judge

START = datetime(2026, 1, 1, tzinfo=UTC)
ARMS = Arms('arm="c"', 'arm="s"')
EDGES = ("0.1", "0.3", "1", "+Inf")
SECONDS, LOOK = 150, 10
POLICY = Policy(
    metrics=(
        Metric("errors", Proportion('requests{code="500"}', "requests")),
        Metric("slow", Slo("seconds_bucket", (0.3,))),
        Metric("latency", Histogram("seconds_bucket", (0.3,))),
        Metric("crashes", Rate("crashes")),
        Metric("memory", Mean("memory", timedelta(seconds=20))),
        Metric("scrapes", Up()),
    ),
    share=Share("errors"),
)


def recorded() -> list[Series]:
    """Every kind of series, of both arms, scraped each second; the canary restarts half way."""
    made: list[Series] = []
    for arm, load in (("c", 20.0), ("s", 180.0)):
        rng = np.random.default_rng(len(arm) + int(load))
        total, failed = rng.poisson(load, SECONDS), rng.binomial(1, 0.3, SECONDS)
        slow = np.cumsum(rng.multinomial(1, (0.5, 0.3, 0.15, 0.05), (SECONDS, int(load))).sum(axis=1), axis=1)
        named = {
            ("requests", ("code", "200")): np.cumsum(total),
            ("requests", ("code", "500")): np.cumsum(failed),
            ("crashes", ("zone", "a")): np.cumsum(rng.binomial(1, 0.02, SECONDS)),
            **{
                ("seconds_bucket", ("le", edge)): np.cumsum(slow[:, place])
                for place, edge in enumerate(EDGES)
            },
        }
        half = SECONDS // 2
        for (name, (label, value)), values in named.items():
            counts = values.astype(float)
            if arm == "c":
                counts[half:] -= counts[half - 1]
            made.append(series(arm, name, counts, **{label: value}))
        made.append(series(arm, "memory", 1e8 * (1 + rng.random(SECONDS))))
        made.append(series(arm, "up", (rng.random(SECONDS) > 0.02).astype(float)))
        started = np.where(np.arange(SECONDS) < half, 1.0, 2.0) if arm == "c" else np.ones(SECONDS)
        made.append(series(arm, "process_start_time_seconds", started))
    return made


def series(arm: str, name: str, values: np.ndarray, **labels: str) -> Series:
    where = {"__name__": name, "job": "shop", "instance": arm, "pod": arm, "arm": arm}
    began = int(START.timestamp() * 1000)
    samples = tuple((began + 1000 * at, float(value)) for at, value in enumerate(values))
    return Series({**where, **labels}, samples)


SOURCE = RecordedSource(recorded())


@dataclass
class Judge:
    """What it holds in memory, and what it wrote."""

    written: str
    checkpoint: Checkpoint | None = None
    reading: Reading | None = None
    said: dict[int, Judgement] = field(default_factory=dict)

    @property
    def here(self) -> Checkpoint:
        if self.checkpoint is None:
            self.checkpoint = Checkpoint.from_json(json.loads(self.written))
        return self.checkpoint

    def die(self) -> None:
        self.checkpoint = self.reading = None

    def write(self) -> None:
        self.written = json.dumps(self.here.to_json())


Statement = Callable[[Judge], None]


def looks() -> list[list[Statement]]:
    """What is done, look by look, a statement each; a look begins by what was written."""
    found: list[list[Statement]] = []
    for number, second in enumerate(range(LOOK, SECONDS, LOOK)):
        at = START + timedelta(seconds=second)
        if second in (50, 100):
            found.append([stepped(at, second), Judge.write])
        found += [[taken(metric, at), folded(metric), Judge.write] for metric in POLICY.metrics]
        found.append([spoken(number, at)])
    return found


def stepped(at: datetime, second: int) -> Statement:
    def statement(judge: Judge) -> None:
        fresh = begin_step(judge.here, str(second), at)
        judge.checkpoint = skip(route(fresh, 0.1 if second == 50 else 0.5, at), "slow", at)

    return statement


def taken(metric: Metric, at: datetime) -> Statement:
    def statement(judge: Judge) -> None:
        context = Context(began=START, interval=timedelta(seconds=1))
        cut = judge.here.cut(metric.name)
        judge.reading = asyncio.run(take(SOURCE, metric, ARMS, cut, at, context))

    return statement


def folded(metric: Metric) -> Statement:
    def statement(judge: Judge) -> None:
        assert judge.reading is not None
        judge.checkpoint = fold(POLICY, judge.here, metric.name, judge.reading)

    return statement


def spoken(number: int, at: datetime) -> Statement:
    def statement(it: Judge) -> None:
        it.said[number] = judge(POLICY, it.here, at)

    return statement


LOOKS = looks()
PLACES = [(number, place) for number, look in enumerate(LOOKS) for place in range(len(look))]


def played(deaths: frozenset[tuple[int, int]]) -> Judge:
    """All looks; it dies once before each statement of `deaths`, and does that look anew."""
    it = Judge(json.dumps(begin_step(begin(POLICY, START), "0", START).to_json()))
    for number, look in enumerate(LOOKS):
        left = [place for place in range(len(look)) if (number, place) in deaths]
        place = 0
        while place < len(look):
            if left and place == left[0]:
                left.pop(0)
                it.die()
                place = 0
                continue
            look[place](it)
            place += 1
    return it


STRAIGHT = played(frozenset())


def test_the_story_holds_evidence_of_every_kind() -> None:
    """Else what follows would show nothing."""
    last = STRAIGHT.said[max(STRAIGHT.said)]
    assert all(verdict.counted.canary.total > 0 for verdict in last.metrics)
    assert all(verdict.looks > 5 for verdict in last.metrics)
    assert last.route is not None
    assert last.route.requests > 0


@settings(max_examples=6, derandomize=True, deadline=None)
@given(st.sets(st.sampled_from(PLACES), max_size=30))
def test_a_death_between_any_two_statements_changes_no_bit_and_no_word(deaths: set[tuple[int, int]]) -> None:
    resumed = played(frozenset(deaths))
    assert resumed.written == STRAIGHT.written
    assert resumed.said == STRAIGHT.said


def test_a_death_at_every_single_statement_changes_no_bit_and_no_word() -> None:
    resumed = played(frozenset(PLACES))
    assert resumed.written == STRAIGHT.written
    assert resumed.said == STRAIGHT.said

"""`rollout backtest`: what a policy would have done with recorded traffic, as a table and in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from rollout.api.status import MetricEvidence
from rollout.show import evidence
from rollout.show.outlook import minutes
from rollout.show.quantities import count, percent
from rollout.show.table import columns

HEADINGS = ("STEP", "FROM", "TOOK", "CANARY REQUESTS", "IN THE RECORD", "ENDED")
UNLIKE = 1.5
"""A share of traffic that is so many times the step's weight, or its inverse, is worth a word."""


class End(StrEnum):
    """How a replay ends."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolledBack"
    INCONCLUSIVE = "inconclusive"
    UNFINISHED = "unfinished"

    @property
    def words(self) -> str:
        """As people say it."""
        return {"rolledBack": "rolled back", "inconclusive": "held as inconclusive"}.get(self, self.value)


@dataclass(frozen=True, slots=True)
class Passage:
    """One step in which time passed. requests: of the canary and of both versions, since its weight was in
    effect; None where nothing counts requests.
    """

    index: int
    words: str
    weight: int
    began: datetime
    ended: datetime
    requests: tuple[float, float] | None
    how: str

    @property
    def share(self) -> float | None:
        """The canary's share of the requests, as the record has it."""
        return self.requests[0] / self.requests[1] if self.requests and self.requests[1] > 0 else None

    @property
    def unlike(self) -> bool:
        """Whether the recorded share is far from the step's weight."""
        share = self.share
        if share is None or not 0 < self.weight < 100:
            return False
        return not self.weight / UNLIKE <= 100 * share <= self.weight * UNLIKE


@dataclass(frozen=True, slots=True)
class Blind:
    """A stretch without metric data, and why."""

    since: datetime
    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay. `at`: when it was decided, or where the record ends."""

    name: str
    namespace: str
    stable: str
    canary: str
    began: datetime
    until: datetime
    end: End
    at: datetime
    why: str
    passages: tuple[Passage, ...]
    blind: tuple[Blind, ...]
    evidence: tuple[MetricEvidence, ...]
    looks: int


def heading(told: Replayed) -> str:
    """Which versions, and which stretch of time."""
    arms = f": canary {told.canary} against stable {told.stable}" if told.canary else ""
    return f"{told.name}  replayed on {_stamp(told.began)} to {_stamp(told.until)}{arms}"


def table(told: Replayed) -> str:
    """A line a step."""
    return columns([HEADINGS, *(_row(each) for each in told.passages)])


def _row(passage: Passage) -> tuple[str, ...]:
    share = passage.share
    return (
        f"{passage.index} {passage.words}",
        f"{passage.began:%H:%M:%S}",
        _took(passage.ended - passage.began),
        count(passage.requests[0]) if passage.requests else "-",
        percent(share) if share is not None else "-",
        passage.how,
    )


def _took(span: timedelta) -> str:
    return minutes(span / timedelta(minutes=1))


def verdict(told: Replayed) -> tuple[str, ...]:
    """What would have happened and when, and the last numbers of each metric."""
    return (_sentence(told), *(f"  {line.plain}" for line in evidence.lines(told.evidence)))


def _sentence(told: Replayed) -> str:
    when = f"at {_stamp(told.at)}, after {_took(told.at - told.began)}"
    match told.end:
        case End.PROMOTED:
            return f"Promoted {when}: {told.why}."
        case End.ROLLED_BACK:
            return f"Rolled back {when}: {told.why}."
        case End.INCONCLUSIVE:
            return f"Held {when}, until somebody decides: {told.why}."
        case End.UNFINISHED:
            return f"Not decided when the record ends {when}: {told.why}."


def warnings(told: Replayed) -> Iterator[str]:
    """What to know before the result is believed."""
    for each in told.blind:
        until = f"{each.since:%H:%M:%S} to {each.until:%H:%M:%S}"
        yield f"blind from {until}: {each.why}"
    unlike = [each for each in told.passages if each.unlike]
    if unlike:
        shown = "; ".join(f"step {p.index}: {percent(p.share or 0)} for {p.weight} %" for p in unlike)
        yield f"the record gave the canary another share of the requests than the steps would ({shown})"


def as_json(told: Replayed) -> dict[str, Any]:
    """The same for machines."""
    return {
        "name": told.name,
        "namespace": told.namespace,
        "stable": told.stable,
        "canary": told.canary,
        "from": told.began.isoformat(),
        "to": told.until.isoformat(),
        "end": told.end.value,
        "at": told.at.isoformat(),
        "minutes": (told.at - told.began) / timedelta(minutes=1),
        "reason": told.why,
        "looks": told.looks,
        "steps": [_passage(each) for each in told.passages],
        "blind": [
            {"from": each.since.isoformat(), "to": each.until.isoformat(), "reason": each.why}
            for each in told.blind
        ],
        "evidence": [each.manifest() for each in told.evidence],
        "warnings": list(warnings(told)),
    }


def _passage(passage: Passage) -> dict[str, Any]:
    requests: Sequence[float | None] = passage.requests or (None, None)
    return {
        "index": passage.index,
        "step": passage.words,
        "weight": passage.weight,
        "from": passage.began.isoformat(),
        "to": passage.ended.isoformat(),
        "canaryRequests": requests[0],
        "requests": requests[1],
        "ended": passage.how,
    }


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"

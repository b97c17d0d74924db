"""`rollout simulate`: what a policy did in seeded worlds, as a table and in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.policy import Policy
from analysis.simulation import End, Share, Summary
from rollout.show.outlook import minutes
from rollout.show.table import columns

HEADINGS = ("CANARY", "PROMOTED", "ROLLED BACK", "INCONCLUSIVE", "TAKES", "EXTRA FAILURES", "STOPPED AT STEP")


@dataclass(frozen=True, slots=True)
class Told:
    """One world and what came of it. fine: to roll back is wrong there. bad: to promote is."""

    name: str
    canary: Mapping[str, float]
    summary: Summary
    fine: bool = False
    bad: bool = False


def simulated(worlds: Sequence[Told]) -> str:
    """The table: a line a world."""
    return columns([HEADINGS, *(_row(told) for told in worlds)])


def _row(told: Told) -> tuple[str, ...]:
    summary = told.summary
    mean, low, high = summary.minutes
    lost, least, most = summary.excess
    return (
        told.name,
        *(_percent(summary.ends[end].value) for end in End),
        f"{minutes(mean)} ({minutes(low)} to {minutes(high)})",
        f"{lost:,.1f} ({least:,.0f} to {most:,.0f})" if lost else "0",
        ", ".join(f"{step}: {count}" for step, count in _stopped(summary)) or "-",
    )


def _stopped(summary: Summary) -> list[tuple[str, int]]:
    return sorted(summary.stopped_at.items(), key=lambda item: int(item[0]))


def verdicts(policy: Policy, worlds: Sequence[Told]) -> tuple[str, ...]:
    """What is promised, and what was seen of it."""
    said = []
    for told in worlds:
        if told.fine:
            share = told.summary.ends[End.ROLLED_BACK]
            said.append(f"False rollback, {told.name}: {_seen(share)}; promised {_percent(policy.alpha)}.")
        if told.bad:
            share = told.summary.ends[End.PROMOTED]
            said.append(f"Missed regression, {told.name}: {_seen(share)}; promised {_percent(policy.beta)}.")
    return tuple(said)


def _seen(share: Share) -> str:
    low, high = _percent(share.low), _percent(share.high)
    return f"{share.count} of {share.of}, with 95 % confidence {low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def as_json(worlds: Sequence[Told]) -> list[dict[str, Any]]:
    """The same for machines; shares with their 95 % interval, means with 10 % and 90 % quantiles."""
    return [
        {
            "name": told.name,
            "canary": dict(told.canary),
            "runs": told.summary.runs,
            **{_key(end): _share(told.summary.ends[end]) for end in End},
            "minutes": _spread(told.summary.minutes),
            "extraFailures": _spread(told.summary.excess),
            "stoppedAtStep": dict(_stopped(told.summary)),
        }
        for told in worlds
    ]


def _key(end: End) -> str:
    return "rolledBack" if end is End.ROLLED_BACK else end.value


def _share(share: Share) -> dict[str, float]:
    return {"share": share.value, "count": share.count, "low": share.low, "high": share.high}


def _spread(spread: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), spread, strict=True))

"""Turns gathered to what came of them: the steps, the end, and what the metrics said."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rollout.api.rollout import SetWeightStep
from rollout.api.status import Stage
from rollout.plan import schedule
from rollout.plan.evidence import Outcome
from rollout.plan.transitions import Signal
from rollout.replay.cluster import Cluster, Versions
from rollout.replay.playing import Turn
from rollout.show.replayed import Blind, End, Passage, Replayed
from rollout.show.steps import words

SHORT = timedelta(seconds=3)
"""What the last look after the last step may take, and is no wait."""
RESUMED = "resumed: nobody is asked in a replay"


def told(cluster: Cluster, turns: Sequence[Turn], until: datetime, named: Versions) -> Replayed:
    """What came of a replay on samples up to `until`; there is at least one turn. named: as people say it."""
    end, decided = _end(turns)
    at = decided.at if end is not End.UNFINISHED else until
    judged = [turn for turn in turns if turn.measured.evidence.metrics]
    return Replayed(
        name=cluster.name,
        namespace=cluster.namespace,
        stable=named.stable,
        canary=named.canary,
        began=cluster.began,
        until=until,
        end=end,
        at=at,
        why=_why(end, decided),
        passages=tuple(_passages(cluster, turns)),
        blind=tuple(_blind(turns, at)),
        evidence=judged[-1].measured.evidence.metrics if judged else (),
        looks=sum(turn.measured.judgement is not None for turn in turns),
    )


def _end(turns: Sequence[Turn]) -> tuple[End, Turn]:
    """How it ended, and the turn that decided it."""
    last = turns[-1]
    if last.held:
        return End.INCONCLUSIVE, last
    back = next((turn for turn in turns if turn.status.stage is Stage.ROLLING_BACK), None)
    if back is not None:
        return End.ROLLED_BACK, back
    promoted = last.over and last.status.stage is Stage.STABLE
    return (End.PROMOTED, last) if promoted else (End.UNFINISHED, last)


def _why(end: End, turn: Turn) -> str:
    match end:
        case End.INCONCLUSIVE:
            return f"{Signal.STEP_HELD} ({turn.measured.evidence.reason})"
        case End.UNFINISHED:
            return turn.measured.evidence.reason or turn.status.message
    return turn.status.verdict_reason


def _passages(cluster: Cluster, turns: Sequence[Turn]) -> Iterator[Passage]:
    steps = cluster.spec.strategy.canary.steps
    shown = [step.manifest() for step in steps]
    for index in range(len(steps) + 1):
        here = [turn for turn in turns if turn.step == index]
        quick = index == len(steps) and here and here[-1].at - here[0].at < SHORT
        if not here or quick or isinstance(schedule.step_at(steps, index), SetWeightStep):
            continue
        yield Passage(
            index=index,
            words=words(shown, index),
            weight=schedule.level(steps, index),
            began=here[0].at,
            ended=here[-1].at,
            requests=_requests(here, cluster),
            how=_how(here[-1]),
        )


def _requests(here: Sequence[Turn], cluster: Cluster) -> tuple[float, float] | None:
    """Of the canary and of both versions, by the metric that counted most of them in this step."""
    judged = next(
        (turn.measured.judgement for turn in reversed(here) if turn.measured.judgement is not None), None
    )
    if judged is None or cluster.asked is None:
        return None
    counting = {m.name for m in cluster.asked.compared if m.compare.proportion or m.compare.histogram}
    pairs = [verdict.in_step for verdict in judged.metrics if verdict.name in counting]
    most = max(pairs, key=lambda pair: pair.canary.total + pair.stable.total, default=None)
    return (most.canary.total, most.canary.total + most.stable.total) if most is not None else None


def _how(last: Turn) -> str:
    """By what a step ended: in the words of the Event that told of it."""
    if last.held:
        return "held as inconclusive"
    if last.status.stage is Stage.ROLLING_BACK:
        return "rolled back"
    if (last.status.stage, last.status.current_step_index) == (Stage.STEPPING, last.step):
        return "not over when the record ends"
    if any(each.reason == "IntentTaken" for each in last.told):
        return RESUMED
    skipped = Signal.STEP_COMPATIBLE.value
    return skipped if any(skipped in each.message for each in last.told) else "passed"


def _blind(turns: Sequence[Turn], until: datetime) -> Iterator[Blind]:
    """Stretches of turns in which the judge could not see."""
    since: Turn | None = None
    for turn in turns:
        blind = turn.measured.evidence.outcome is Outcome.BLIND
        if blind and since is None:
            since = turn
        elif not blind and since is not None:
            yield Blind(since.at, turn.at, since.measured.evidence.reason)
            since = None
    if since is not None:
        yield Blind(since.at, until, since.measured.evidence.reason)

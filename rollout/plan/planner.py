"""The policy of the controller in one function: take intents, sense, advance, demand what does not hold."""

from datetime import datetime

from rollout.api import caps
from rollout.api.status import RolloutStatus
from rollout.plan import (
    announcements,
    clocks,
    conditions,
    demands,
    drift,
    finalizer,
    floor,
    intents,
    leaving,
    looks,
    news,
    runs,
    weights,
)
from rollout.plan.actions import Action, RecordStatus, WakeAt
from rollout.plan.advance import advance
from rollout.plan.evidence import Evidence
from rollout.plan.facts import Facts
from rollout.plan.observed import Observed
from rollout.plan.sense import sense
from rollout.plan.transitions import Signal


def plan(observed: Observed, evidence: Evidence, now: datetime) -> list[Action]:
    """The actions that bring a rollout one turn further, in the order to do them.

    Whoever changes anything records first: `RecordStatus` heads the list, its `turn` moved on. A turn that
    finds everything as it shall be returns nothing but, at most, a `WakeAt`.
    """
    facts = Facts(observed, evidence, now)
    if observed.deleted_at is not None:
        return leaving.leave(facts, observed.deleted_at)
    taken = intents.take(facts)
    ticked = clocks.tick(facts, taken.status)
    signal = taken.signal or sense(facts, ticked)
    after = news.without_mere_numbers(facts, _after(facts, ticked, signal))
    deeds = _deeds(facts, after, taken)
    after = caps.fitting(drift.noted(facts, after, deeds), now)
    acts = bool(deeds) and deeds != [taken.clear]
    changed = after != observed.status
    plan: list[Action] = []
    if acts or changed:
        plan.append(RecordStatus(after.model_copy(update={"turn": observed.status.turn + 1})))
    plan += deeds
    plan += [taken.announce] if taken.announce else []
    plan += announcements.announced(facts, after, signal, deeds)
    look = now if _goes_on(observed.status, after) else looks.next_look(facts, after, acted=acts)
    if look is not None:
        plan.append(WakeAt(look))
    return plan


def _after(facts: Facts, ticked: RolloutStatus, signal: Signal | None) -> RolloutStatus:
    """The status that this turn records."""
    after = runs.remembered(facts, advance(facts, ticked, signal), signal, ticked)
    wish = weights.wish(facts, after)
    after = after.model_copy(update={"canary": after.canary.model_copy(update={"desired_weight": wish})})
    after = floor.kept(after, facts.replicas, facts.now)
    return caps.fitting(conditions.described(facts, clocks.tick(facts, after), signal), facts.now)


def _deeds(facts: Facts, after: RolloutStatus, taken: intents.Taken) -> list[Action]:
    """What is to be done to the world: traffic first, then selectors, then pods, then what tells of it."""
    weight = weights.ensure(facts, facts.observed.status, after)
    traffic: list[Action] = [*([weight] if weight else []), *demands.selectors(facts, after)]
    return [
        *finalizer.held(facts, traffic),
        *traffic,
        *demands.pods(facts, after),
        *([taken.clear] if taken.clear else []),
        *runs.finished(facts, facts.observed.status, after),
        *runs.wanted(facts, after),
    ]


def _goes_on(before: RolloutStatus, after: RolloutStatus) -> bool:
    """Whether the next turn can do more at once: what it needed was recorded by this one."""
    return (
        before.stage is not after.stage
        or before.current_step_index != after.current_step_index
        or before.current_pod_hash != after.current_pod_hash
        or before.canary.desired_weight != after.canary.desired_weight
    )

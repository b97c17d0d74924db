"""Traffic that somebody else moved: whether it strays now, and what is remembered and told of it.

What was undone is told once a minute at most, with how often it was seen; requests of the time in which
traffic was not as recorded are no evidence.
"""

from collections.abc import Iterable
from datetime import timedelta

from rollout.api.status import Drift, RolloutStatus, Stage
from rollout.plan import facts as ask
from rollout.plan import finalizer, schedule
from rollout.plan.actions import Action, EnsureSelector, EnsureWeights
from rollout.plan.facts import Facts
from rollout.plan.observed import Observed
from rollout.plan.transitions import CARRYING

WEIGHT, SELECTOR = "WeightDrift", "SelectorDrift"
TOLD_EVERY = timedelta(minutes=1)
JUDGED = frozenset({Stage.STEPPING, Stage.PROMOTING})
"""Stages in which requests are evidence."""


def strayed(observed: Observed) -> bool:
    """Whether traffic that is being judged is not where the status says it was."""
    status = observed.status
    if status.stage not in JUDGED:
        return False
    arms = ((observed.canary_service, status.current_pod_hash), (observed.stable_service, status.stable_rs))
    return _weight_strays(observed) or not all(ask.names(service, revision) for service, revision in arms)


def _weight_strays(observed: Observed) -> bool:
    """Whether a weight was read back and is another now, or is more than is asked for."""
    status, live = observed.status, observed.canary_percent
    if status.weight_since is not None:
        return not observed.reads_back(status.canary.desired_weight)
    return live is not None and live > status.canary.desired_weight


def undone(facts: Facts, after: RolloutStatus, deed: Action) -> str:
    """Which drift a deed undoes; '' where it is our own next move."""
    before = facts.observed.status
    if before.stage is Stage.INITIAL:
        return ""
    match deed:
        case EnsureWeights():
            return WEIGHT if foreign_weight(facts, after) else ""
        case EnsureSelector(name, revision) if revision is not None:
            return SELECTOR if _selector_strays(facts, before, after, name) else ""
    return ""


def foreign_weight(facts: Facts, after: RolloutStatus) -> bool:
    """Whether the weight that stands now, and shall not, is somebody else's.

    What stood at the last look may be our own, on its way down; but not beside a weight that we keep.
    """
    before = facts.observed.status
    kept = before.canary.desired_weight
    known = before.canary.weights.canary.weight if before.canary.weights else None
    again = kept == after.canary.desired_weight and any(
        each.reason == WEIGHT and each.weight == kept and facts.now - each.seen_at < TOLD_EVERY
        for each in before.drift
    )
    return again or (_weight_strays(facts.observed) and facts.live != known)


def _selector_strays(facts: Facts, before: RolloutStatus, after: RolloutStatus, name: str) -> bool:
    """Whether somebody else changed a selector: it names nobody whom this stage could have meant."""
    stable, canary = facts.observed.stable_service, facts.observed.canary_service
    if before.stage is not after.stage:
        return False
    if canary is not None and canary.name == name:
        return before.stage in CARRYING | {Stage.STABLE, Stage.REFUSED, Stage.RETURNING}
    moving = before.stage in {Stage.RESETTING, Stage.SWITCHING, Stage.ROLLING_BACK}
    own = finalizer.revisions(facts) if moving else {before.stable_rs}
    return stable is not None and stable.hash not in own


def noted(facts: Facts, after: RolloutStatus, deeds: Iterable[Action]) -> RolloutStatus:
    """`after` with what strays now: what is undone is counted, and no evidence is taken from that time."""
    reasons = sorted({reason for deed in deeds if (reason := undone(facts, after, deed))})
    others = [each for each in after.drift if each.reason not in reasons]
    entries = (*others, *(_counted(facts, after, reason) for reason in reasons))
    changes: dict[str, object] = {"drift": entries} if reasons else {}
    if after.stage in JUDGED and (reasons or strayed(facts.observed)):
        changes["evidence_not_before"] = _not_before(facts, after)
    return after.model_copy(update=changes)


def _not_before(facts: Facts, status: RolloutStatus) -> object:
    """Some seconds ahead, moved on before they are over: no write a turn while it strays."""
    until = status.evidence_not_before
    if until is not None and until > facts.now + schedule.MIN_SETTLE:
        return until
    return facts.now + 2 * schedule.MIN_SETTLE


def _counted(facts: Facts, status: RolloutStatus, reason: str) -> Drift:
    known = next((each for each in status.drift if each.reason == reason), None)
    fresh = Drift(
        reason=reason,
        seen_at=facts.now,
        told_at=facts.now,
        weight=facts.observed.status.canary.desired_weight,
    )
    if known is None or facts.now - known.seen_at >= TOLD_EVERY:
        return fresh
    told_at = facts.now if facts.now - known.told_at >= TOLD_EVERY else known.told_at
    return fresh.model_copy(update={"told_at": told_at, "count": known.count + 1})


def told_now(facts: Facts, after: RolloutStatus, reason: str) -> Drift | None:
    """The drift of that kind, if this turn tells of it."""
    return next((each for each in after.drift if each.reason == reason and each.told_at == facts.now), None)

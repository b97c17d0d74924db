"""When to look again: whoever waits says until when."""

from collections.abc import Iterator
from datetime import datetime

from rollout.api.status import RolloutStatus, Stage
from rollout.plan import clocks, schedule
from rollout.plan.facts import Facts
from rollout.plan.transitions import AT_REST


def next_look(facts: Facts, status: RolloutStatus, *, acted: bool) -> datetime | None:
    """The earliest time at which something may be due; None where nothing is waited for.

    Who `acted` looks at what became of it.
    """
    due = [*_due(facts, status), *([facts.now + schedule.MIN_SETTLE] if acted else [])]
    return min((max(each, facts.now) for each in due), default=None)


def _due(facts: Facts, status: RolloutStatus) -> Iterator[datetime]:
    yield from (
        each.scale_down_at for each in facts.observed.replica_sets if each.scale_down_at and each.wanted
    )
    if facts.observed.replicas < facts.replicas and status.least_replicas_until is not None:
        yield status.least_replicas_until
    if status.stage in AT_REST:
        yield from _at_rest(facts, status)
        return
    yield facts.now + schedule.SLOW_LOOK
    yield from _settling(facts, status)
    seconds = facts.spec.progress_deadline_seconds if facts.spec else clocks.PROGRESS_DEADLINE_SECONDS
    if (due := schedule.deadline(status, seconds)) is not None and due > facts.now:
        yield due
    if status.stage is Stage.STEPPING and not facts.paused_by_user(status):
        yield from _step(facts, status)


def _at_rest(facts: Facts, status: RolloutStatus) -> Iterator[datetime]:
    """A quiet Rollout waits for nothing; one whose pods or routes are not as they shall be does."""
    if status.progress_since is not None:
        due = schedule.deadline(status, facts.spec.progress_deadline_seconds if facts.spec else 0)
        yield due if due is not None and due > facts.now else facts.now + schedule.SLOW_LOOK
    if facts.observed.routes and status.weight_since is None:
        yield facts.now + schedule.MIN_SETTLE


def _settling(facts: Facts, status: RolloutStatus) -> Iterator[datetime]:
    """Endpoints and weights that were just changed are looked at again when they may have settled."""
    services = (facts.observed.stable_service, facts.observed.canary_service)
    if status.weight_since is None or any(service and not service.settled for service in services):
        yield facts.now + schedule.MIN_SETTLE
        return
    for wait in (schedule.MIN_SETTLE, schedule.DRAIN, schedule.ACCEPT_WAIT):
        if status.weight_since + wait > facts.now:
            yield status.weight_since + wait


def _step(facts: Facts, status: RolloutStatus) -> Iterator[datetime]:
    step = schedule.step_at(facts.steps, status.current_step_index)
    ends = schedule.pause_ends(step, status)
    if ends is not None and ends > facts.now:
        yield ends
    gate = schedule.gate(step)
    if gate is None or status.step_effect_since is None or status.blind_since is not None:
        return
    judged_for = schedule.judged_for(status, facts.now)
    for wait in (schedule.least(gate), gate.max_duration):
        if wait > judged_for:
            yield facts.now + (wait - judged_for)

"""While traffic is ours a Rollout carries a finalizer, so that its deletion waits until it is given back."""

from collections.abc import Iterator, Sequence

from rollout.plan.actions import Action, EnsureFinalizer
from rollout.plan.facts import Facts
from rollout.plan.observed import Service


def revisions(facts: Facts) -> frozenset[str]:
    """Revisions of ours: a hash that somebody else wrote into a selector is not ours to remove."""
    status = facts.observed.status
    known = {each.hash for each in facts.observed.replica_sets}
    return frozenset(known | {status.stable_rs, status.current_pod_hash}) - {""}


def services(facts: Facts) -> list[Service]:
    """Services whose selectors name a revision of ours, the canary's first."""
    found = (facts.observed.canary_service, facts.observed.stable_service)
    ours = revisions(facts)
    return [service for service in found if service is not None and service.hash in ours]


def held(facts: Facts, traffic: Sequence[Action]) -> Iterator[EnsureFinalizer]:
    """Before the first write to `traffic`, and wherever an older one of ours stands."""
    if not facts.observed.finalized and (traffic or services(facts)):
        yield EnsureFinalizer(held=True)

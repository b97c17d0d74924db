"""The AnalysisRun as it is to be created now."""

from datetime import timedelta
from typing import Any

from rollout.api.errors import Retry
from rollout.observe.snapshot import Seen
from rollout.plan.actions import EnsureRun
from rollout.workloads import runs

_SOON = timedelta(milliseconds=100)


def rendered(seen: Seen, wanted: EnsureRun) -> dict[str, Any]:
    """The AnalysisRun as it is to be created now."""
    observed = seen.observed
    canary = observed.replica_set(wanted.hash)
    stable = observed.replica_set(observed.status.stable_rs)
    if canary is None or stable is None or observed.spec is None:
        name = f"{observed.namespace}/{observed.name}"
        raise Retry(f"{name}: the ReplicaSets to compare are not both there yet", _SOON)
    return runs.render(
        seen.rollout,
        observed.spec,
        seen.templates,
        name=wanted.name,
        role=wanted.role,
        attempt=wanted.attempt,
        canary=canary,
        stable=stable,
        plane=seen.plane,
    )
